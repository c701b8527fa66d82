// One detection: its frame with boxes drawn from data, probabilities, quality in words, and the way to its neighbours.

import { icon, make, say } from "./dom.js";
import { frame, svg } from "./face-picture.js";
import { forServer, link, read, viewOf } from "./history-filter.js";
import { sessionName } from "./session-choice.js";
import { adjective, certainty, dateAndTime, label, reading } from "./words.js";

const get = (id) => document.getElementById(id);
const asked = new URLSearchParams(location.search);
const eventId = location.pathname.split("/").pop();
const PICTURE = {
  kept: "",
  "not-kept": "No picture of this frame was kept. The boxes show where the faces were.",
  missing: "The picture of this frame is not there: it was erased, its time is over, or it has not arrived yet.",
};
const REASONS = { small: "far away", blurred: "blurred", dark: "in the dark", bright: "lit too brightly", turned: "turned away" };

function fill(list, rows) {
  list.replaceChildren(
    ...rows.map(([name, value]) => {
      const row = make("div");
      row.append(make("dt", "", name), make("dd", "", value));
      return row;
    }),
  );
}

function bars(emotions) {
  const list = make("ul", "bars");
  for (const [emotion, share] of Object.entries(emotions)) {
    const item = make("li");
    const bar = svg("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" });
    bar.append(svg("rect", { width: 100, height: 10, class: "ground" }), svg("rect", { width: share * 100, height: 10, class: `bar-${emotion}` }));
    item.append(make("span", "", adjective(emotion)), bar, make("span", "number", `${(share * 100).toFixed(1)}%`));
    list.append(item);
  }
  return list;
}

function face(one, words, votes) {
  const part = make("article");
  const title = make("h3");
  title.append(icon(words.state), make("span", "", `Person ${one.track_id}: ${words.headline.toLowerCase()}`));
  const said = [certainty(words)];
  const why = one.quality.reasons.map((reason) => REASONS[reason] ?? reason).join(" and ");
  said.push(one.quality.ok ? "Good enough to be read." : `Not good enough to be read: the face is ${why || "not clear"}.`);
  const counted = Object.entries(votes).map(([name, times]) => `${adjective(name)} ${times}`);
  said.push(counted.length ? `Votes: ${counted.join(", ")}.` : "Nobody has labelled it.");
  part.append(title, ...said.filter(Boolean).map((text) => make("p", "", text)), make("h4", "", "Probabilities that the model gave"), bars(one.emotion));
  const measures = make("dl", "counters");
  const quality = one.quality;
  fill(measures, [
    ["Size in pixels", reading(quality.size_px)],
    ["Sharpness", reading(quality.blur)],
    ["Brightness, of 255", reading(quality.brightness)],
    ["Turned, in degrees", reading(quality.yaw)],
    ["Face found with", `${Math.round(one.face_confidence * 100)}%`],
  ]);
  part.append(measures);
  return part;
}

function show(one, around) {
  document.title = `${dateAndTime(one.captured_at)}, ${one.device} · Emotion at the Edge`;
  say(get("title"), `${dateAndTime(one.captured_at)}, ${one.device}`);
  say(get("picture-state"), PICTURE[around.picture_state]);
  const { drawing, boxes } = frame(around.picture, one.frame_size, one.faces, () => say(get("picture-state"), PICTURE.missing));
  get("frame").replaceChildren(drawing);
  get("boxes").addEventListener("click", () => {
    const on = get("boxes").getAttribute("aria-pressed") !== "true";
    get("boxes").setAttribute("aria-pressed", String(on));
    boxes.setAttribute("visibility", on ? "visible" : "hidden");
  });
  get("faces").replaceChildren(...(one.faces.length ? one.faces.map((each, i) => face(each, around.words[i], around.votes[i])) : [make("p", "", "No face was read in this frame.")]));
  fill(get("facts"), [
    ["Model", `${one.model.name} ${one.model.version}`],
    ["Device", one.device],
    ["Source", `${one.source.kind} ${one.source.name}`],
    ["Frame", one.frame_number.toLocaleString()],
    ["Stored", dateAndTime(one.received_at)],
    ["Id", one.event_id],
  ]);
  fill(get("latency"), Object.entries(one.latency_ms).map(([name, value]) => [label(name), reading(value)]));
  const sessions = around.sessions.map((session) => {
    const item = make("li");
    const to = make("a", "", sessionName(session));
    to.href = `/sessions/${session.id}`;
    item.append(to);
    return item;
  });
  get("sessions").replaceChildren(...(sessions.length ? sessions : [make("li", "quiet", "It belongs to no session.")]));
  say(get("state"), "");
  get("found").hidden = false;
}

function way(element, neighbour) {
  if (!neighbour) return;
  const query = new URLSearchParams(asked);
  if (neighbour.episode_id) query.set("episode", neighbour.episode_id);
  element.href = link(`/history/${neighbour.event_id}`, query);
  element.removeAttribute("aria-disabled");
}

async function loadNeighbours() {
  const episode = asked.get("episode");
  const path = viewOf(asked) === "episodes" && episode ? `/api/v1/episodes/${encodeURIComponent(episode)}` : `/api/v1/detections/${eventId}`;
  const { newer, older } = await read(`${path}/neighbours`, forServer(asked, Date.now()));
  way(get("later"), newer);
  way(get("earlier"), older);
}

async function load() {
  const back = new URLSearchParams(asked);
  if (viewOf(asked) === "episodes" && asked.get("episode")) {
    const frames = new URLSearchParams({ view: "detections", last: "all", episode: asked.get("episode") });
    get("frames").href = link("/history", frames);
    get("frames").hidden = false;
    back.delete("episode");
  }
  get("back").href = link("/history", back);
  try {
    const [one, around] = await Promise.all([read(`/api/v1/detections/${eventId}`), read(`/api/v1/detections/${eventId}/context`)]);
    show(one, around);
  } catch (error) {
    say(get("title"), "Not there");
    say(get("state"), [404, 422].includes(error.status) ? "This detection is not there. It was erased, its time is over, or it has not arrived yet. Go back to the history." : error.message);
    return;
  }
  await loadNeighbours().catch((error) => say(get("state"), `Neighbours are not known. ${error.message}`));
}

document.addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey || event.target.closest("input, select, textarea, summary")) return;
  const to = { ArrowLeft: "earlier", ArrowRight: "later" }[event.key];
  if (to && get(to).href) {
    event.preventDefault();
    location.assign(get(to).href);
  }
});
load();
