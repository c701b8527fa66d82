// A text that is saved as it is typed, one save at a time: of two under way the older one might reach the server last.

import { waitAfter } from "./backoff.js";

// What does not fit, is of something that is gone, or would be written over another's, is told and not tried again.
const NEVER_TAKEN = new Set([404, 410, 412, 422]);

export class Saving {
  #known = false; // nothing is saved before it is known what the server has
  #saved = null; // what the server has; null where a save failed: it may have been done
  #underWay = null;
  #again = false;
  #failures = 0;
  #timer = 0;

  /**
   * @param read gives what is typed
   * @param send sends a text, with more options of fetch; throws a Problem
   * @param on called as on.saving(), on.saved(whole), false where more was typed meanwhile, and on.failed(problem,
   *   again), true where it is tried again by itself
   */
  constructor(read, send, on) {
    this.read = read;
    this.send = send;
    this.on = on;
  }

  /** The server has this text. */
  has(text) {
    this.#known = true;
    this.#saved = text;
  }

  /** Whether there is nothing to save. */
  get done() {
    return !this.#known || (!this.#underWay && this.read() === this.#saved);
  }

  /** Save a while from now; to call it again puts it off. */
  soon(milliseconds) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.now(), milliseconds);
  }

  /** Save now, or as soon as what is under way has ended. */
  now() {
    clearTimeout(this.#timer);
    if (this.#underWay) this.#again = true;
    else if (!this.done) this.#save();
  }

  /** The page is left: what is not saved is sent so that it outlives the page. There is no waiting for an older save that
   * is under way: it is called back, and where it has reached the server it did so before this one. */
  leave() {
    clearTimeout(this.#timer);
    if (this.done) return;
    this.#underWay?.abort();
    this.#save({ keepalive: true });
  }

  /** What it is of is gone. */
  stop() {
    clearTimeout(this.#timer);
    this.#underWay?.abort();
    this.#known = false;
  }

  async #save(more) {
    const text = this.read();
    const mine = (this.#underWay = new AbortController());
    let problem = null;
    this.on.saving();
    try {
      await this.send(text, { signal: mine.signal, ...more });
    } catch (error) {
      problem = error;
    }
    if (mine.signal.aborted) return;
    this.#underWay = null;
    this.#saved = problem ? null : text;
    this.#failures = problem ? this.#failures + 1 : 0;
    const asked = this.#again;
    this.#again = false;
    if (problem) {
      const again = !NEVER_TAKEN.has(problem.status);
      if (again) this.soon(waitAfter(this.#failures));
      this.on.failed(problem, again);
    } else {
      this.on.saved(this.read() === text);
      if (asked) this.now();
    }
  }
}
