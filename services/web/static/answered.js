// The last answers that were given in this tab, so that they can be taken back, also after the page was loaded again.

import { inTab } from "./kept.js";
import { same } from "./votes.js";

const KEPT = 50;

export class Answered {
  #kept;

  /** @param labeller whose they are */
  constructor(labeller) {
    this.#kept = inTab(`emotion-edge answered ${labeller}`);
    /** The faces that were answered, as the queue gave them, the last one at the end. */
    this.faces = this.#kept.readJson([]);
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

  #keep(faces) {
    this.faces = faces;
    this.#kept.writeJson(faces);
  }
}
