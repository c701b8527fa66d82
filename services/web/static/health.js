// How a device is, in words: its state, what is wrong and what to do about it.

import { chip, icon, make, paragraph } from "./dom.js";
import { mayChangeDevices } from "./rights.js";
import { counted, dateAndTime, duration, label, timeOfDay } from "./words.js";

const STATES = {
  // from the one that matters most; tone, icon, words
  offline: ["bad", "off", "Offline"],
  silent: ["warn", "attention", "Not heard"],
  degraded: ["warn", "attention", "Needs attention"],
  starting: ["wait", "unsure", "Starting"],
  paused: ["wait", "off", "Paused"],
  finished: ["wait", "good", "Finished"],
  online: ["good", "good", "Online"],
};
const SILENT_MS = 30_000; // services tell their status at least every ten seconds
const SKEW_S = 2;
const MANY_WAIT = 1000;
const SLOW_MS = 1000;
const HOT_C = 85;

/** By whom a camera is paused and where it is resumed; `by` as capture's status has it. */
export function pausedWords(by) {
  const here = mayChangeDevices ? "here" : "by a researcher, on the page Devices";
  if (by === "dashboard") return `Paused by somebody at a page like this one. The camera is off until it is resumed ${here}.`;
  if (by === "device") return "Paused by somebody at the device. The camera is off until it is resumed there, by emotion-edge resume.";
  return `Paused by somebody at the device and by somebody at a page like this one. The camera is off until it is resumed there, by emotion-edge resume, and ${here}.`;
}

/** Between when and when devices are heard, in the server's milliseconds; null while nobody can be. */
export function listening(connection, broker, stream) {
  if (connection !== "open" || !broker?.connected || stream.heardUntil === null) return null;
  return { since: Date.parse(broker.since), until: stream.heardUntil };
}

/** When a service was last heard; null where that was before the server listened and nothing says when. */
export function heardAt(status, heard) {
  if (status.received_at) return Date.parse(status.received_at);
  if (status.state === "offline") return null; // a last will is written when the connection begins that it ends
  // The broker had kept it: what is left is the device's own clock, as far as it can be right.
  return Math.min(Date.parse(status.at) - (status.clock_skew_s ?? 0) * 1000, heard?.since ?? Infinity);
}

/** For how many milliseconds nothing is heard of a service that has not said that it goes; 0 while it is heard. */
export function silence(status, heard) {
  if (!heard || status.state === "offline") return 0;
  const from = Math.max(heard.since, status.received_at ? Date.parse(status.received_at) : 0);
  return heard.until - from > SILENT_MS ? heard.until - heardAt(status, heard) : 0;
}

/** A service's state, or that it is not heard. */
const stateOf = (status, heard) => (silence(status, heard) ? "silent" : status.state);

/** Since when nothing is heard of a device; null where one of its services is heard. */
function silentSince(statuses, heard) {
  const silent = statuses.length && statuses.every((status) => silence(status, heard));
  return silent ? Math.max(...statuses.map((status) => heardAt(status, heard))) : null;
}

/** The state that matters most of a device's services, as a chip; `heard` as `listening` has it. */
export function stateChip(element, statuses, heard) {
  const states = statuses.map((status) => stateOf(status, heard));
  const worst = Object.keys(STATES).find((state) => states.includes(state));
  const since = silentSince(statuses, heard);
  if (!worst) chip(element, "wait", "unsure", "State not known");
  else if (!heard) chip(element, "wait", "unsure", `${STATES[worst][2]} when last heard`);
  else if (since !== null) chip(element, ...STATES.silent.slice(0, 2), `Not heard for ${duration((heard.until - since) / 1000)}`);
  else chip(element, ...STATES[worst === "silent" ? "degraded" : worst]);
}

/** A moment of today as its time, else with its day. */
function moment(ms) {
  return new Date(ms).toDateString() === new Date().toDateString() ? timeOfDay(ms) : dateAndTime(ms);
}

