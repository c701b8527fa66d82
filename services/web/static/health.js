// How a device is, in words: its state, what is wrong and what to do about it.

import { chip, icon, make, paragraph } from "./dom.js";
import { mayChangeDevices } from "./rights.js";
import { duration, label, timeOfDay } from "./words.js";

const STATES = {
  // from the one that matters most; tone, icon, words
  offline: ["bad", "off", "Offline"],
  degraded: ["warn", "attention", "Needs attention"],
  starting: ["wait", "unsure", "Starting"],
  paused: ["wait", "off", "Paused"],
  finished: ["wait", "good", "Finished"],
  online: ["good", "good", "Online"],
};
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

/** The state that matters most of a device's services, as a chip. */
export function stateChip(element, statuses) {
  const states = statuses.map((status) => status.state);
  const worst = Object.keys(STATES).find((state) => states.includes(state));
  chip(element, ...(worst ? STATES[worst] : ["wait", "unsure", "State not known"]));
}

/** What the services say is wrong, and that one of them is gone. */
export function problemsOf(statuses) {
  const problems = [];
  for (const status of statuses) {
    if (status.state === "offline") {
      problems.push({ title: `${label(status.service)} is offline`, cause: `Since ${timeOfDay(status.received_at)} nothing is heard from it.`, next_step: "Check that it runs and that the device has power and network." });
    }
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
    signs.push({ title: `${values.outbox_depth.toLocaleString()} items wait to be stored`, cause: "The way to the cloud is slow or cut.", next_step: "At the device, run `emotion-edge doctor`; it checks the network and the cloud’s broker. Nothing is lost while there is space." });
  }
  if (values.outbox_dropped > 0) {
    signs.push({ title: `${values.outbox_dropped.toLocaleString()} items were given up`, cause: "The outbox was full before they could be stored.", next_step: "Mend the way to the cloud, or give the outbox more space: `EMOTION_OUTBOX__MAX_MB`." });
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
