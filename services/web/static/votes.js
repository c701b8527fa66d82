// Votes on their way: kept by the browser until the server has them, so that none is lost when the page closes, the
// network drops or the login expires. The last answer for a face counts, so sending again does no harm. A browser that
// keeps nothing has them until the page is left.

import { ask } from "./api.js";
import { waitAfter } from "./backoff.js";
import { inBrowser } from "./kept.js";

const PREFIX = "emotion-edge votes ";
// The face is gone, or the request does not fit: told, and not tried again.
const NEVER_TAKEN = new Set([404, 410, 422]);

export class Votes {
  #failures = 0;
  #timer = 0;
  #sending = false;
  #kept;

  /**
   * @param labeller whose they are
   * @param named whether the server must be told so: where nobody logs in
   * @param on called as on.taken(vote, answer), on.refused(vote, problem), on.state(waiting, trouble):
   *   how many wait, and the Problem for which they do
   */
  constructor(labeller, named, on) {
    this.labeller = labeller;
    this.named = named;
    this.on = on;
    this.#kept = inBrowser(PREFIX + labeller);
    addEventListener("online", () => this.send());
  }

  /** What waits, oldest first: {event_id, face_index, label}; a label of null takes the vote back. */
  waiting() {
    return this.#kept.readJson([]);
  }

  /** Whether the browser keeps none of them, so that they are lost where the page is left. */
  get onlyHere() {
    return this.#kept.onlyHere;
  }

  /** Keep an answer and send it. */
  add(vote) {
    this.#keep([...this.waiting().filter((other) => !same(other, vote)), vote]);
    this.send();
  }

  /** Send what waits, one after the other; comes back by itself after a failure. */
  async send() {
    if (this.#sending) return;
    this.#sending = true;
    clearTimeout(this.#timer);
    let trouble = null;
    for (let next = this.waiting()[0]; next && !trouble; next = this.waiting()[0]) {
      trouble = await this.#sendOne(next);
      // Another answer for the same face may have taken its place meanwhile; that one stays.
      if (!trouble) this.#keep(this.waiting().filter((other) => !(same(other, next) && other.label === next.label)));
    }
    this.#sending = false;
    this.#failures = trouble ? this.#failures + 1 : 0;
    if (trouble && trouble.status !== 401) {
      this.#timer = setTimeout(() => this.send(), waitAfter(this.#failures));
    }
    this.on.state(this.waiting().length, trouble);
  }

  /** Null where the server has it or never takes it, else the Problem for which it is sent again. */
  async #sendOne(vote) {
    let answer;
    try {
      answer = vote.label === null ? await this.#delete(vote) : await this.#post(vote);
    } catch (problem) {
      if (!NEVER_TAKEN.has(problem.status)) return problem;
      if (vote.label !== null) this.on.refused(vote, problem);
      return null;
    }
    if (vote.label !== null) this.on.taken(vote, answer);
    return null;
  }

  #post({ event_id, face_index, label }) {
    return ask("POST", "/api/v1/labels", { event_id, face_index, label, ...(this.named ? { labeller: this.labeller } : {}) });
  }

  #delete({ event_id, face_index }) {
    const query = this.named ? `?labeller=${encodeURIComponent(this.labeller)}` : "";
    return ask("DELETE", `/api/v1/labels/${event_id}/${face_index}${query}`);
  }

  #keep(votes) {
    this.#kept.writeJson(votes);
    this.on.state(votes.length, null);
  }
}

/** Whether two answers are about one face. */
export const same = (one, other) => one.event_id === other.event_id && one.face_index === other.face_index;
