// This browser as a camera: asks its person, then sends pictures one after the other, each when the one before is taken.

import { ask, fetchWithin } from "./api.js";
import { say } from "./dom.js";
import { counted } from "./words.js";

const MAX_WIDTH = 640;
const QUALITY = 0.8;
const EVERY_MS = 1000 / 15;
const LEAST_MS = 1000 / 25; // between an answer and the next picture: 30 a second are taken, however late the one before came
const TAKEN_WITHIN_MS = 20_000; // a picture that has not arrived by then has nothing to say any more
const AFTER_TROUBLE_MS = 1000;
const REFRESH_MS = 5000;
const ENDS = ["urn:emotion-edge:problem:paused", "urn:emotion-edge:problem:in-use"];
const ME = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join(""); // this page, among others of the same login
const REASONS = {
  // what getUserMedia says, and what to do
  NotAllowedError: "The browser was not allowed to use the camera. Allow it in the address bar’s settings of this site, then start again.",
  NotFoundError: "This device has no camera. Plug one in, or open this page on a phone.",
  NotReadableError: "Another program uses the camera. Close it, then start again.",
};

const NOT_AGREED = "Stopped, for not everybody agrees.";

const byId = (id) => document.getElementById(id);
const video = byId("video");
const canvas = document.createElement("canvas");
let names = []; // the devices whose capture waits for a browser
let unlisted = "Looking for devices that wait for a browser’s camera…"; // why they are not known
let starting = false;
let stream = null;
let sent = 0;
let refused = 0;
let ended = ""; // why the camera is off, until its person does something

const wait = (ms) => new Promise((done) => setTimeout(done, Math.max(0, ms)));

async function listDevices() {
  try {
    const { items } = await ask("GET", "/api/v1/devices");
    names = items.filter((item) => item.statuses.capture?.values.source === "browser" && item.statuses.capture.state !== "offline").map((item) => item.device);
    unlisted = "";
  } catch (error) {
    unlisted = `${error.message} This page tries again by itself.`;
  }
  show();
}

/** What keeps the camera from being started, or nothing. */
function obstacle() {
  if (unlisted) return unlisted;
  if (!names.length) return "No device waits for a browser’s camera. Start one: emotion-edge demo --source browser, or capture with EMOTION_SOURCE=browser.";
  if (!window.isSecureContext) return "Browsers give the camera to safe addresses only: open this page by https, or on the machine itself as http://localhost.";
  return "";
}

function show() {
  if (stream || starting) return;
  const select = byId("device");
  if ([...select.options].map((option) => option.value).join() !== names.join()) select.replaceChildren(...names.map((name) => new Option(name, name)));
  const agreed = byId("agree").checked;
  say(byId("camera-state"), obstacle() || ended || (agreed ? "Ready." : "Agree first, then start."));
  byId("start").disabled = Boolean(obstacle()) || !agreed;
}

async function start() {
  byId("start").disabled = true;
  starting = true;
  ended = "";
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: MAX_WIDTH }, facingMode: "user" }, audio: false });
    video.srcObject = stream;
    await video.play();
    starting = false;
  } catch (error) {
    starting = false;
    return stop(REASONS[error.name] ?? `The camera cannot be used: ${error.message}`);
  }
  if (!byId("agree").checked) return stop(NOT_AGREED); // it was taken back while the browser asked
  byId("start").hidden = true;
  byId("stop").hidden = false;
  byId("device").disabled = true;
  byId("watch").hidden = false;
  byId("watch").querySelector("a").href = `/?device=${encodeURIComponent(byId("device").value)}`;
  byId("stop").focus();
  say(byId("camera-state"), "The camera is on and its pictures are sent.");
  const mine = stream;
  for (const track of mine.getTracks()) track.addEventListener("ended", () => mine === stream && stop("The camera was switched off."));
  while (stream === mine) {
    const began = performance.now();
    const trouble = await sendOne(byId("device").value);
    if (stream !== mine) return;
    say(byId("camera-state"), trouble || "The camera is on and its pictures are sent.");
    say(byId("counts"), `${counted(sent, "picture")} sent${refused ? `, ${refused.toLocaleString()} not taken` : ""}.`);
    await wait(trouble ? AFTER_TROUBLE_MS : Math.max(LEAST_MS, EVERY_MS - (performance.now() - began)));
  }
}

/** Send what the camera sees now; returns what went wrong, or nothing. */
async function sendOne(device) {
  const scale = Math.min(1, MAX_WIDTH / video.videoWidth);
  canvas.width = Math.round(video.videoWidth * scale);
  canvas.height = Math.round(video.videoHeight * scale);
  canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
  const jpeg = await new Promise((done) => canvas.toBlob(done, "image/jpeg", QUALITY));
  try {
    const answer = await fetchWithin(TAKEN_WITHIN_MS, `/api/v1/devices/${encodeURIComponent(device)}/camera-frames`, { method: "POST", headers: { "Content-Type": "image/jpeg", "X-Camera": ME }, body: jpeg });
    if (answer.ok) {
      sent += 1;
      return "";
    }
    refused += 1;
    const problem = await answer.json();
    if (ENDS.includes(problem.type)) stop(`Stopped. ${problem.detail} ${problem.next_step}`);
    return `${problem.title}: ${problem.detail} ${problem.next_step}`;
  } catch {
    refused += 1;
    return "The web service is not reached. This page tries again by itself.";
  }
}

function stop(words) {
  for (const track of stream?.getTracks() ?? []) track.stop();
  stream = null;
  video.srcObject = null;
  byId("stop").hidden = true;
  byId("start").hidden = false;
  byId("device").disabled = false;
  ended = words;
  show();
}

byId("agree").addEventListener("change", () => {
  ended = "";
  if (stream && !byId("agree").checked) stop(NOT_AGREED);
  else show();
});
byId("start").addEventListener("click", start);
byId("stop").addEventListener("click", () => {
  stop("Stopped. The camera is off.");
  byId("start").focus();
});
addEventListener("pagehide", () => stream && stop("Stopped. The camera is off."));
listDevices();
setInterval(listDevices, REFRESH_MS);
