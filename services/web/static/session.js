// The review of one study session: how each person looked over time, the picture at a moment, markers, notes.

import { ask } from "./api.js";
import { chip, icon, make, say } from "./dom.js";
import { fieldDraft, formDraft } from "./drafts.js";
import { onPress, onSubmit } from "./forms.js";
import { fillMoment, momentOf } from "./moment-field.js";
import { again } from "./polling.js";
import { SessionChanges } from "./session-changes.js";
import { sessionName } from "./session-choice.js";
import { fillDeviceBoxes, inTheWay } from "./session-devices.js";
import { Markers } from "./session-markers.js";
import { SessionNotes } from "./session-notes.js";
import { shortcut } from "./shortcuts.js";
import { Troubles } from "./troubles.js";
import { counted, dateAndTime, duration, EMOTIONS, looksLike, timeOfDay } from "./words.js";

const REFRESH_MS = 10_000; // while it runs
const PICTURE_AFTER_MS = 150;
const WORD_PX = 90; // a stretch narrower than this has no room for its word
const NO_FACE_STEPS = 1.5;
const DAY_MS = 24 * 3600e3; // the most that is drawn at once
const ROUNDING = 1e-6; // a step's own start may be counted a hair before it

const part = (id) => document.getElementById(id);
const id = location.pathname.split("/").at(-1);
const base = `/api/v1/sessions/${encodeURIComponent(id)}`;
const may = new Set(part("session").dataset.rights.split(" "));

let session = null;
let line = null;
let lineTurn = 0; // of two answers the older one is let go
let begin = null; // of the stretch shown, where it is not the session's start
let momentMs = null; // the one that is looked at: the steps of the line grow while a session runs
let following = true; // a running session's last moment, until another is chosen

const troubles = new Troubles(part("trouble"));

/** Do something that may be refused; says so on the page, until it is done after all. */
async function attempt(what, action) {
  try {
    const result = await action();
    troubles.tell(what, null);
    return result;
  } catch (error) {
    troubles.tell(what, error.message);
    return null;
  }
}

const changes = new SessionChanges(base);
const notes = new SessionNotes(changes);
const markers = new Markers(`${base}/markers`, may.has("label"), troubles, { chosen: goTo, shown: drawMarkers, clock });

const fromMs = () => Date.parse(line.from);
const stepMs = () => line.step_s * 1000;
const stepStart = (step) => fromMs() + step * stepMs();
const stepOf = (stretch) => Math.round((Date.parse(stretch.start) - fromMs()) / stepMs());
const running = () => session.ended_at === null;
const startedMs = () => Date.parse(session.started_at);
const lengthMs = () => (running() ? Date.now() : Date.parse(session.ended_at)) - startedMs();

/** A moment of this session: with its date where the time of day is not enough. */
function clock(moment) {
  return lengthMs() > DAY_MS ? dateAndTime(moment) : timeOfDay(moment);
}

function showSession() {
  say(part("title"), `Session of ${session.participant}`);
  document.title = `Session of ${session.participant} · Emotion at the Edge`;
  chip(part("state"), running() ? "good" : "wait", running() ? "recording" : "good", running() ? "Running" : "Ended");
  part("stop").hidden = !running() || !may.has("research");
  const facts = [["Condition", session.condition || "none given"], ["Devices", session.devices.join(", ")], ["Started", dateAndTime(session.started_at)], ["Ended", running() ? "not yet" : dateAndTime(session.ended_at)], ["Length", duration(lengthMs() / 1000)], ["Started by", session.created_by]];
  part("facts").replaceChildren(
    ...facts.map(([name, value]) => {
      const row = make("div");
      row.append(make("dt", "", name), make("dd", "", value));
      return row;
    }),
  );
  const others = session.overlaps ?? [];
  part("overlaps").hidden = !others.length;
  const links = others.map((other) => {
    const link = make("a", "target", sessionName(other));
    link.href = `/sessions/${other.id}`;
    const item = make("li");
    item.append(link, ` (${other.devices.join(", ")})`);
    return item;
  });
  say(part("overlaps-word"), `The same records belong to ${others.length === 1 ? "another session" : "other sessions"} too:`);
  part("overlaps-list").replaceChildren(...links);
  part("faces-csv").href = `${base}/faces.csv`;
  part("markers-csv").href = `${base}/markers.csv`;
  say(part("mark-word"), running() ? "Mark now" : "Mark this moment");
}

