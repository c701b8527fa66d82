// The page that labels: one face after the other, by keys or buttons.

import { addressed } from "./address.js";
import { Answered } from "./answered.js";
import { ask, hindrance } from "./api.js";
import { waitAfter } from "./backoff.js";
import { fill, icon, make, say } from "./dom.js";
import { fillDevices, fillForm, fromForm, showTimes } from "./filter-form.js";
import { takeSubmit } from "./forms.js";
import { forServer } from "./history-filter.js";
import { inBrowser } from "./kept.js";
import { LabelPicture } from "./label-picture.js";
import { loggedOut } from "./logged-out.js";
import "./session-choice.js";
import { shortcut } from "./shortcuts.js";
import { Troubles } from "./troubles.js";
import { same, Votes } from "./votes.js";
import { adjective, certainty, counted, EMOTIONS } from "./words.js";

const DRAWINGS = { unknown: "unsure", not_a_face: "off" }; // an emotion's drawing has its name
const CHOICES = [...EMOTIONS, "unknown", "not_a_face"].map((name, place) => [String(place + 1), name, adjective(name), DRAWINGS[name] ?? name]); // key, label, word, drawing
const WORDS = Object.fromEntries(CHOICES.map(([, name, word]) => [name, word]));
const AHEAD = 8; // faces fetched before they are needed
const MAX_SKIPPED = 100;
const SETTLE_MS = 350; // a pointer's press that soon after a face came belongs to the gesture before
const name = inBrowser("emotion-edge labeller");

const part = (id) => document.getElementById(id);
const filter = part("filter");
const loggedIn = part("work").dataset.labeller || "";

let asked = null; // which faces are wanted, as the address says it
let turn = 0; // an answer to what was asked before is let go
let votes = null;
let done = null; // what was answered here, for undo
let queue = []; // faces to come; the first is shown
let skipped = []; // not wanted now, or without a picture: not asked for again
let told = nothingTold();
let asking = false;
let looking = true; // whether more faces may come by themselves
let failures = 0; // of asking for more faces
let timer = 0;
let lost = 0; // pictures in a row that were gone
let spokenOf = null; // the vote that the line below the answers is about
let hasty = false; // whether that line says of a press that it came too soon
let settling = 0; // the timer of the face that has just come

/** Ask the REST interface for this labeller; throws a Problem. */
function get(path, query = {}) {
  const parameters = new URLSearchParams(query);
  if (!loggedIn) parameters.set("labeller", votes.labeller);
  if (path === "queue") for (const face of skipped) parameters.append("skip", `${face.event_id}:${face.face_index}`);
  return ask("GET", `/api/v1/labels/${path}?${parameters}`);
}

/** What the queue says before it was asked. */
function nothingTold() {
  return { waiting: null, more: false };
}

/** Say what became of a press, and of which vote, where it is one whose answer may still be told. */
function tell(text, face = null) {
  spokenOf = face;
  hasty = false;
  say(part("last"), text);
}

/** Of what is wrong, {status, text} each, the one thing to say: mostly all have one cause. A login that ended comes before
 * all else. */
function worst(all) {
  if (!all.some(({ status }) => status === 401)) return all[0].text;
  loggedOut();
  if (!votes?.onlyHere) return "What you answered is kept in this browser and is sent when you are back.";
  return votes.waiting().length ? "Log in in another tab, then go on here: what you answered last is in this page alone, since this browser keeps nothing for it." : "Log in again to go on. All your answers are on the server.";
}

const troubles = new Troubles(part("trouble"), worst);

function showSaved(waiting, problem) {
  const some = counted(waiting, "answer is", "answers are");
  const kept = votes.onlyHere ? "in this page alone" : "kept in this browser";
  const told = waiting ? `${some} ${kept} and not yet on the server.` : "All your answers are on the server.";
  const warned = votes.onlyHere ? " This browser keeps nothing for this page: leave it only when all are on the server." : "";
  say(part("saved"), told + warned);
  if (problem) troubles.tell("votes", { status: problem.status, text: `${hindrance(problem)} Your answers are ${kept} and sent again.` });
  else if (!waiting) troubles.tell("votes", null);
}

/** What an answer can be given to is marked so; a button keeps the focus all the same. */
function allow({ answers, skips }) {
  for (const button of part("choices").children) button.setAttribute("aria-disabled", String(!answers));
  part("skip").setAttribute("aria-disabled", String(!skips));
}