/** Why a device sends no picture, as far as its statuses say; empty where they do not. */
export function whyNoPicture(statuses, heard) {
  const off = statuses.filter((status) => status.state === "offline");
  const since = silentSince(statuses, heard);
  if (off.length) return `No picture: ${off.length === statuses.length ? "the device" : label(off[0].service).toLowerCase()} is offline, see above.`;
  return since === null ? "" : `No picture: nothing is heard from the device since ${moment(since)}, see above.`;
}

function notHeard(who, since) {
  return { title: `${who} is not heard`, cause: `Since ${moment(since)} it tells nothing, and it has not said that it stops.`, next_step: "Check that the device has power and network. If it has, run `emotion-edge doctor` there." };
}

/** What the services say is wrong, and that one of them is gone or not heard. */
export function problemsOf(statuses, heard) {
  const problems = [];
  const since = silentSince(statuses, heard);
  if (since !== null) problems.push(notHeard("The device", since));
  for (const status of statuses) {
    const at = heardAt(status, heard);
    if (status.state === "offline") {
      const cause = at === null ? "It was so already when this page’s server began to listen." : `Since ${moment(at)} nothing is heard from it.`;
      problems.push({ title: `${label(status.service)} is offline`, cause, next_step: "Check that it runs and that the device has power and network." });
    }
    if (since === null && silence(status, heard)) problems.push(notHeard(label(status.service), at));
    if (status.state === "finished") problems.push({ title: `${label(status.service)} has finished`, cause: "Its source has ended.", next_step: "" });
    problems.push(...status.problems);
  }
  return problems;
}

/** What the readings tell beside it; `skew` in seconds, null where it is not known. */
export function signsOf(values, skew) {
  const signs = [];
  if (skew !== null && Math.abs(skew) > SKEW_S) {
    signs.push({ title: `Its clock is ${duration(Math.abs(skew))} ${skew > 0 ? "ahead" : "behind"}`, cause: "Times of its detections are wrong by as much.", next_step: "At the device, run `timedatectl set-ntp true`; `emotion-edge doctor` checks the clock." });
  }
  if (values.outbox_depth > MANY_WAIT) {
    signs.push({ title: `${counted(values.outbox_depth, "item waits", "items wait")} to be stored`, cause: "The way to the cloud is slow or cut.", next_step: "At the device, run `emotion-edge doctor`; it checks the network and the cloud’s broker. Nothing is lost while there is space." });
  }
  if (values.outbox_dropped > 0) {
    signs.push({ title: `${counted(values.outbox_dropped, "item was", "items were")} given up`, cause: "The outbox was full before they could be stored.", next_step: "Mend the way to the cloud, or give the outbox more space: `EMOTION_OUTBOX__MAX_MB`." });
  }
  if (values.latency_p95_ms > SLOW_MS) {
    signs.push({ title: "Readings come late", cause: `One in twenty takes more than ${duration(values.latency_p95_ms / 1000)}.`, next_step: "Ask the camera for a smaller picture (`EMOTION_WIDTH`, `EMOTION_HEIGHT`), or stop other programs on the device." });
  }
  if (values.temperature_c >= HOT_C) {
    signs.push({ title: `It is hot: ${Math.round(values.temperature_c)} °C`, cause: "Small computers slow down when they get too hot, and then switch off.", next_step: "Give it air and shade, clean its fan and see that it turns; on a Jetson, `sudo nvpmodel -q` shows the power mode, and a lower one stays cooler." });
  }
  return signs;
}

/** Problems as a list; drawn again only when they differ. */
export function drawProblems(list, problems) {
  const key = JSON.stringify(problems);
  if (list.dataset.key === key) return;
  list.dataset.key = key;
  list.replaceChildren(
    ...problems.map((problem) => {
      const item = make("li");
      const text = make("div");
      text.append(make("strong", "", problem.title));
      if (problem.cause) text.append(paragraph(problem.cause));
      if (problem.next_step) text.append(paragraph(`Next step: ${problem.next_step}`));
      item.append(icon("attention"), text);
      return item;
    }),
  );
}
