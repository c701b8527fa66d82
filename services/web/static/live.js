// The live page: passes what the stream brings to tiles and table, and says how the connection is.

import { chip, say } from "./dom.js";
import { Device } from "./device.js";
import { listening } from "./health.js";
import { Rows } from "./rows.js";
import { shortcut } from "./shortcuts.js";
import { Stream } from "./stream.js";
import { timeOfDay } from "./words.js";

const ANNOUNCE_MS = 5000;
const ASK_AFTER_MS = 300;
const WORDS_MS = 200;
const REST_AFTER_MS = 60_000; // hidden for longer than this, the page lets its connection go

const byId = (id) => document.getElementById(id);
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const devices = new Map();
const rows = new Rows(byId("rows"), byId("records-counts"));
let connection = "connecting";
let refused = null; // why no stream is to be had
let broker = null;
let paused = false;
let resting = 0;
let asking = 0;
let opened = new URLSearchParams(location.search).get("device");

/** The device that is seen large: the one that was opened, or the only one. */
const large = () => opened ?? (devices.size === 1 ? [...devices.keys()][0] : null);

function device(name) {
  let found = devices.get(name);
  if (!found) {
    found = new Device(name, byId("device"));
    devices.set(name, found);
    const after = [...devices.keys()].sort().indexOf(name);
    byId("devices").insertBefore(found.element, byId("devices").children[after] ?? null);
    arrange();
    found.render(stream.now(), listening(connection, broker, stream));
  }
  return found;
}

const looked = () => !paused && !document.hidden;
const ask = () => stream.ask({ large: large() ?? undefined, previews: looked() });

/** Devices come one after the other at first, and a page that is left is hidden first: ask once, not for each, or not. */
function askSoon() {
  clearTimeout(asking);
  asking = setTimeout(ask, ASK_AFTER_MS);
}

/** Which devices are shown, and how; and what the stream is asked for. */
function arrange() {
  const one = large();
  for (const [name, each] of devices) {
    each.large = name === one;
    each.element.hidden = one !== null && name !== one;
    if (name === opened) each.parts.name.setAttribute("aria-current", "page");
    else each.parts.name.removeAttribute("aria-current");
  }
  byId("devices").classList.toggle("wall", one === null);
  byId("back").hidden = opened === null || devices.size < 2;
  askSoon();
  document.title = `${opened ?? "Live"} · Emotion at the Edge`;
}

function open(name) {
  if (name === opened) return;
  opened = name;
  arrange();
  render();
  everySecond();
}

const on = {
  broker: (data) => { broker = data; showConnection(); },
  status: (data) => device(data.device).status(data),
  recent: (data) => {
    device(data.device).recent(data);
    if (looked()) device(data.device).drawTimeline(stream.now());
  },
  live: (data) => device(data.device).live(data),
  preview: (data) => { if (looked()) device(data.device).picture(data); },
  detection: (data) => { if (!opened || data.device === opened) rows.add(data); },
  stored: (data) => rows.stored(data.ids),
  heartbeat: () => {},
};

const stream = new Stream(
  (kind, data) => on[kind](data),
  (state, problem = null) => {
    connection = state;
    refused = problem;
    showConnection();
  },
  { wall: true, previews: true, large: opened ?? undefined },
);

const NOTICES = {
  lost: ["Connection lost, reconnecting", "This page tries again by itself. If this stays, check that the web service is running and that this machine reaches it."],
  broker: ["The message broker is not reached", "The web service tries again by itself. Check that the broker is running and that EMOTION_MQTT__HOST and EMOTION_MQTT__PORT name it."],
  connecting: ["Connecting", "This page is asking its server what happens."],
  gone: ["This device is not known", "No device of this name is heard. Open all devices, or check the name in the address."],
  none: ["No device yet", "A device appears here by itself as soon as its capture and classifier are started and reach the broker."],
};

/** Title and text of what is told where the devices are. */
function words(notice) {
  if (notice !== "refused") return NOTICES[notice];
  const { title, detail, next_step: next } = refused.document;
  return [title, `${detail} ${next} This page tries again by itself.`];
}

function showConnection() {
  const trouble = refused ? "refused" : connection === "lost" ? "lost" : connection === "connecting" ? "connecting" : broker?.connected ? null : "broker";
  if (trouble === "lost") chip(byId("connection"), "bad", "attention", "Connection lost, reconnecting");
  else if (trouble === "refused") chip(byId("connection"), "bad", "attention", "No live data, trying again");
  else if (trouble === "broker") chip(byId("connection"), "bad", "attention", "Broker not reached");
  else if (trouble === "connecting") chip(byId("connection"), "wait", "unsure", "Connecting");
  else chip(byId("connection"), "good", "good", "Connected");
  const notice = trouble ?? (devices.size ? (opened && !devices.has(opened) ? "gone" : null) : "none");
  byId("empty").hidden = notice === null;
  if (opened && notice === "gone") byId("back").hidden = false;
  if (notice) {
    const [title, text] = words(notice);
    say(byId("empty-title"), title);
    say(byId("empty-text"), text + (notice === "broker" && broker ? ` Not reached since ${timeOfDay(broker.since)}.` : ""));
  }
}

function render() {
  if (!looked()) return;
  const heard = listening(connection, broker, stream);
  for (const each of devices.values()) each.render(stream.now(), heard);
  showConnection();
}

function everySecond() {
  if (!looked()) return;
  rows.flush();
  for (const each of devices.values()) each.drawTimeline(stream.now());
}

let announced = "";
function announce() {
  if (!looked()) return;
  const text = connection === "open" ? [...devices.values()].map((each) => each.summary()).join(" ") : refused?.message ?? byId("connection").textContent;
  if (text === announced) return;
  announced = text;
  say(byId("announce"), text);
}

function lookedAt() {
  askSoon();
  if (!looked()) for (const each of devices.values()) each.still();
}

byId("pause").addEventListener("click", () => {
  paused = !paused;
  byId("pause").setAttribute("aria-pressed", String(paused));
  say(byId("pause"), paused ? "Go on with updates" : "Pause updates");
  byId("paused").hidden = !paused;
  lookedAt();
  render();
});
document.addEventListener("visibilitychange", () => {
  clearTimeout(resting);
  lookedAt();
  if (document.hidden) resting = setTimeout(() => stream.rest(), REST_AFTER_MS);
  else {
    ask(); // before it wakes, so that it is opened once
    stream.wake();
  }
  render();
});

document.addEventListener("click", (event) => {
  const link = event.target.closest("#devices h2 a, #back a");
  if (!link || event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const name = new URL(link.href).searchParams.get("device");
  if (name === opened) return;
  const before = opened;
  history.pushState(null, "", link.href);
  open(name);
  // The focus stays with what was opened or left.
  devices.get(name ?? before)?.parts.name.focus();
});
addEventListener("popstate", () => open(new URLSearchParams(location.search).get("device")));
document.addEventListener("keydown", (event) => {
  if (event.target.closest("input, select, textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (shortcut(event) === "f") devices.get(large())?.fullscreen();
  else if (event.key === "Escape" && opened && devices.size > 1 && !document.fullscreenElement && !event.defaultPrevented) byId("back").querySelector("a").click();
});

stream.open();
setInterval(render, WORDS_MS);
setInterval(everySecond, calm.matches ? 2000 : 1000);
setInterval(announce, ANNOUNCE_MS);
