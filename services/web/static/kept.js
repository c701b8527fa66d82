// What the browser keeps for a page. It may refuse to; then it is known until the page is left.

export class Kept {
  #area;
  #key;
  #here; // what it refused to keep

  /** @param area gives the browser's storage; to ask for it may throw too */
  constructor(area, key) {
    this.#area = area;
    this.#key = key;
  }

  /** Whether it is known to this page alone. */
  get onlyHere() {
    return this.#here !== undefined;
  }

  /** The text, null where there is none. */
  read() {
    if (this.onlyHere) return this.#here;
    try {
      return this.#area().getItem(this.#key);
    } catch {
      return null;
    }
  }

  write(text) {
    this.#here = undefined;
    try {
      this.#area().setItem(this.#key, text);
    } catch {
      this.#here = text;
    }
  }

  /** What was written as JSON; `otherwise` where there is nothing, or what no page of this version wrote. */
  readJson(otherwise) {
    try {
      return JSON.parse(this.read()) ?? otherwise;
    } catch {
      return otherwise;
    }
  }

  writeJson(value) {
    this.write(JSON.stringify(value));
  }
}

/** In this browser, for all its tabs. */
export const inBrowser = (key) => new Kept(() => localStorage, key);

/** In this tab. */
export const inTab = (key) => new Kept(() => sessionStorage, key);
