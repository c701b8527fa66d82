// The review of one study session: how each person looked over time, the picture at a moment, markers, notes.

import { ask } from "./api.js";
import { chip, icon, make, say } from "./dom.js";
import { fieldDraft, formDraft } from "./drafts.js";
import { onSubmit } from "./forms.js";
import { fillMoment, momentOf } from "./moment-field.js";
import { fillDeviceBoxes, inTheWay } from "./session-devices.js";
import { shortcut } from "./shortcuts.js";
import { dateAndTime, duration, EMOTIONS, looksLike, timeOfDay } from "./words.js";

const REFRESH_MS = 10_000; // while it runs
const SAVE_AFTER_MS = 1000;
const PICTURE_AFTER_MS = 150;
const WORD_PX = 90; // a stretch narrower than this has no room for its word
const NO_FACE_STEPS = 1.5;

const part = (id) => document.getElementById(id);
const id = location.pathname.split("/").at(-1);
const base = `/api/v1/sessions/${encodeURIComponent(id)}`;
const may = new Set(part("session").dataset.rights.split(" "));

let session = null;
let line = null;
let markers = [];
let begin = null; // of the stretch shown, where it is not the session's start
let following = true; // a running session's last moment, until another is chosen

function trouble(text) {
  part("trouble").hidden = !text;
  say(part("trouble"), text);
}

/** Do something that may be refused; says so on the page. */
async function attempt(action) {
  try {
    const result = await action();
    trouble("");
    return result;
  } catch (error) {
    trouble(error.message);
    return null;
  }
}

const fromMs = () => Date.parse(line.from);
const momentMs = () => fromMs() + Number(part("moment").value) * line.step_s * 1000;
const running = () => session.ended_at === null;

function showSession() {
  say(part("title"), `Session of ${session.participant}`);
  document.title = `Session of ${session.participant} · Emotion at the Edge`;
  chip(part("state"), running() ? "good" : "wait", running() ? "recording" : "good", running() ? "Running" : "Ended");
  part("stop").hidden = !running() || !may.has("research");
  const length = ((running() ? Date.now() : Date.parse(session.ended_at)) - Date.parse(session.started_at)) / 1000;
  const facts = [["Condition", session.condition || "none given"], ["Devices", session.devices.join(", ")], ["Started", dateAndTime(session.started_at)], ["Ended", running() ? "not yet" : dateAndTime(session.ended_at)], ["Length", duration(length)], ["Started by", session.created_by]];
  part("facts").replaceChildren(
    ...facts.map(([name, value]) => {
      const row = make("div");
      row.append(make("dt", "", name), make("dd", "", value));
      return row;
    }),
  );
  const others = session.overlaps ?? [];
  part("overlaps").hidden = !others.length;
  say(part("overlaps"), `The same records belong to ${others.length === 1 ? "another session" : "other sessions"} too: ${others.map((other) => `${other.participant} (${other.devices.join(", ")})`).join("; ")}.`);
  part("faces-csv").href = `${base}/faces.csv`;
  part("markers-csv").href = `${base}/markers.csv`;
  say(part("mark-word"), running() ? "Mark now" : "Mark this moment");
}

/** A person's stretches, neighbours that look the same joined: [from, to) in steps of the line. */
function runs(person) {
  const found = [];
  for (const stretch of person.stretches) {
    const at = Math.round((Date.parse(stretch.start) - fromMs()) / (line.step_s * 1000));
    const looks = stretch.looks ?? "unsure";
    const last = found.at(-1);
    if (last && last.looks === looks && at - last.to < NO_FACE_STEPS) last.to = at + 1;
    else found.push({ looks, from: at, to: at + 1 });
  }
  return found;
}

const person = (one, several) => `Person ${one.track_id}${several ? ` at ${one.device}` : ""}`;