/** A person's stretches, neighbours that look the same joined: [from, to) in steps of the line. */
function runs(person) {
  const found = [];
  for (const stretch of person.stretches) {
    const at = stepOf(stretch);
    const looks = stretch.looks ?? "unsure";
    const last = found.at(-1);
    if (last && last.looks === looks && at - last.to < NO_FACE_STEPS) last.to = at + 1;
    else found.push({ looks, from: at, to: at + 1 });
  }
  return found;
}

const person = (one, several) => `Person ${one.track_id}${several ? ` at ${one.device}` : ""}`;

function showLine() {
  const steps = Math.max(1, Math.ceil((Date.parse(line.to) - fromMs()) / stepMs()));
  part("moment").max = steps - 1;
  lookAt(following && running() && line.complete ? stepStart(steps - 1) : (momentMs ?? fromMs()));
  const several = session.devices.length > 1;
  part("bars").replaceChildren(
    ...line.people.map((one) => {
      const box = make("div", "person");
      const bar = make("div", "bar");
      bar.setAttribute("role", "img");
      const found = runs(one);
      bar.setAttribute("aria-label", `${person(one, several)}: ${counted(found.length, "stretch", "stretches")}; the table below says how long each look lasted.`);
      for (const run of found) {
        const piece = make("span", `run run-${run.looks}`, looksLike(run.looks));
        piece.style.left = `${(run.from / steps) * 100}%`;
        piece.style.width = `${((run.to - run.from) / steps) * 100}%`;
        piece.title = `${looksLike(run.looks)}, ${clock(stepStart(run.from))}`;
        piece.dataset.share = (run.to - run.from) / steps;
        bar.append(piece);
      }
      bar.addEventListener("click", (event) => {
        const place = bar.getBoundingClientRect();
        chooseStep(Math.floor(((event.clientX - place.left) / place.width) * steps));
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
  const left = line.people_left_out ? ` ${counted(line.people_left_out, "more was seen for shorter and is", "more were seen for shorter and are")} not drawn.` : "";
  say(part("line-note"), line.people.length ? `${span}${left} Where a bar is empty there was no face.` : "No face was read in this time. Check that the device was on and its clock right; readings that wait on the device come when it is connected.");
  part("later").hidden = line.complete;
  part("earlier").hidden = fromMs() <= startedMs();
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
    for (const marker of markers.items) {
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
  const step = Number(part("moment").value);
  say(part("moment-title"), `At ${clock(momentMs)}, ${duration((momentMs - startedMs()) / 1000)} after the start`);
  part("moment").setAttribute("aria-valuetext", clock(momentMs));
  const several = session.devices.length > 1;
  const here = [];
  for (const one of line.people) {
    const stretch = one.stretches.find((each) => stepOf(each) === step);
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
    mark.style.left = `${((step + 0.5) / steps) * 100}%`;
  }
  clearTimeout(pictureTimer);
  pictureTimer = setTimeout(showPicture, PICTURE_AFTER_MS);
}

/** The last picture that was kept up to the moment, of whichever of the devices has one. */
async function showPicture() {
  const mine = ++pictureNumber;
  const until = new Date(stepStart(Number(part("moment").value) + 1)).toISOString();
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
    image.alt = `Picture of ${frame.device} at ${clock(frame.captured_at)}`;
    say(part("picture-note"), `${frame.device}, ${clock(frame.captured_at)}`);
  } catch (error) {
    if (mine === pictureNumber) say(part("picture-note"), error.message);
  }
}

/** Set the slider to the step in which a moment is; one outside the line is brought to its nearer end. */
function lookAt(moment) {
  const slider = part("moment");
  const step = Math.floor((moment - fromMs()) / stepMs() + ROUNDING);
  slider.value = Math.min(Number(slider.max), Math.max(0, step));
  momentMs = Number(slider.value) === step ? moment : stepStart(Number(slider.value));
}

function choose(moment) {
  lookAt(moment);
  following = part("moment").value === part("moment").max;
  showMoment();
}

const chooseStep = (step) => choose(stepStart(step));

/** Look at a moment, also one that is not drawn: then the 24 hours that hold it are. */
async function goTo(moment) {
  if (!line) return;
  if (moment < fromMs() || moment > Date.parse(line.to)) {
    const days = Math.floor((moment - startedMs()) / DAY_MS);
    if (!(await loadFrom(days > 0 ? new Date(startedMs() + days * DAY_MS).toISOString() : null))) return;
  }
  choose(moment);
}

/** Draw 24 hours that begin at another time, null for the session's start; says whether they are drawn. */
async function loadFrom(wanted) {
  const before = begin;
  begin = wanted;
  following = false;
  const drawn = await loadLine();
  if (!drawn && begin === wanted) begin = before;
  return drawn;
}

async function loadLine() {
  const mine = ++lineTurn;
  const query = begin ? `?from=${encodeURIComponent(begin)}` : "";
  try {
    const found = await ask("GET", `${base}/timeline${query}`);
    if (mine !== lineTurn) return false;
    line = found;
    troubles.tell("line", null);
  } catch (error) {
    if (mine === lineTurn) troubles.tell("line", error.message);
    return false;
  }
  showLine();
  return true;
}

let marking = false;

async function mark() {
  const text = part("mark-text").value.trim();
  if (marking || !text || !session || !may.has("label") || !(running() || line)) return;
  // While it runs a marker means now, by the server's clock; afterwards the moment that is looked at.
  const moment = running() ? null : Math.min(momentMs, Date.parse(session.ended_at));
  // The server's times are finer than the browser's: the first moment, cut to milliseconds, would be before the start.
  const at = running() ? {} : { at: moment <= Date.parse(session.started_at) ? session.started_at : new Date(moment).toISOString() };
  marking = true; // one press, one marker, by the key as well
  const added = await attempt("mark", () => ask("POST", `${base}/markers`, { text, ...at }));
  marking = false;
  if (!added) return;
  if (part("mark-text").value.trim() === text) markDraft.saved();
  await markers.load();
  say(part("announce"), `Marked ${clock(added.at)}: ${added.text}`);
}

const markDraft = fieldDraft("mark", part("mark-text"), part("mark"));

/** While it runs: which of its devices record nothing, or no pictures, and why. */
async function showInTheWay() {
  const items = running() ? await attempt("devices", async () => (await ask("GET", "/api/v1/devices")).items) : [];
  if (!items || (items.length && !running())) return; // or it was ended meanwhile, and said so by a later turn
  const said = items.filter(({ device }) => session.devices.includes(device)).map((entry) => [entry.device, inTheWay(entry)]);
  const lines = said.filter(([, remark]) => remark).map(([device, remark]) => `${device}: ${remark}.`);
  const list = part("in-the-way");
  if (list.dataset.lines === JSON.stringify(lines)) return; // so that it is not read out again
  list.dataset.lines = JSON.stringify(lines);
  list.replaceChildren(...lines.map((line) => make("li", "note", line)));
}

const TIMES = ["started_at", "ended_at"];
const NAMES = { participant: "participant’s code", condition: "condition", devices: "devices", started_at: "start", ended_at: "end" }; // of what can be corrected
const correction = part("correct");
const correctionDraft = correction && formDraft("correct", correction);

/** What is known of the session into the form that corrects it, but for what is `typed` there. */
async function showCorrection(typed = {}) {
  const { elements } = correction;
  for (const name of ["participant", "condition"]) if (!(name in typed)) elements[name].value = session[name];
  for (const name of TIMES) if (!(name in typed)) fillMoment(elements[name], session[name]);
  if (!("devices" in typed)) await fillDeviceBoxes(part("devices"), (device) => session.devices.includes(device), session.devices);
}

/** What differs from what is known. */
function corrections() {
  const given = new FormData(correction);
  const wanted = {};
  for (const name of ["participant", "condition"]) if (given.get(name) !== session[name]) wanted[name] = given.get(name);
  const devices = given.getAll("devices");
  // Where the devices could not be listed there is nothing to tick, and they stay as they are.
  const listed = part("devices").querySelector("[name=devices]") !== null;
  if (listed && [...devices].sort().join() !== [...session.devices].sort().join()) wanted.devices = devices;
  for (const name of TIMES) {
    const moment = momentOf(correction.elements[name]) || null;
    if (moment === session[name]) continue;
    if (!moment && name === "started_at") throw new Error("Give the time at which the session started.");
    wanted[name] = moment;
  }
  if (wanted.devices?.length === 0) throw new Error("Choose at least one device.");
  return wanted;
}

/** Where somebody else corrected the same, theirs is shown, and what is typed stands beside it until it is saved again. */
async function correct(wanted) {
  try {
    await changes.change(wanted);
  } catch (problem) {
    if (!problem.now) throw problem;
    const theirs = Object.keys(wanted).filter((name) => JSON.stringify(problem.now[name]) !== JSON.stringify(session[name])).map((name) => NAMES[name]);
    session = { ...session, ...problem.now };
    changes.shows(session, Object.keys(NAMES));
    showSession();
    await showCorrection(wanted);
    throw new Error(`Not saved: somebody else corrected this meanwhile (${theirs.join(", ")}). The head of this page has theirs, this form still has yours. Save again to write yours over it.`);
  }
}

async function saveCorrections() {
  say(part("corrected"), "");
  const wanted = corrections();
  if (!Object.keys(wanted).length) {
    say(part("corrected"), "Nothing was changed.");
    return;
  }
  await correct(wanted);
  correctionDraft.saved();
  session = await ask("GET", base);
  changes.shows(session, Object.keys(NAMES));
  showSession();
  await Promise.all([showCorrection(), loadLine(), showInTheWay()]);
  say(part("corrected"), "Saved.");
}

async function open() {
  try {
    session = await ask("GET", base);
  } catch (error) {
    const gone = [404, 422].includes(error.status); // 422: no session has such an id
    if (gone) {
      for (const each of document.querySelectorAll("main .card:not(#session), #session > :not(header), #state")) each.hidden = true;
      say(part("title"), "This session is not there");
    }
    troubles.tell("session", gone ? "It may have been deleted, or the address may be mistyped. The link above leads to all study sessions." : error.message);
    return;
  }
  changes.shows(session);
  notes.show(session.notes, may.has("research"));
  part("remove").hidden = !may.has("research");
  part("mark").hidden = !may.has("label");
  if (may.has("label")) markDraft.offer();
  showSession();
  await Promise.all([loadLine(), markers.load(), showInTheWay()]);
  if (correction) {
    await showCorrection();
    correctionDraft.offer();
    onSubmit(correction, saveCorrections); // not before it shows what it corrects
  }
}

part("moment").addEventListener("input", () => line && chooseStep(Number(part("moment").value)));
onSubmit(part("mark"), mark, (text) => troubles.tell("mark", text));
onPress(part("stop"), async () => {
  const ended = await attempt("stop", () => ask("POST", `${base}/stop`));
  if (!ended) return;
  // What else somebody changed of it is left to the corrections: what is typed there was made from what is shown.
  session = { ...session, ended_at: ended.ended_at };
  changes.shows(ended, ["ended_at"]);
  showSession();
  if (correction) fillMoment(correction.elements.ended_at, session.ended_at);
  await Promise.all([loadLine(), showInTheWay()]);
});
part("later").addEventListener("click", () => loadFrom(line.to));
part("earlier").addEventListener("click", () => loadFrom(fromMs() - DAY_MS > startedMs() ? new Date(fromMs() - DAY_MS).toISOString() : null));
part("sure").addEventListener("change", () => (part("delete").disabled = !part("sure").checked));
onPress(part("delete"), async () => {
  if (await attempt("delete", () => ask("DELETE", base))) location.assign("/sessions");
});
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !line || event.target.closest("input:not([type=range]), textarea, select")) return;
  if (event.target === part("moment") && event.key.startsWith("Arrow") && !event.shiftKey) return; // the slider's own
  const step = Number(part("moment").value);
  const far = event.shiftKey ? 10 : 1;
  if (event.key === "ArrowLeft") chooseStep(step - far);
  else if (event.key === "ArrowRight") chooseStep(step + far);
  else if (shortcut(event) === "m") mark();
  else return;
  event.preventDefault();
});
new ResizeObserver(fitWords).observe(part("bars"));
again(async () => {
  if (session && running() && !document.hidden) await Promise.all([loadLine(), showInTheWay()]);
}, REFRESH_MS);
open();
