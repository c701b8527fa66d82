// The picture of the face that is asked about. It tells which face is seen: what nobody sees nobody can judge.

import { waitAfter } from "./backoff.js";

const GONE = new Set([404, 410]);

export class LabelPicture {
  /** The face whose picture is seen; null while there is none. */
  seen = null;
  #face = null;
  #turn = 0; // what comes of an earlier face is let go
  #failures = 0;
  #timer = 0;

  /**
   * @param image the element that shows it, hidden while nothing is seen
   * @param on called as on.seen(face), on.gone(face), on.failing(status, wait): the answer's status, 0 where there
   *   was none, and the milliseconds until the next try; null where only a login helps
   */
  constructor(image, on) {
    this.image = image;
    this.on = on;
  }

  /** Show a face in place of the one before; null for none. */
  show(face) {
    clearTimeout(this.#timer);
    this.#turn += 1;
    this.#face = face;
    this.#failures = 0;
    this.seen = null;
    this.image.hidden = true;
    if (face) this.#load();
  }

  async #load() {
    const turn = this.#turn;
    const face = this.#face;
    this.image.src = face.picture;
    try {
      await this.image.decode();
    } catch {
      const status = await statusOf(face.picture);
      if (turn === this.#turn) this.#failed(status);
      return;
    }
    if (turn !== this.#turn) return;
    this.seen = face;
    this.image.hidden = false;
    this.on.seen(face);
  }

  #failed(status) {
    if (GONE.has(status)) {
      this.on.gone(this.#face);
      return;
    }
    this.#failures += 1;
    const wait = status === 401 ? null : waitAfter(this.#failures);
    if (wait !== null) this.#timer = setTimeout(() => this.#load(), wait);
    this.on.failing(status, wait);
  }
}

/** An image that fails does not say why; the same address asked again does. */
async function statusOf(address) {
  try {
    const answer = await fetch(address);
    await answer.body?.cancel();
    return answer.status;
  } catch {
    return 0;
  }
}
