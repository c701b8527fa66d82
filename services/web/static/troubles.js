// What is wrong on a page, in one box. Each is told until what it concerns is well again, whatever else succeeds.

import { say } from "./dom.js";

export class Troubles {
  #all = new Map(); // by what they concern

  /** @param words makes one text of all troubles */
  constructor(box, words = (all) => [...new Set(all)].join(" ")) {
    this.box = box;
    this.words = words;
  }

  /** Say what is wrong with one thing; nothing where it is well again. */
  tell(about, problem) {
    if (problem) this.#all.set(about, problem);
    else this.#all.delete(about);
    this.box.hidden = this.#all.size === 0;
    if (this.#all.size) say(this.box, this.words([...this.#all.values()]));
  }
}