function showLine() {
  const steps = Math.max(1, Math.ceil((Date.parse(line.to) - fromMs()) / (line.step_s * 1000)));
  const slider = part("moment");
  slider.max = steps - 1;
  if (following && running() && line.complete) slider.value = steps - 1;
  const several = session.devices.length > 1;
  part("bars").replaceChildren(
    ...line.people.map((one) => {
      const box = make("div", "person");
      const bar = make("div", "bar");
      bar.setAttribute("role", "img");
      const found = runs(one);
      bar.setAttribute("aria-label", `${person(one, several)}: ${found.length} stretches; the table below says how long each look lasted.`);
      for (const run of found) {
        const piece = make("span", `run run-${run.looks}`, looksLike(run.looks));
        piece.style.left = `${(run.from / steps) * 100}%`;
        piece.style.width = `${((run.to - run.from) / steps) * 100}%`;
        piece.title = `${looksLike(run.looks)}, ${timeOfDay(fromMs() + run.from * line.step_s * 1000)}`;
        piece.dataset.share = (run.to - run.from) / steps;
        bar.append(piece);
      }
      bar.addEventListener("click", (event) => {
        const place = bar.getBoundingClientRect();
        choose(Math.floor(((event.clientX - place.left) / place.width) * steps));
      });
      box.append(make("h3", "", person(one, several)), bar);
      return box;
    }),
  );
  fitWords();
  const seen = new Set(line.people.flatMap((one) => one.stretches.map((stretch) => stretch.looks ?? "unsure")));
  part("legend").replaceChildren(
    ...[...EMOTIONS, "unsure"].filter((looks) => seen.has(looks)).map((looks) => {
      const item = make("li");
      item.append(make("span", `swatch swatch-${looks}`), make("span", "", looksLike(looks)));
      return item;
    }),
  );
  const span = `${dateAndTime(line.from)} to ${dateAndTime(line.to)}, in steps of ${line.step_s < 1 ? "half a second" : duration(line.step_s)}.`;
  const left = line.people_left_out ? ` ${line.people_left_out} more were seen for shorter and are not drawn.` : "";
  say(part("line-note"), line.people.length ? `${span}${left} Where a bar is empty there was no face.` : "No face was read in this time. Check that the device was on and its clock right; readings that wait on the device come when it is connected.");
  part("later").hidden = line.complete;
  showTable(several);
  drawMarkers();
  showMoment();
}

/** Words only where they have room; the rest is in the legend, the title and the table. */
function fitWords() {
  for (const piece of part("bars").querySelectorAll(".run")) piece.classList.toggle("narrow", piece.dataset.share * piece.parentElement.clientWidth < WORD_PX);
}

function showTable(several) {
  const looks = [...EMOTIONS, "unsure"];
  part("table-head").replaceChildren(...["Person", ...looks.map((each) => looksLike(each))].map((text) => {
    const cell = make("th", "", text);
    cell.scope = "col";
    return cell;
  }));
  part("table-rows").replaceChildren(
    ...line.people.map((one) => {
      const row = make("tr");
      const lengths = looks.map((each) => one.stretches.filter((stretch) => (stretch.looks ?? "unsure") === each).length * line.step_s);
      row.append(make("td", "", person(one, several)), ...lengths.map((seconds) => make("td", "", seconds ? duration(seconds) : "none")));
      return row;
    }),
  );
}

function drawMarkers() {
  if (!line) return;
  const whole = Date.parse(line.to) - fromMs();
  for (const bar of part("bars").querySelectorAll(".bar")) {
    bar.querySelectorAll(".tick").forEach((tick) => tick.remove());
    for (const marker of markers) {
      const share = (Date.parse(marker.at) - fromMs()) / whole;
      if (share < 0 || share > 1) continue;
      const tick = make("span", "tick");
      tick.style.left = `${share * 100}%`;
      tick.title = marker.text;
      bar.append(tick);
    }
  }
}

let pictureTimer = 0;
let pictureNumber = 0;

function showMoment() {
  const at = momentMs();
  say(part("moment-title"), `At ${timeOfDay(at)}, ${duration((at - Date.parse(session.started_at)) / 1000)} after the start`);
  part("moment").setAttribute("aria-valuetext", timeOfDay(at));
  const several = session.devices.length > 1;
  const here = [];
  for (const one of line.people) {
    const stretch = one.stretches.find((each) => Math.abs(Date.parse(each.start) - at) < line.step_s * 500 + 1);
    if (!stretch) continue;
    const looks = stretch.looks ?? "unsure";
    const item = make("li");
    const text = make("div");
    text.append(make("p", "who", person(one, several)), make("p", "headline", looksLike(looks)), make("p", "", stretch.looks ? `about ${Math.floor(stretch.confidence * 20) * 5}% in the mean` : "no expression was clear enough"));
    item.append(icon(looks), text);
    here.push(item);
  }
  part("looks").replaceChildren(...(here.length ? here : [make("li", "none", "No face at this moment")]));
  const steps = Number(part("moment").max) + 1;
  for (const bar of part("bars").querySelectorAll(".bar")) {
    let mark = bar.querySelector(".here");
    if (!mark) bar.append((mark = make("span", "here")));
    mark.style.left = `${((Number(part("moment").value) + 0.5) / steps) * 100}%`;
  }
  clearTimeout(pictureTimer);
  pictureTimer = setTimeout(showPicture, PICTURE_AFTER_MS);
}

