// The history: a filter in the address, a timeline, and a list that goes on by cursor.

import { addressed } from "./address.js";
import { icon, make, say } from "./dom.js";
import { thumbnail } from "./face-picture.js";
import { fillDevices, fillForm, fromForm, showTimes } from "./filter-form.js";
import { clearFields, takeSubmit, tellFields } from "./forms.js";
import { forServer, link, read, viewOf } from "./history-filter.js";
import { HistoryTimeline } from "./history-timeline.js";
import "./session-choice.js";
import { counted, dateAndTime, duration } from "./words.js";

const PAGE = 30;
const get = (id) => document.getElementById(id);
const form = get("filter");
const looks = [...form.elements.emotion.options].slice(1).map((option) => [option.value, option.textContent]);
const looksOf = Object.fromEntries(looks);

let asked = new URLSearchParams(location.search);
let query = null; // what the server is asked, with times as they were when the page was filled
let cursor = null;
let turn = 0; // answers to what was asked before are let go

const timeline = new HistoryTimeline(get("timeline"), { legend: get("legend"), from: get("timeline-from"), to: get("timeline-to"), says: get("timeline-says") }, looks, (from, to) => narrow(from, to));

function showAsked() {
  fillForm(form, asked);
  get("only").hidden = !(viewOf(asked) === "detections" && asked.get("episode"));
}

function wished() {
  const found = fromForm(form);
  if (viewOf(found) === "detections" && asked.get("episode")) found.set("episode", asked.get("episode"));
  return found;
}

const go = addressed((next) => {
  asked = next;
  load();
});

function narrow(from, to) {
  const next = new URLSearchParams(asked);
  next.set("last", "own");
  next.set("from", new Date(from).toISOString());
  next.set("to", new Date(to).toISOString());
  go(next);
}

async function load() {
  turn += 1;
  showAsked();
  clearFields(form);
  const view = viewOf(asked);
  say(get("list-title"), view === "episodes" ? "People and stretches" : "Single frames");
  get("timeline-unit").hidden = view === "episodes";
  query = forServer(asked, Date.now());
  cursor = null;
  get("list").replaceChildren();
  get("more").hidden = true;
  await Promise.all([loadTimeline(turn), loadMore(turn)]);
}

async function loadTimeline(mine) {
  try {
    const data = await read("/api/v1/timeline", query);
    if (mine === turn) timeline.show(data);
  } catch (error) {
    if (mine === turn) say(get("timeline-says"), error.errors?.length ? "" : error.message); // what does not fit is told below
  }
}

async function loadMore(mine) {
  const view = viewOf(asked);
  const page = new URLSearchParams(query);
  page.set("limit", PAGE);
  if (cursor) page.set("cursor", cursor);
  get("more").disabled = true;
  say(get("state"), "Loading");
  let found;
  try {
    found = await read(`/api/v1/${view}`, page);
  } catch (error) {
    if (mine === turn) {
      const { fields, text } = tellFields(form, error);
      say(get("state"), [fields.length ? "Nothing was looked for: the filter does not fit, as it says above." : "", text].filter(Boolean).join(" "));
      get("more").disabled = false;
    }
    return;
  }
  if (mine !== turn) return;
  const list = get("list");
  const first = list.children.length;
  list.append(...found.items.map(view === "episodes" ? episode : detection));
  cursor = found.next_cursor;
  const more = get("more");
  // Who pressed the button goes on at what it brought.
  const pressed = document.activeElement === more;
  more.disabled = false;
  more.hidden = !cursor;
  say(more, found.searched_to ? "Search further back" : "Show more");
  if (pressed && list.children.length > first) list.children[first].querySelector("a").focus();
  const count = `${list.children.length.toLocaleString()} shown`;
  if (found.searched_to) say(get("state"), `${count}. Searched back to ${dateAndTime(found.searched_to)}; what you ask for is rare, so go on if you want older ones.`);
  else if (!list.children.length) say(get("state"), "Nothing fits. Choose a longer time, or clear the filter.");
  else say(get("state"), cursor ? `${count}, newest first.` : `${count}, newest first. That is all.`);
}

function entry(href, thumb, iconName, headline, facts) {
  const item = make("li");
  const text = make("div");
  const title = make("h3");
  const to = make("a", "", headline);
  to.href = href;
  title.append(icon(iconName), to);
  text.append(title, ...facts.filter(Boolean).map((fact) => make("p", "quiet", fact)));
  item.append(thumb, text);
  return item;
}

const percent = (share) => `${Math.round(share * 100)}%`;

function episode(one) {
  const query = new URLSearchParams(asked);
  query.set("episode", one.id);
  const lasted = (Date.parse(one.last_at) - Date.parse(one.first_at)) / 1000;
  return entry(
    link(`/history/${one.sample.event_id}`, query),
    thumbnail(one.sample.picture, one.sample.region, one.sample.frame_size),
    one.dominant_emotion,
    `Mostly: ${one.headline.toLowerCase()}`,
    [
      `${dateAndTime(one.first_at)}, for ${duration(lasted)}`,
      `Person ${one.track_id} at ${one.device}`,
      `Read ${counted(one.faces, "time")}, best with ${percent(one.best_confidence)}; good enough ${percent(one.ok_share)} of the time`,
      one.labelled ? "Labelled" : "",
    ],
  );
}

function detection(one) {
  const headline = one.faces.map((face) => looksOf[face.dominant_emotion].toLowerCase()).join(", ");
  const face = one.faces[0];
  return entry(
    link(`/history/${one.event_id}`, asked),
    thumbnail(one.frame_id && `/api/v1/frames/${one.frame_id}.jpg`, face?.region, one.frame_size),
    face?.dominant_emotion ?? "unsure",
    headline ? headline.charAt(0).toUpperCase() + headline.slice(1) : "No face",
    [dateAndTime(one.captured_at), one.device, face ? `Confidence ${one.faces.map((each) => percent(each.confidence)).join(", ")}` : ""],
  );
}

/** Names to choose from; any other can be typed, so a failure to read them is told by nothing. */
async function loadModels() {
  try {
    const { items } = await read("/api/v1/models");
    const names = new Set();
    for (const { name, version } of items) for (const each of version ? [name, `${name}@${version}`] : [name]) names.add(each);
    get("models").replaceChildren(...[...names].map((name) => Object.assign(make("option"), { value: name })));
  } catch {
    // The field takes what is typed.
  }
}

takeSubmit(form, () => go(wished()));
form.addEventListener("change", (event) => {
  showTimes(form);
  // Choices act at once; what is typed waits for the button or Enter.
  if (event.target.matches("select, session-choice") && form.elements.last.value !== "own") go(wished());
});
get("everybody").addEventListener("click", () => {
  const next = new URLSearchParams(asked);
  next.delete("episode");
  go(next);
});
get("reset").addEventListener("click", () => go(new URLSearchParams()));
get("more").addEventListener("click", () => loadMore(turn));
get("zoom-out").addEventListener("click", () => {
  if (!timeline.span) return;
  const [from, to] = timeline.span;
  narrow(from - (to - from) / 2, Math.min(Date.now(), to + (to - from) / 2));
});
fillDevices(form.elements.device);
loadModels();
load();