function nothingLeft() {
  if (looking) return "Looking for faces";
  if (String(asked)) return told.more ? "You labelled all of the newest 20,000 pictures that fit. Choose an earlier time." : "No face fits that you have not labelled or skipped. Choose other faces, or clear the filter.";
  if (told.more) return "All of the newest 20,000 pictures are labelled by you.";
  if (told.waiting) return "The faces that are left are those you skipped, or whose picture is gone. Load this page again to see them.";
  return "No face is left to label. Faces come with kept pictures: switch recording on at a device, or come back later.";
}

function showFace() {
  const face = queue[0] ?? null;
  allow({ answers: face, skips: face });
  troubles.tell("picture", null);
  say(part("face-note"), face ? "Loading the picture" : nothingLeft());
  picture.show(face);
  settle();
}

const picture = new LabelPicture(part("face"), part("mark"), {
  seen() {
    lost = 0;
    settle();
    allow({ answers: true, skips: true });
    troubles.tell("picture", null);
    say(part("face-note"), "");
    for (const later of queue.slice(1, 4)) new Image().src = later.picture; // so that they are there when they are wanted
  },
  gone(face) {
    // Nothing to judge, so on to the next. Where one is gone others may be: ask which are left.
    leaveOut(face);
    queue = [];
    tell("One picture was erased or has expired; here is the next.");
    lost += 1;
    // Of faces that it has just offered the server seldom says so: ask on, but not without a pause.
    if (lost > 3) {
      lookAgain(waitAfter(lost - 3));
      showFace();
    } else next();
  },
  failing(status, wait) {
    allow({ answers: false, skips: true });
    say(part("face-note"), "The picture could not be loaded");
    const why = status === 0 ? hindrance({ status }) : `The web service answered ${status}.`;
    troubles.tell("picture", { status, text: `The picture could not be loaded. ${why} It is tried again in ${wait / 1000} s; you can skip this face meanwhile.` });
  },
});

function leaveOut(face) {
  skipped = [...skipped, face].slice(-MAX_SKIPPED);
}

function lookAgain(wait) {
  looking = true;
  clearTimeout(timer);
  timer = setTimeout(fetchMore, wait);
}

/** Fetch more faces before they run out. */
async function fetchMore() {
  if (asking || queue.length > AHEAD / 2) return;
  asking = looking = true;
  const mine = turn;
  const query = forServer(asked, Date.now(), "all");
  query.set("limit", AHEAD * 2);
  try {
    const answer = await get("queue", query);
    if (mine !== turn) return;
    const known = [...queue, ...votes.waiting(), ...done.faces, ...skipped];
    const empty = queue.length === 0;
    queue.push(...answer.items.filter((item) => !known.some((other) => same(item, other))));
    told = { waiting: answer.waiting, more: answer.more };
    if (counts) showProgress();
    else if (!counting) recount(); // it failed before; now the service answers
    asking = looking = false;
    failures = 0;
    troubles.tell("queue", null);
    if (empty) showFace();
  } catch (problem) {
    if (mine !== turn) return;
    asking = false;
    failures += 1;
    const again = problem.status !== 422; // such a filter is never taken
    troubles.tell("queue", { status: problem.status, text: again ? `${hindrance(problem)} This page tries again by itself.` : problem.message });
    if (!again) {
      looking = false;
      showFace();
    } else if (problem.status !== 401) lookAgain(waitAfter(failures));
  }
}

/** Show the next face; those after it are fetched meanwhile. */
function next() {
  fetchMore();
  showFace();
}

/** What was fetched is not wanted any more, and what is under way is let go. */
function letGo() {
  turn += 1;
  queue = [];
  told = nothingTold();
  asking = false;
  failures = 0;
  clearTimeout(timer);
}

/** Ask for the faces that the address names. */
function askFor(wanted) {
  asked = new URLSearchParams();
  for (const field of filter.elements) if (wanted.get(field.name)) asked.set(field.name, wanted.get(field.name));
  fillForm(filter, asked);
  say(part("which-title"), String(asked) ? "Which faces: those that fit the filter" : "Which faces: all");
  part("which").open ||= Boolean(String(asked));
  letGo();
  if (votes) next();
}

const go = addressed(askFor);

function answer(label) {
  const face = queue[0];
  if (!face || picture.seen !== face) {
    tell(face ? "That answer was not counted: the picture was not there yet." : "That answer was not counted: no face is shown.");
    return;
  }
  queue.shift();
  done.add(face);
  showUndo();
  tell(`You said: ${WORDS[label]}.`, face);
  votes.add({ event_id: face.event_id, face_index: face.face_index, label });
  next();
}

function skip() {
  const face = queue.shift();
  if (!face) return;
  leaveOut(face);
  tell("Skipped.");
  next();
}

const TOO_SOON = " A press so soon after a face comes is not counted.";