/** The last picture that was kept up to the moment, of whichever of the devices has one. */
async function showPicture() {
  const mine = ++pictureNumber;
  const until = new Date(momentMs() + line.step_s * 1000).toISOString();
  try {
    const found = await Promise.all(
      session.devices.map((device) => ask("GET", `/api/v1/frames?${new URLSearchParams({ device, from: session.started_at, to: until, limit: 1 })}`)),
    );
    if (mine !== pictureNumber) return;
    const frames = found.flatMap((page) => page.items).sort((a, b) => Date.parse(b.captured_at) - Date.parse(a.captured_at));
    const image = part("picture");
    image.hidden = !frames.length;
    if (!frames.length) {
      say(part("picture-note"), "No picture was kept up to this moment. Pictures are kept where recording is switched on.");
      return;
    }
    const [frame] = frames;
    if (!image.src.endsWith(frame.jpeg)) image.src = frame.jpeg;
    image.alt = `Picture of ${frame.device} at ${timeOfDay(frame.captured_at)}`;
    say(part("picture-note"), `${frame.device}, ${timeOfDay(frame.captured_at)}`);
  } catch (error) {
    if (mine === pictureNumber) say(part("picture-note"), error.message);
  }
}

function choose(step) {
  const slider = part("moment");
  slider.value = Math.min(Number(slider.max), Math.max(0, step));
  following = Number(slider.value) === Number(slider.max);
  showMoment();
}

async function loadLine() {
  const query = begin ? `?from=${encodeURIComponent(begin)}` : "";
  const found = await attempt(() => ask("GET", `${base}/timeline${query}`));
  if (!found) return;
  line = found;
  showLine();
}

function showMarkers() {
  part("no-markers").hidden = markers.length > 0;
  const drafts = [];
  const offers = make("div"); // a list has no room for them
  part("marker-offers").replaceChildren(offers);
  part("markers").replaceChildren(
    ...markers.map((marker) => {
      const item = make("li");
      const jump = make("button", "", timeOfDay(marker.at));
      jump.type = "button";
      jump.setAttribute("aria-label", `Go to ${timeOfDay(marker.at)}`);
      jump.addEventListener("click", () => line && choose(Math.floor((Date.parse(marker.at) - fromMs()) / (line.step_s * 1000))));
      const text = make("input");
      text.value = marker.text;
      text.maxLength = 500;
      text.required = true;
      text.readOnly = !may.has("label");
      text.setAttribute("aria-label", `What was noticed at ${timeOfDay(marker.at)}`);
      const draft = fieldDraft(`marker ${marker.id}`, text, offers);
      text.addEventListener("change", async () => {
        if (await attempt(() => ask("PATCH", `${base}/markers/${marker.id}`, { text: text.value }))) draft.saved();
      });
      item.append(jump, text);
      drafts.push(draft);
      if (may.has("label")) {
        const remove = make("button", "", "Delete");
        remove.type = "button";
        remove.setAttribute("aria-label", `Delete the marker at ${timeOfDay(marker.at)}`);
        remove.addEventListener("click", async () => {
          await attempt(() => ask("DELETE", `${base}/markers/${marker.id}`));
          await loadMarkers();
          part("mark-text").focus();
        });
        item.append(remove);
      }
      return item;
    }),
  );
  if (may.has("label")) for (const draft of drafts) draft.offer();
  drawMarkers();
}

async function loadMarkers() {
  const found = await attempt(() => ask("GET", `${base}/markers`));
  if (!found) return;
  markers = found.items;
  showMarkers();
}

async function mark() {
  const text = part("mark-text").value.trim();
  if (!text || !session || !may.has("label")) return;
  // While it runs a marker means now, by the server's clock; afterwards the moment that is looked at.
  const moment = running() ? null : Math.min(momentMs(), Date.parse(session.ended_at));
  // The server's times are finer than the browser's: the first moment, cut to milliseconds, would be before the start.
  const at = running() ? {} : { at: moment <= Date.parse(session.started_at) ? session.started_at : new Date(moment).toISOString() };
  const added = await attempt(() => ask("POST", `${base}/markers`, { text, ...at }));
  if (!added) return;
  markDraft.saved();
  await loadMarkers();
  say(part("announce"), `Marked ${timeOfDay(added.at)}: ${added.text}`);
}

let saveTimer = 0;
let saved = "";
const notesDraft = fieldDraft("notes", part("notes"));
const markDraft = fieldDraft("mark", part("mark-text"), part("mark"));

async function saveNotes(keepalive = false) {
  clearTimeout(saveTimer);
  const notes = part("notes").value;
  if (notes === saved) return;
  say(part("notes-state"), "Saving");
  try {
    if (keepalive) {
      await fetch(base, { method: "PATCH", keepalive, headers: { "Content-Type": "application/json" }, body: JSON.stringify({ notes }) });
      return;
    }
    await ask("PATCH", base, { notes });
    saved = notes;
    if (part("notes").value === notes) notesDraft.saved();
    say(part("notes-state"), part("notes").value === notes ? "Saved" : "Not saved yet");
  } catch (error) {
    say(part("notes-state"), `Not saved. ${error.message} It is tried again in some seconds.`);
    saveTimer = setTimeout(saveNotes, 5000);
  }
}

