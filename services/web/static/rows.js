// The table of detections: one row a person and second, so that it can be read; marked when the database has it.

import { icon, make, say } from "./dom.js";
import { certainty, timeOfDay } from "./words.js";

const MAX_ROWS = 50;
const MAX_IDS = 5000;

function trim(ids) {
  for (const id of ids) {
    if (ids.size <= MAX_IDS) return;
    ids.delete(id);
  }
}

const markStored = (cell) => cell.replaceChildren(icon("good"), make("span", "", "Stored"));

export class Rows {
  #newest = new Map();
  #stored = new Set();
  #waiting = new Map();
  #pending = new Set();
  #received = 0;
  #confirmed = 0;
  #marked = []; // of rows that are shown, with the next flush

  constructor(body, counts) {
    this.body = body;
    this.counts = counts;
  }

  /** Take a detection; rows appear with the next `flush`. */
  add(detection) {
    this.#received += 1;
    this.#pending.add(detection.event_id);
    trim(this.#pending);
    for (const face of detection.faces) this.#newest.set(`${detection.device} ${face.track_id}`, { detection, face });
  }

  /** These ids are in the database; rows say so with the next `flush`. */
  stored(ids) {
    for (const id of ids) {
      if (this.#pending.delete(id)) this.#confirmed += 1;
      this.#stored.add(id);
      if (this.#waiting.has(id)) this.#marked.push(id);
    }
    trim(this.#stored);
  }

  /** Show what came since the last time. */
  flush() {
    if (this.#received) say(this.counts, `${this.#received.toLocaleString()} received and ${this.#confirmed.toLocaleString()} of them stored since this page was opened.`);
    for (const id of this.#marked.splice(0)) {
      for (const cell of this.#waiting.get(id) ?? []) markStored(cell);
      this.#waiting.delete(id);
    }
    if (!this.#newest.size) return;
    this.body.querySelector(".none")?.remove();
    for (const { detection, face } of this.#newest.values()) this.body.prepend(this.#row(detection, face));
    this.#newest.clear();
    while (this.body.rows.length > MAX_ROWS) {
      const row = this.body.rows[this.body.rows.length - 1];
      this.#waiting.delete(row.dataset.id);
      row.remove();
    }
  }

  #row(detection, face) {
    const row = make("tr");
    row.dataset.id = detection.event_id;
    const looks = make("td");
    looks.append(icon(face.words.state), make("span", "", face.words.headline));
    const cell = make("td");
    row.append(
      make("td", "", timeOfDay(detection.captured_at)),
      looks,
      make("td", "", certainty(face.words)),
      make("td", "", `Person ${face.track_id}`),
      make("td", "", detection.device),
      cell,
    );
    this.#mark(cell, detection.event_id);
    return row;
  }

  #mark(cell, id) {
    if (this.#stored.has(id)) {
      markStored(cell);
      return;
    }
    cell.textContent = "On its way";
    this.#waiting.set(id, [...(this.#waiting.get(id) ?? []), cell]);
  }
}
