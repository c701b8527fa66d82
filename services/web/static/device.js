// One device: a tile of the wall (picture, faces in words, health), or large with timeline and counters too.

import { ask } from "./api.js";
import { chip, draw, fill, icon, make, say } from "./dom.js";
import { onPress } from "./forms.js";
import { drawProblems, pausedWords, problemsOf, stateChip, whyNoPicture } from "./health.js";
import { Overlay } from "./overlay.js";
import { mayChangeDevices } from "./rights.js";
import { Timeline } from "./timeline.js";
import { certainty, duration, EMOTIONS, label, reading } from "./words.js";

const STALE_S = 2;
const PICTURE_GONE_S = 10;
const IDLE_S = 10; // without a face for so long, a tile is idle
const IDLE_PICTURE_S = 60; // and loads a picture only now and then
const BOXES = "boxes"; // where the browser keeps whether they are wanted
const NO_BROWSER = "No picture now. A browser is this device’s camera: open the page Camera on a phone or computer, and start it there.";
const MAIN_READINGS = [
  // what the classifier tells in its status, in words
  ["frames_classified", "Frames read"],
  ["detections", "Detections made"],
  ["uplink_acked", "Confirmed as stored"],
  ["outbox_depth", "Waiting to be stored"],
  ["frames_superseded", "Frames skipped for newer ones"],
  ["outbox_dropped", "Dropped for want of space"],
];

const stored = (key) => {
  try {
    return localStorage.getItem(key);
  } catch {
    return null; // a browser that keeps nothing for this site
  }
};
const store = (key, value) => {
  try {
    localStorage.setItem(key, value);
  } catch {
    // It then holds until the page is closed.
  }
};

export class Device {
  #statuses = new Map();
  #live = null;
  #faces = new Map();
  #pictureAt = 0;
  #loading = false;
  #nextPicture = null;
  #trouble = "";
  #overlay;
  #boxes = stored(BOXES) !== "off";
  #drawn = null; // whether boxes are in the picture that is shown already
  #faceAt = 0;
  #pictureAskedAt = 0;
  #seen = true;
  large = true;

