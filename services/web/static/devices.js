// The page of devices: how each is, what it should do, and whether it has done so.

import { ask } from "./api.js";
import { chip, fill, make, say } from "./dom.js";
import { onPress, takeSubmit } from "./forms.js";
import { drawProblems, heardAt, listening, pausedWords, problemsOf, signsOf, silence, stateChip } from "./health.js";
import { again } from "./polling.js";
import { mayChangeDevices } from "./rights.js";
import { Stream } from "./stream.js";
import { oneByOne } from "./turns.js";
import { duration, reading } from "./words.js";

const RENDER_MS = 1000;
const ASK_MS = 15_000;
const COLUMNS = ["Setting", "Wanted", "Device says", "State"];

const byId = (id) => document.getElementById(id);
const devices = new Map();
let connection = "connecting";
let broker = null;
let trouble = "";

const milliseconds = (value) => (value === null || value === undefined ? "not known" : `${Math.round(value)} ms`);

class Device {
  #statuses = new Map();
  #desired = {};
  #lastSeen = null;
  #touched = false;
  #shown = {}; // what the form showed before it was touched
  #told = false;
  #inTurn = oneByOne();
  #sent = 0; // how often wishes were sent, or their answer came

  constructor(name) {
    this.name = name;
    this.element = byId("device").content.firstElementChild.cloneNode(true);
    this.parts = {};
    for (const part of this.element.querySelectorAll("[data-part]")) this.parts[part.dataset.part] = part;
    this.parts.name.id = `device-${name}`;
    this.element.setAttribute("aria-labelledby", this.parts.name.id);
    say(this.parts.name, name);
    const { form } = this.parts;
    form.hidden = !mayChangeDevices;
    form.addEventListener("input", () => { this.#touched = true; });
    takeSubmit(form, () => {
      this.#touched = false;
      this.#send(this.#changed());
    });
    onPress(this.parts.pause, () => this.#send({ paused: !this.#desired.paused }));
    // Until it is known what is wished already, so that nothing of it is taken back unseen.
    for (const each of form.elements) each.disabled = true;
  }

  status(status) {
    this.#statuses.set(status.service, status);
    if (status.service === "classifier") this.#offerModels(status.values);
  }

  /** What changes when something is wished here; what was asked for before knows less. */
  get turn() {
    return this.#sent;
  }

  /** What the server knows of it, asked for in a turn: what is wished, and when it was last stored. */
  known(entry, turn) {
    this.#lastSeen = entry.last_seen;
    if (turn !== this.#sent) return;
    this.#desired = entry.desired ?? {};
    if (!this.#touched) this.#showWishes();
    for (const each of this.parts.form.elements) each.disabled = false;
  }

  render(now, heard) {
    const statuses = [...this.#statuses.values()];
    const values = this.#statuses.get("classifier")?.values ?? {};
    const capture = this.#statuses.get("capture")?.values ?? {};
    // How many seconds its clock is ahead; null until two statuses told.
    const skew = this.#statuses.get("classifier")?.clock_skew_s ?? this.#statuses.get("capture")?.clock_skew_s ?? null;
    stateChip(this.parts.state, statuses, heard);
    const recording = values.recording;
    const told = heard && this.#statuses.has("classifier") && !silence(this.#statuses.get("classifier"), heard) ? "" : " when last heard";
    chip(this.parts.recording, recording ? "bad" : "wait", recording === undefined ? "unsure" : recording ? "recording" : "not-recording", recording === undefined ? "Recording not known" : `${recording ? "Recording pictures" : "Not recording pictures"}${told}`);
    drawProblems(this.parts.problems, [...problemsOf(statuses, heard), ...signsOf(values, skew)]);
    const times = [...statuses.map((status) => heardAt(status, heard)), this.#lastSeen && Date.parse(this.#lastSeen)].filter(Boolean);
    if (times.length) say(this.parts.seen, `Last heard ${duration((now - Math.max(...times)) / 1000)} ago`);
    else say(this.parts.seen, statuses.length ? "Last heard before this page’s server began to listen" : "Never heard");
    fill(this.parts.readings, [
      ["Frames from the camera per second", reading(capture.fps ?? null)],
      ["Frames read per second", reading(values.fps ?? null)],
      ["Delay, half are faster", milliseconds(values.latency_p50_ms)],
      ["Delay, 19 of 20 are faster", milliseconds(values.latency_p95_ms)],
      ["Skipped for newer frames", reading(values.frames_superseded ?? null)],
      ["Frames that could not be used", reading(values.frames_rejected ?? null)],
      ["Waiting to be stored", reading(values.outbox_depth ?? null)],
      ["Given up for want of space", reading(values.outbox_dropped ?? null)],
      ["Temperature", typeof values.temperature_c === "number" ? `${Math.round(values.temperature_c)} °C` : "the device does not tell"],
      ["Clock", skew === null ? "not known yet" : Math.abs(skew) < 1 ? "right" : `${duration(Math.abs(skew))} ${skew > 0 ? "ahead" : "behind"}`],
      ["Model", reading(values.model ?? null)],
      ["Face detector", reading(values.detector ?? null)],
    ]);
    this.#renderWishes(values);
  }

  #renderWishes(values) {
    const wanted = this.#desired;
    const capture = this.#statuses.get("capture");
    say(this.parts.pause, wanted.paused ? "Resume camera" : "Pause camera");
    const by = capture?.values.paused_by;
    say(this.parts["paused-now"], by ? pausedWords(by) : capture ? "The camera is not paused." : "");
    const rows = [];
    const compare = (what, wish, told, done) => rows.push([what, wish, told, done ? "Done" : "Not done yet"]);
    if (wanted.paused !== undefined) compare("Pause", wanted.paused ? "paused" : "running", capture ? (by ? "paused" : "running") : "nothing", capture !== undefined && wanted.paused === Boolean(by?.includes("dashboard")));
    if (wanted.sampling) {
      const every = (mode, seconds) => (mode === "on" ? `some pictures${seconds ? `, one every ${reading(seconds)} s` : ""}` : mode === "off" ? "no pictures" : "nothing");
      const same = values.sampling === wanted.sampling.mode && (wanted.sampling.every_s == null || values.sampling_every_s === wanted.sampling.every_s);
      compare("Pictures", every(wanted.sampling.mode, wanted.sampling.every_s), every(values.sampling, values.sampling_every_s), same);
    }
    if (wanted.model) compare("Model", wanted.model, values.model_folder ?? "nothing", values.model_folder === wanted.model);
    this.parts.compared.hidden = rows.length === 0;
    drawRows(this.parts.wanted, rows);
    if (this.#told) say(this.parts.answer, rows.length ? "Told. The table below says when the device has done it." : "Told. Nothing is wanted from here any more: the device does as it is set itself.");
  }

  #offerModels(values) {
    const select = this.parts.form.elements.model;
    const names = new Set([...String(values.models ?? "").split(", ").filter(Boolean), ...(this.#desired.model ? [this.#desired.model] : [])]);
    for (const name of names) {
      if (![...select.options].some((option) => option.value === name)) select.append(new Option(name, name));
    }
  }

  #showWishes() {
    const { mode, every, model } = this.parts.form.elements;
    this.#offerModels(this.#statuses.get("classifier")?.values ?? {});
    mode.value = this.#desired.sampling?.mode ?? "";
    every.value = this.#desired.sampling?.every_s ?? "";
    model.value = this.#desired.model ?? "";
    this.#shown = this.#chosen();
  }

  #chosen() {
    const { mode, every, model } = this.parts.form.elements;
    const sampling = mode.value ? { mode: mode.value, ...(every.value ? { every_s: Number(every.value) } : {}) } : null;
    return { sampling, model: model.value || null };
  }

  /** What was chosen and not shown before, so that nothing that somebody else wished since is taken back; else all. */
  #changed() {
    const changed = Object.entries(this.#chosen()).filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(this.#shown[name]));
    return changed.length ? Object.fromEntries(changed) : this.#chosen();
  }

  #send(changes) {
    this.#sent += 1;
    this.#inTurn(() => this.#sendNow(changes));
  }

  async #sendNow(changes) {
    let words = "";
    this.#told = false;
    try {
      const { desired } = await ask("PATCH", `/api/v1/devices/${encodeURIComponent(this.name)}/desired`, changes);
      this.#desired = desired;
      this.#told = true;
      if (!this.#touched) this.#showWishes();
    } catch (error) {
      words = error.message;
      if (!("paused" in changes)) this.#touched = true; // what was chosen is still to be sent
    }
    this.#sent += 1;
    this.parts.answer.hidden = false;
    if (words) say(this.parts.answer, words);
    render();
  }
}

/** With a role of its own, which it keeps when it is no longer laid out as a table's part. */
function withRole(element, role) {
  element.setAttribute("role", role);
  return element;
}

/** What is wanted of a device, as rows of cells; elements are kept so that nothing flickers. */
function drawRows(body, rows) {
  while (body.rows.length > rows.length) body.lastElementChild.remove();
  rows.forEach((cells, i) => {
    const row = body.rows[i] ?? body.appendChild(withRole(make("tr"), "row"));
    cells.forEach((text, column) => {
      let cell = row.cells[column];
      if (!cell) {
        cell = column ? withRole(make("td"), "cell") : withRole(make("th"), "rowheader");
        cell.dataset.column = COLUMNS[column];
        row.append(cell);
      }
      say(cell, text);
    });
    row.dataset.state = cells.at(-1) === "Done" ? "done" : "open";
  });
}

function device(name) {
  let found = devices.get(name);
  if (!found) {
    found = new Device(name);
    devices.set(name, found);
    const after = [...devices.keys()].sort().indexOf(name);
    byId("devices").insertBefore(found.element, byId("devices").children[after] ?? null);
  }
  return found;
}

const stream = new Stream(
  (kind, data) => {
    if (kind === "status") {
      if (!devices.has(data.device)) list(); // what is wished of it, too
      device(data.device).status(data);
    } else if (kind === "broker") broker = data;
  },
  (state) => {
    connection = state;
    render();
  },
  { wall: true, previews: false },
);

let listing = false;

async function list() {
  if (document.hidden || listing) return;
  listing = true;
  const turns = new Map([...devices].map(([name, each]) => [name, each.turn]));
  try {
    const { items } = await ask("GET", "/api/v1/devices");
    trouble = "";
    for (const entry of items) device(entry.device).known(entry, turns.get(entry.device) ?? 0);
  } catch (error) {
    trouble = `${error.message} This page tries again by itself.`;
  }
  listing = false;
  render();
}

function render() {
  if (document.hidden) return;
  const lost = connection === "lost";
  if (lost) chip(byId("connection"), "bad", "attention", "Connection lost, reconnecting");
  else if (broker && !broker.connected) chip(byId("connection"), "bad", "attention", "Broker not reached");
  else if (connection === "open") chip(byId("connection"), "good", "good", "Connected");
  byId("empty").hidden = devices.size > 0 && !trouble;
  if (trouble) {
    say(byId("empty-title"), "The devices cannot be listed now");
    say(byId("empty-text"), trouble);
  } else if (connection === "open") {
    say(byId("empty-title"), "No device yet");
    say(byId("empty-text"), "A device appears here by itself as soon as its capture and classifier are started and reach the broker.");
  }
  const heard = listening(connection, broker, stream);
  for (const each of devices.values()) each.render(stream.now(), heard);
}

stream.open();
list();
again(list, ASK_MS);
setInterval(render, RENDER_MS);
document.addEventListener("visibilitychange", () => {
  if (document.hidden) stream.rest();
  else {
    stream.wake();
    list();
  }
});
