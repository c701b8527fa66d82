// The last answers that were given in this tab, so that they can be taken back, also after the page was loaded again.

import { same } from "./votes.js";

const KEPT = 50;

export class Answered {
  #key;

  /** @param labeller whose they are */
  constructor(labeller) {
    this.#key = `emotion-edge answered ${labeller}`;
    /** The faces that were answered, as the queue gave them, the last one at the end. */
    this.faces = this.#read();
  }

  get last() {
    return this.faces.at(-1) ?? null;
  }

  add(face) {
    this.#keep([...this.faces.filter((other) => !same(other, face)), face].slice(-KEPT));
  }

  remove(face) {
    this.#keep(this.faces.filter((other) => !same(other, face)));
  }

  #read() {
    try {
      return JSON.parse(sessionStorage.getItem(this.#key)) ?? [];
    } catch {
      return []; // a browser that keeps nothing, or what no page of this version wrote
    }
  }

  #keep(faces) {
    this.faces = faces;
    try {
      sessionStorage.setItem(this.#key, JSON.stringify(faces));
    } catch {
      // They are then known until the page is left.
    }
  }
}