  constructor(name, template) {
    this.name = name;
    this.element = template.content.firstElementChild.cloneNode(true);
    this.parts = {};
    for (const part of this.element.querySelectorAll("[data-part]")) this.parts[part.dataset.part] = part;
    this.parts.name.id = `device-${name}`;
    this.element.setAttribute("aria-labelledby", this.parts.name.id);
    say(this.parts.name, name);
    this.parts.name.href = `/?device=${encodeURIComponent(name)}`;
    this.#overlay = new Overlay(this.parts.overlay);
    this.parts.boxes.setAttribute("aria-pressed", String(this.#boxes));
    this.parts.boxes.addEventListener("click", () => this.#toggleBoxes());
    this.parts.fullscreen.addEventListener("click", () => this.fullscreen());
    new IntersectionObserver(([entry]) => { this.#seen = entry.isIntersecting; }).observe(this.element);
    this.timeline = new Timeline(this.parts);
    this.parts.pause.hidden = !mayChangeDevices;
    onPress(this.parts.pause, () => this.#askToPause());
  }

  status(status) {
    this.#statuses.set(status.service, status);
  }

  live(live) {
    this.#live = live;
    this.#overlay.live(live);
    if (live.faces.length) this.#faceAt = Date.parse(live.received_at);
    this.timeline.add(Date.parse(live.received_at) / 1000, live.faces.map((face) => [face.track_id, ...EMOTIONS.map((emotion) => face.emotion[emotion])]));
  }

  /** The last minutes, as the service remembers them. */
  recent(recent) {
    this.timeline.begin(recent.readings);
  }

  /** Load a picture; while one is on its way only the newest after it is remembered. */
  picture(preview) {
    if (!this.#wantsPicture(Date.parse(preview.received_at))) return;
    this.#pictureAskedAt = Date.parse(preview.received_at);
    this.#nextPicture = preview;
    if (!this.#loading) this.#loadPicture();
  }

  /** Nobody looks: load no more pictures. */
  still() {
    this.#nextPicture = null;
  }

  /** A tile that nobody sees, or in which nobody is seen, costs next to nothing. */
  #wantsPicture(at) {
    if (this.large) return true;
    if (!this.#seen) return false;
    return !this.#idle(at) || at - this.#pictureAskedAt >= IDLE_PICTURE_S * 1000;
  }

  #idle(at) {
    return at - this.#faceAt > IDLE_S * 1000;
  }

  /** The picture over the whole screen, and back. */
  fullscreen() {
    if (document.fullscreenElement) document.exitFullscreen();
    else this.parts.figure.requestFullscreen?.();
  }

  #toggleBoxes() {
    this.#boxes = !this.#boxes;
    this.parts.boxes.setAttribute("aria-pressed", String(this.#boxes));
    store(BOXES, this.#boxes ? "on" : "off");
    if (!this.#boxes) this.#overlay.clear();
  }

  async #loadPicture() {
    const preview = this.#nextPicture;
    this.#nextPicture = null;
    this.#loading = true;
    const next = new Image();
    next.src = `/api/v1/devices/${encodeURIComponent(this.name)}/preview.jpg?n=${preview.n}`;
    try {
      await next.decode();
      next.alt = `Camera picture of ${this.name}; the words for its faces are beside it.`;
      this.parts.picture.replaceWith(next);
      this.parts.picture = next;
      this.#pictureAt = Date.parse(preview.received_at);
      this.#drawn = preview.drawn;
      if (this.#boxes && preview.drawn === false) this.#overlay.draw(preview.frame_number);
      else this.#overlay.clear();
    } catch {
      // Gone before it was fetched; the note below the picture says how old the last one is.
    }
    this.#loading = false;
    if (this.#nextPicture !== null) this.#loadPicture();
  }

  /** What a screen reader is told; changes only when something stable changes. */
  summary() {
    const faces = [...this.#faces.values()].map((face) => `person ${face.id}: ${face.headline.textContent.toLowerCase()}`);
    return `${this.name}, ${this.parts.recording.textContent.toLowerCase()}. ${faces.join(", ") || "No face."}`;
  }

  /** Bring the tile up to date; `now` is the server's time in milliseconds, `heard` as health.js has it. */
  render(now, heard) {
    const age = this.#live ? (now - Date.parse(this.#live.received_at)) / 1000 : Infinity;
    const fresh = age <= STALE_S;
    this.#renderState(heard);
    this.#renderPause();
    this.#renderRecording(fresh);
    this.#renderFaces(fresh);
    this.#renderCounters(fresh);
    this.#renderPictureNote(now, heard);
    say(this.parts.age, fresh ? "Up to date" : this.#live ? `Last reading ${duration(age)} ago` : "No reading yet");
  }

  drawTimeline(now) {
    if (this.large) this.timeline.draw(now / 1000);
  }

  #renderState(heard) {
    const statuses = [...this.#statuses.values()];
    stateChip(this.parts.state, statuses, heard);
    drawProblems(this.parts.problems, problemsOf(statuses, heard));
  }

  /** Whether a page wants this device paused, as capture says; the button offers the other. */
  #wanted() {
    return (this.#statuses.get("capture")?.values.paused_by ?? "").includes("dashboard");
  }

  async #askToPause() {
    const pause = !this.#wanted();
    this.parts.pause.disabled = true;
    this.#trouble = "";
    try {
      await ask("POST", `/api/v1/devices/${encodeURIComponent(this.name)}/${pause ? "pause" : "resume"}`);
    } catch (error) {
      this.#trouble = error.message;
    }
    this.parts.pause.disabled = false;
    this.parts.pause.focus();
  }

  #renderPause() {
    const capture = this.#statuses.get("capture");
    const by = capture?.values.paused_by;
    say(this.parts.pause, this.#wanted() ? "Resume camera" : "Pause camera");
    let note = this.#trouble;
    if (!note && by) note = this.#paused ? pausedWords(by) : "Told to pause; the camera is not off yet.";
    this.parts.paused.hidden = !note;
    say(this.parts.paused, note);
  }

  get #paused() {
    return this.#statuses.get("capture")?.state === "paused";
  }

  #renderRecording(fresh) {
    if (this.#paused) {
      chip(this.parts.recording, "wait", "not-recording", "Not recording, paused");
      return;
    }
    // What is live wins; else what the classifier's retained status says.
    const recording = (fresh ? this.#live.recording : this.#statuses.get("classifier")?.values.recording) ?? this.#live?.recording;
    const known = recording !== undefined;
    const text = !known ? "Recording not known" : recording ? "Recording pictures" : "Not recording pictures";
    chip(this.parts.recording, recording ? "bad" : "wait", !known ? "unsure" : recording ? "recording" : "not-recording", fresh || !known ? text : `${text} when last heard`);
  }

  #renderFaces(fresh) {
    const faces = fresh ? this.#live.faces : [];
    const ids = new Set(faces.map((face) => face.track_id));
    for (const [id, face] of this.#faces) {
      if (!ids.has(id)) {
        face.item.remove();
        this.#faces.delete(id);
      }
    }
    for (const face of faces) {
      let shown = this.#faces.get(face.track_id);
      if (!shown) {
        shown = { id: face.track_id, item: make("li"), icon: icon(face.words.state), headline: make("p", "headline"), certainty: make("p") };
        const text = make("div");
        text.append(make("p", "who", `Person ${face.track_id}`), shown.headline, shown.certainty);
        shown.item.append(shown.icon, text);
        this.#faces.set(face.track_id, shown);
        this.parts.faces.append(shown.item);
      }
      draw(shown.icon, face.words.state);
      say(shown.headline, face.words.headline);
      say(shown.certainty, certainty(face.words));
    }
    const none = this.parts.faces.querySelector(".none") ?? make("li", "none");
    if (faces.length) none.remove();
    else {
      say(none, fresh ? "No face in the picture" : "No reading now");
      this.parts.faces.append(none);
    }
  }

  #renderCounters(fresh) {
    const values = this.#statuses.get("classifier")?.values ?? {};
    const main = [];
    if (this.#live) {
      main.push(["Frames read per second", fresh ? reading(this.#live.fps) : "0"]);
      main.push(["Delay from camera", `${Math.round(this.#live.latency_ms)} ms`]);
      main.push(["Faces now", fresh ? String(this.#live.faces.length) : "0"]);
    }
    for (const [name, words] of MAIN_READINGS) if (values[name] !== undefined) main.push([words, reading(values[name])]);
    fill(this.parts.counters, main);
    const all = [];
    for (const status of this.#statuses.values()) {
      for (const [name, value] of Object.entries(status.values)) all.push([`${label(name)} (${status.service})`, reading(value)]);
    }
    this.parts["all-readings"].hidden = all.length === 0;
    if (this.parts["all-readings"].open) fill(this.parts.readings, all);
  }

  #renderPictureNote(now, heard) {
    const age = this.#pictureAt ? (now - this.#pictureAt) / 1000 : Infinity;
    const goneAfter = !this.large && this.#idle(now) ? IDLE_PICTURE_S + PICTURE_GONE_S : PICTURE_GONE_S;
    const gone = this.#paused || age > goneAfter; // who pauses a camera wants no face to stay
    this.parts.picture.hidden = gone;
    if (gone) this.#overlay.clear();
    this.parts.boxes.hidden = this.#drawn !== false;
    let note = "";
    const byBrowser = this.#statuses.get("capture")?.values.source === "browser";
    if (this.#paused) note = "No picture: the camera is paused. By whom, and where it is resumed, is said above.";
    else if (gone && !heard) note = "No picture: this page hears no device now, see above.";
    else if (gone) note = whyNoPicture([...this.#statuses.values()], heard) || (byBrowser ? NO_BROWSER : "No picture now. The device sends pictures while somebody looks at this page.");
    else if (age > STALE_S) note = `Picture is ${duration(age)} old`;
    say(this.parts["picture-note"], note);
  }
}