/** While it runs: which of its devices record nothing, or no pictures, and why. */
async function showInTheWay() {
  const items = running() ? await attempt(async () => (await ask("GET", "/api/v1/devices")).items) : [];
  if (!items) return;
  const said = items.filter(({ device }) => session.devices.includes(device)).map((entry) => [entry.device, inTheWay(entry)]);
  const lines = said.filter(([, remark]) => remark).map(([device, remark]) => `${device}: ${remark}.`);
  const list = part("in-the-way");
  if (list.dataset.lines === JSON.stringify(lines)) return; // so that it is not read out again
  list.dataset.lines = JSON.stringify(lines);
  list.replaceChildren(...lines.map((line) => make("li", "note", line)));
}

const TIMES = ["started_at", "ended_at"];
const correction = part("correct");
const correctionDraft = correction && formDraft("correct", correction);

/** What is known of the session into the form that corrects it. */
async function showCorrection() {
  const { elements } = correction;
  for (const name of ["participant", "condition"]) elements[name].value = session[name];
  for (const name of TIMES) fillMoment(elements[name], session[name]);
  await fillDeviceBoxes(part("devices"), (device) => session.devices.includes(device), session.devices);
}

/** What differs from what is known. */
function corrections() {
  const given = new FormData(correction);
  const changes = {};
  for (const name of ["participant", "condition"]) if (given.get(name) !== session[name]) changes[name] = given.get(name);
  const devices = given.getAll("devices");
  if ([...devices].sort().join() !== [...session.devices].sort().join()) changes.devices = devices;
  for (const name of TIMES) {
    const moment = momentOf(correction.elements[name]) || null;
    if (moment === session[name]) continue;
    if (!moment && name === "started_at") throw new Error("Give the time at which the session started.");
    changes[name] = moment;
  }
  if (changes.devices?.length === 0) throw new Error("Choose at least one device.");
  return changes;
}

if (correction) {
  onSubmit(correction, async () => {
    say(part("corrected"), "");
    const changes = corrections();
    if (Object.keys(changes).length) {
      await ask("PATCH", base, changes);
      correctionDraft.saved();
      session = await ask("GET", base);
      showSession();
      await Promise.all([showCorrection(), loadLine(), showInTheWay()]);
      say(part("corrected"), "Saved.");
    } else say(part("corrected"), "Nothing was changed.");
  });
}

async function open() {
  session = await attempt(() => ask("GET", base));
  if (!session) return;
  saved = session.notes;
  part("notes").value = saved;
  part("notes").readOnly = !may.has("research");
  part("remove").hidden = !may.has("research");
  part("mark").hidden = !may.has("label");
  if (may.has("research")) notesDraft.offer();
  if (may.has("label")) markDraft.offer();
  showSession();
  await Promise.all([loadLine(), loadMarkers(), showInTheWay()]);
  if (correction) {
    await showCorrection();
    correctionDraft.offer();
  }
}

part("moment").addEventListener("input", () => line && choose(Number(part("moment").value)));
part("mark").addEventListener("submit", (event) => {
  event.preventDefault();
  mark();
});
part("stop").addEventListener("click", async () => {
  const ended = await attempt(() => ask("POST", `${base}/stop`));
  if (!ended) return;
  session = { ...session, ...ended };
  showSession();
  await Promise.all([loadLine(), showInTheWay(), ...(correction ? [showCorrection()] : [])]);
});
part("later").addEventListener("click", () => {
  begin = line.to;
  following = false;
  part("moment").value = 0;
  loadLine();
});
part("notes").addEventListener("input", () => {
  say(part("notes-state"), "Not saved yet");
  clearTimeout(saveTimer);
  saveTimer = setTimeout(saveNotes, SAVE_AFTER_MS);
});
part("notes").addEventListener("blur", () => saveNotes());
addEventListener("pagehide", () => saveNotes(true));
part("sure").addEventListener("change", () => (part("delete").disabled = !part("sure").checked));
part("delete").addEventListener("click", async () => {
  if (await attempt(() => ask("DELETE", base))) location.assign("/sessions");
});
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !line || event.target.closest("input:not([type=range]), textarea, select")) return;
  if (event.target === part("moment") && event.key.startsWith("Arrow") && !event.shiftKey) return; // the slider's own
  const step = Number(part("moment").value);
  const far = event.shiftKey ? 10 : 1;
  if (event.key === "ArrowLeft") choose(step - far);
  else if (event.key === "ArrowRight") choose(step + far);
  else if (shortcut(event) === "m") mark();
  else return;
  event.preventDefault();
});
new ResizeObserver(fitWords).observe(part("bars"));
setInterval(() => {
  if (!session || !running() || document.hidden) return;
  loadLine();
  showInTheWay();
}, REFRESH_MS);
open();