/** From now on a face is to be looked at, before a pointer acts on it. */
function settle() {
  clearTimeout(settling);
  part("choices").dataset.settling = "";
  settling = setTimeout(() => delete part("choices").dataset.settling, SETTLE_MS);
}

/** Have a button act once for each gesture: what a double click or a double tap presses the second time is another face. */
function onFacePress(button, act) {
  button.addEventListener("click", ({ detail: times }) => {
    const byPointer = times > 0; // keys are pressed one by one
    if (times > 1 || (byPointer && "settling" in part("choices").dataset)) {
      if (!hasty) say(part("last"), `${part("last").textContent}${TOO_SOON}`.trim());
      hasty = true;
    } else act();
  });
}

function showUndo() {
  part("undo").disabled = done.last === null;
}

function undo() {
  const face = done.last;
  if (!face) return;
  done.remove(face);
  showUndo();
  queue.unshift(face);
  tell("Taken back. Here is the face again.");
  votes.add({ event_id: face.event_id, face_index: face.face_index, label: null });
  countOff();
  showFace();
}

const on = {
  taken(vote, { guess, others }) {
    // Only what was answered last is told; a vote that waited for long says nothing now.
    if (spokenOf && same(spokenOf, vote)) {
      say(part("last"), `You said: ${WORDS[vote.label]}. The model: ${guess.words.headline.toLowerCase()}, ${certainty(guess.words)}.${hasty ? TOO_SOON : ""}`);
    }
    countOn(Object.values(others).reduce((sum, said) => sum + said, 0));
  },
  refused(vote, problem) {
    done.remove(vote);
    showUndo();
    const gone = problem.status !== 422;
    tell(gone ? "That face was erased meanwhile, so your answer was not kept. Go on with the next one." : `That answer was not kept. ${problem.message}`);
    queue = []; // where one face is gone others may be, though their pictures were fetched: ask which are left
    next();
  },
  state: showSaved,
};

const RECOUNT_MS = 60_000; // to count all votes anew is much work where there are many
let counts = null; // what the server counted, and what was answered since
let countedAt = 0;
let counting = null; // "asking", or "again" where votes were kept while the server counted

async function recount() {
  if (counting) {
    counting = "again"; // the answer that is under way may have been counted before the vote
    return;
  }
  counting = "asking";
  const whose = votes;
  const midnight = new Date();
  midnight.setHours(0, 0, 0, 0);
  try {
    const found = await get("progress", { since: midnight.toISOString() });
    if (whose !== votes) return;
    counts = found;
    countedAt = Date.now();
    showProgress();
    troubles.tell("progress", null);
  } catch (error) {
    if (whose !== votes) return;
    troubles.tell("progress", { status: error.status, text: error.message });
  }
  const missed = counting === "again";
  counting = null;
  if (missed) recount();
}

function showProgress() {
  const rows = [
    ["Your votes today", counts.votes_since],
    ["Your votes in all", counts.votes],
    ["Faces labelled by anybody", counts.faces_of_all],
    ["Faces labelled by several", counts.faces_of_several],
    [told.more ? "Faces waiting, at least" : "Faces waiting when last asked", told.waiting],
  ];
  fill(part("progress"), rows.map(([name, value]) => [name, value?.toLocaleString() ?? "not counted yet"]));
}

/** Count a vote that the server kept; `others` is how many others voted on the face. */
function countOn(others) {
  if (counting || !counts || Date.now() - countedAt > RECOUNT_MS) {
    recount();
    return;
  }
  counts.votes_since += 1;
  counts.votes += 1;
  if (others === 0) counts.faces_of_all += 1;
  if (others === 1) counts.faces_of_several += 1;
  showProgress();
}

/** Count a vote that was taken back. In which of the other counts it was only the server knows: the next vote asks. */
function countOff() {
  if (!counts) return;
  countedAt = 0;
  counts.votes_since = Math.max(0, counts.votes_since - 1);
  counts.votes = Math.max(0, counts.votes - 1);
  showProgress();
}

const share = (value) => (value === null ? "not defined" : value.toLocaleString(undefined, { minimumFractionDigits: 2, maximumFractionDigits: 2 }));

async function showAgreement() {
  say(part("agreement-text"), "Counting all votes.");
  try {
    const found = await ask("GET", "/api/v1/labels/agreement");
    const text = found.faces
      ? `Over ${counted(found.faces, "face")} with two votes or more, Fleiss’ kappa is ${share(found.fleiss_kappa)}.`
      : "No face has two votes yet. Agreement is counted where two people labelled the same face.";
    say(part("agreement-text"), text);
    part("agreement-scroll").hidden = found.pairs.length === 0;
    part("agreement-rows").replaceChildren(
      ...found.pairs.map((pair) => {
        const row = make("tr");
        row.append(make("td", "", `${pair.first} and ${pair.second}`), make("td", "", pair.faces.toLocaleString()), make("td", "", `${Math.round(pair.agreement * 100)}%`), make("td", "", share(pair.kappa)));
        return row;
      }),
    );
  } catch (error) {
    say(part("agreement-text"), `Agreement could not be counted. ${error.message}`);
  }
}

