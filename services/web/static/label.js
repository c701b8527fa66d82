// The page that labels: one face after the other, by keys or buttons.

import { icon, make, say } from "./dom.js";
import { certainty } from "./words.js";
import { same, Votes } from "./votes.js";

const CHOICES = [
  // key, label, word, drawing; the emotions in FER2013's order
  ["1", "angry", "Angry", "angry"],
  ["2", "disgust", "Disgusted", "disgust"],
  ["3", "fear", "Afraid", "fear"],
  ["4", "happy", "Happy", "happy"],
  ["5", "sad", "Sad", "sad"],
  ["6", "surprise", "Surprised", "surprise"],
  ["7", "neutral", "Neutral", "neutral"],
  ["8", "unknown", "Unknown", "unsure"],
  ["9", "not_a_face", "Not a face", "off"],
];
const WORDS = Object.fromEntries(CHOICES.map(([, label, word]) => [label, word]));
const AHEAD = 8; // faces fetched before they are needed
const MAX_SKIPPED = 100;
const NAME = "emotion-edge labeller";

const part = (id) => document.getElementById(id);
const loggedIn = part("work").dataset.labeller || "";

let votes = null;
let queue = []; // faces to come; the first is shown
let skipped = [];
let done = []; // what was answered here, for undo
let asking = false;
let told = { waiting: 0, more: false };

/** Ask the REST interface; throws text that says what to do. */
async function get(path, query = {}) {
  const parameters = new URLSearchParams(query);
  if (!loggedIn) parameters.set("labeller", votes.labeller);
  for (const face of skipped) if (path.endsWith("queue")) parameters.append("skip", `${face.event_id}:${face.face_index}`);
  let answer;
  try {
    answer = await fetch(`/api/v1/labels/${path}?${parameters}`);
  } catch {
    throw new Error("The web service is not reached. This page tries again in some seconds.");
  }
  if (answer.status === 401) throw new Error("LOGIN");
  const document = await answer.json();
  if (!answer.ok) throw new Error(`${document.title}: ${document.detail} ${document.next_step}`);
  return document;
}

function trouble(text) {
  const box = part("trouble");
  box.hidden = !text;
  if (text === "LOGIN") {
    const link = make("a", "", "Log in again");
    link.href = "/login?next=/label";
    box.replaceChildren("The login has ended. What you answered is kept in this browser and is sent when you are back. ", link, ".");
  } else {
    say(box, text);
  }
}

function showSaved(waiting, problem) {
  say(part("saved"), waiting ? `${waiting} ${waiting === 1 ? "answer is" : "answers are"} kept in this browser and not yet on the server.` : "All your answers are on the server.");
  if (problem) trouble(problem.status === 401 ? "LOGIN" : `${problem.text} Your answers are kept in this browser and sent again.`);
  else if (!waiting) trouble("");
}

function showFace() {
  const face = queue[0];
  const image = part("face");
  for (const button of part("choices").children) button.disabled = !face;
  part("skip").disabled = !face;
  image.hidden = true;
  if (!face) {
    let note = "Looking for faces";
    if (!asking) {
      note = told.waiting ? "The faces that are left are those you skipped. Load this page again to see them." : "No face is left to label. Faces come with kept pictures: switch recording on at a device, or come back later.";
      if (told.more) note = "All of the newest 20,000 pictures are labelled by you.";
    }
    say(part("face-note"), note);
    return;
  }
  say(part("face-note"), "Loading the picture");
  const wanted = face.picture;
  const picture = new Image();
  picture.src = wanted;
  picture.decode().then(
    () => {
      if (queue[0]?.picture !== wanted) return;
      image.src = wanted;
      image.hidden = false;
      say(part("face-note"), "");
    },
    () => {
      if (queue[0]?.picture !== wanted) return;
      // Gone while it waited: nothing to judge, so on to the next.
      say(part("last"), "One picture was erased or has expired; here is the next.");
      queue.shift();
      next();
    },
  );
  for (const later of queue.slice(1, 4)) new Image().src = later.picture; // so that they are there when they are wanted
}

/** Show the next face, and fetch more before they run out. */
async function next() {
  showFace();
  if (asking || queue.length > AHEAD / 2) return;
  asking = true;
  try {
    const answer = await get("queue", { limit: AHEAD * 2 });
    const waiting = votes.waiting();
    const known = [...queue, ...waiting, ...done];
    told = { waiting: answer.waiting, more: answer.more };
    const empty = queue.length === 0;
    queue.push(...answer.items.filter((item) => !known.some((other) => same(item, other))));
    asking = false;
    if (empty) showFace();
  } catch (error) {
    asking = false;
    trouble(error.message);
    if (error.message !== "LOGIN") setTimeout(next, 5000);
  }
}

function answer(label) {
  const face = queue.shift();
  if (!face) return;
  done.push(face);
  part("undo").disabled = false;
  say(part("last"), `You said: ${WORDS[label]}.`);
  votes.add({ event_id: face.event_id, face_index: face.face_index, label });
  next();
}

function skip() {
  const face = queue.shift();
  if (!face) return;
  skipped = [...skipped, face].slice(-MAX_SKIPPED);
  say(part("last"), "Skipped.");
  next();
}

function undo() {
  const face = done.pop();
  part("undo").disabled = done.length === 0;
  if (!face) return;
  queue.unshift(face);
  say(part("last"), "Taken back. Here is the face again.");
  votes.add({ event_id: face.event_id, face_index: face.face_index, label: null });
  showFace();
}

const on = {
  taken(vote, { guess }) {
    // Only what was answered last is told; a vote that waited for long says nothing now.
    if (done.length && same(done.at(-1), vote)) {
      say(part("last"), `You said: ${WORDS[vote.label]}. The model: ${guess.words.headline.toLowerCase()}, ${certainty(guess.words)}.`);
    }
    showProgress();
  },
  gone(vote, text) {
    done = done.filter((face) => !same(face, vote));
    part("undo").disabled = done.length === 0;
    say(part("last"), `This answer could not be kept. ${text}`);
    queue = []; // where one face is gone others may be, though their pictures were fetched: ask which are left
    next();
  },
  state: showSaved,
};

function counter(name, value) {
  const row = make("div");
  row.append(make("dt", "", name), make("dd", "", value.toLocaleString()));
  return row;
}

let progress = null; // "asking", or "again" where votes were kept while the server counted
async function showProgress() {
  if (progress) {
    progress = "again"; // the answer that is under way may have been counted before the vote
    return;
  }
  progress = "asking";
  const midnight = new Date();
  midnight.setHours(0, 0, 0, 0);
  try {
    const now = await get("progress", { since: midnight.toISOString() });
    part("progress").replaceChildren(
      counter("Your votes today", now.votes_since),
      counter("Your votes in all", now.votes),
      counter("Faces labelled by anybody", now.faces_of_all),
      counter("Faces labelled by several", now.faces_of_several),
      counter(told.more ? "Faces waiting, at least" : "Faces waiting when last asked", told.waiting),
    );
  } catch (error) {
    trouble(error.message);
  }
  const missed = progress === "again";
  progress = null;
  if (missed) showProgress();
}

const share = (value) => (value === null ? "not defined" : value.toLocaleString(undefined, { minimumFractionDigits: 2, maximumFractionDigits: 2 }));

async function showAgreement() {
  try {
    const found = await fetch("/api/v1/labels/agreement").then((reply) => reply.json());
    if (!found.pairs) throw new Error(`${found.title}: ${found.detail} ${found.next_step}`);
    const text = found.faces
      ? `Over ${found.faces.toLocaleString()} ${found.faces === 1 ? "face" : "faces"} with two votes or more, Fleiss’ kappa is ${share(found.fleiss_kappa)}.`
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

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || !votes) return;
  if (event.target.closest("input, textarea, select, dialog[open]")) return;
  if (event.key === "?") part("help").showModal();
  else if (event.key === "z" || event.key === "Z") undo();
  else if (event.key === " ") {
    if (event.target.closest("button, a, summary")) return; // there it presses what has the focus
    event.preventDefault();
    skip();
  } else {
    const choice = CHOICES.find(([key]) => key === event.key);
    if (choice) answer(choice[1]);
  }
}

function begin(labeller) {
  part("name-form").hidden = true;
  part("work").hidden = false;
  votes = new Votes(labeller, !loggedIn, on);
  votes.send(); // what an earlier visit left
  next();
  showProgress();
}

for (const [key, label, word, drawing] of CHOICES) {
  const button = make("button");
  button.type = "button";
  button.append(icon(drawing), make("span", "", word), make("kbd", "", key));
  button.addEventListener("click", () => answer(label));
  part("choices").append(button);
  part("keys").append(make("dt", "", key), make("dd", "", word));
}
for (const [key, what] of [["Space", "Skip this face"], ["Z", "Take the last answer back"], ["?", "Show this list"], ["Escape", "Close this list"]]) {
  part("keys").append(make("dt", "", key), make("dd", "", what));
}
part("skip").addEventListener("click", skip);
part("undo").addEventListener("click", undo);
part("help-open").addEventListener("click", () => part("help").showModal());
part("help-close").addEventListener("click", () => part("help").close());
part("agreement-refresh").addEventListener("click", showAgreement);
part("name-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = part("labeller").value.trim();
  if (!name) return;
  localStorage.setItem(NAME, name);
  begin(name);
});
addEventListener("keydown", onKey);

const name = loggedIn || localStorage.getItem(NAME);
if (name) begin(name);
else part("name-form").hidden = false;
showAgreement();