const AT_ANSWERS = ".ask button"; // there Space skips as anywhere; Enter presses

function onKey(event) {
  if (event.repeat && event.key === "Enter" && event.target.closest(AT_ANSWERS)) event.preventDefault(); // one answer each
  const key = shortcut(event);
  if (!key || !votes) return;
  if (key === "?") part("help").showModal();
  else if (key === "z") undo();
  else if (key === " ") {
    if (event.target.closest("button, a, summary") && !event.target.closest(AT_ANSWERS)) return; // it presses that
    event.preventDefault();
    skip();
  } else {
    const choice = CHOICES.find(([its]) => its === key);
    if (choice) answer(choice[1]);
  }
}

/** Some browsers press a button when Space is let go, whatever became of its being pressed. */
function onKeyUp(event) {
  if (shortcut(event) === " " && event.target.closest(AT_ANSWERS)) event.preventDefault();
}

const everybodys = new Map(); // the votes of each who labelled here, so that what waits is still sent as theirs

/** The votes of somebody. What becomes of them is told to nobody else. */
function votesOf(labeller) {
  if (!everybodys.has(labeller)) {
    const theirs = (act) => (...about) => votes?.labeller === labeller && act(...about);
    everybodys.set(labeller, new Votes(labeller, !loggedIn, { taken: theirs(on.taken), refused: theirs(on.refused), state: theirs(on.state) }));
  }
  return everybodys.get(labeller);
}

/** Ask who labels; until then nobody does. */
function change() {
  letGo();
  for (const about of ["votes", "queue", "picture", "progress"]) troubles.tell(about, null);
  part("labeller").value = votes.labeller;
  votes = done = counts = counting = null;
  skipped = [];
  tell("");
  picture.show(null);
  fill(part("progress"), []);
  say(part("saved"), "");
  part("work").hidden = part("who").hidden = true;
  part("name-form").hidden = false;
  part("labeller").select();
}

function begin(labeller) {
  part("name-form").hidden = true;
  part("work").hidden = part("who").hidden = false;
  say(part("who-name"), labeller);
  votes = votesOf(labeller);
  done = new Answered(labeller);
  showUndo();
  votes.send(); // what an earlier visit left
  next();
  recount();
}

for (const [key, label, word, drawing] of CHOICES) {
  const button = make("button");
  button.type = "button";
  button.append(icon(drawing), make("span", "", word), make("kbd", "shortcut", key));
  onFacePress(button, () => answer(label));
  part("choices").append(button);
  part("keys").append(make("dt", "", key), make("dd", "", word));
}
for (const [key, what] of [["Space", "Skip this face"], ["Enter", "Press the button that has the focus"], ["Z", "Take the last answer back"], ["?", "Show this list"], ["Escape", "Close this list"]]) {
  part("keys").append(make("dt", "", key), make("dd", "", what));
}
onFacePress(part("skip"), skip);
onFacePress(part("undo"), undo);
part("help-open").addEventListener("click", () => part("help").showModal());
part("help-close").addEventListener("click", () => part("help").close());
takeSubmit(filter, () => go(fromForm(filter)));
filter.addEventListener("change", (event) => {
  showTimes(filter);
  // Choices act at once; what is typed waits for the button or Enter.
  if (event.target.matches("select, session-choice") && filter.elements.last.value !== "own") go(fromForm(filter));
});
part("reset").addEventListener("click", () => go(new URLSearchParams()));
part("agreement-refresh").addEventListener("click", showAgreement);
part("agreement").addEventListener("toggle", showAgreement, { once: true }); // not before somebody looks at it
takeSubmit(part("name-form"), () => {
  const said = part("labeller").value.trim();
  if (!said) return;
  name.write(said);
  begin(said);
});
part("who-change").addEventListener("click", change);
addEventListener("keydown", onKey);
addEventListener("keyup", onKeyUp);
addEventListener("beforeunload", (event) => {
  if ([...everybodys.values()].some((each) => each.onlyHere && each.waiting().length)) event.preventDefault(); // the browser asks whether to leave
});

askFor(new URLSearchParams(location.search));
fillDevices(filter.elements.device);
const labeller = loggedIn || name.read();
if (labeller) begin(labeller);
else part("name-form").hidden = false;
