// How many people and stretches began when, as bars in the emotions' colours; a part can be chosen by pointer or keys.

import { make, say } from "./dom.js";
import { svg } from "./face-picture.js";
import { counted, dateAndTime } from "./words.js";

const HEIGHT = 100;
const DRAG_PX = 5; // a hand that clicks moves less

/** What the bars count, in words. */
const inWords = (count) => counted(count, "person or stretch", "people and stretches");

export class HistoryTimeline {
  #data = null;
  #chosen = null; // [anchor, other end], numbers of bars
  #bars = 0;
  #pointer = null; // the one that is down: its id, where it went down, and whether it was moved since

  /** `onNarrow(from, to)` is told when a part was chosen. */
  constructor(element, parts, looks, onNarrow) {
    this.element = element;
    this.parts = parts;
    this.looks = looks;
    this.onNarrow = onNarrow;
    for (const [emotion, words] of looks) {
      const item = make("li");
      const sample = svg("svg", { viewBox: "0 0 12 12", "aria-hidden": "true" });
      sample.append(svg("rect", { width: 12, height: 12, class: `bar-${emotion}` }));
      item.append(sample, make("span", "", words));
      parts.legend.append(item);
    }
    element.addEventListener("pointerdown", (event) => this.#down(event));
    element.addEventListener("pointermove", (event) => this.#move(event));
    element.addEventListener("pointerup", (event) => this.#up(event));
    element.addEventListener("pointercancel", (event) => this.#cancel(event));
    element.addEventListener("keydown", (event) => this.#key(event));
  }

  /** The time that is shown, in milliseconds; null before there is any. */
  get span() {
    return this.#data && [Date.parse(this.#data.from), Date.parse(this.#data.to)];
  }

  show(data) {
    this.#data = data;
    const [from, to] = this.span;
    this.#bars = Math.max(1, Math.ceil((to - from) / (data.bucket_s * 1000)));
    const totals = data.items.map((item) => Object.values(item.episodes).reduce((a, b) => a + b, 0));
    const most = Math.max(1, ...totals);
    const drawing = svg("svg", { viewBox: `0 0 ${this.#bars} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" });
    this.numbers = new Map();
    data.items.forEach((item, i) => {
      const x = Math.round((Date.parse(item.start) - from) / (data.bucket_s * 1000));
      this.numbers.set(x, totals[i]);
      let y = HEIGHT;
      for (const [emotion] of this.looks) {
        const height = (item.episodes[emotion] / most) * (HEIGHT - 4);
        if (!height) continue;
        y -= height;
        drawing.append(svg("rect", { x: x + 0.05, y, width: 0.9, height, class: `bar-${emotion}` }));
      }
    });
    this.mark = svg("rect", { y: 0, height: HEIGHT, class: "chosen", visibility: "hidden" });
    drawing.append(this.mark);
    this.element.replaceChildren(drawing);
    this.element.setAttribute("aria-valuemax", this.#bars - 1);
    say(this.parts.from, dateAndTime(data.from));
    say(this.parts.to, dateAndTime(data.to));
    const total = totals.reduce((a, b) => a + b, 0);
    this.whole = total ? `${inWords(total)} in this time; the highest bar stands for ${most.toLocaleString()}.` : "Nothing in this time.";
    if (data.more) this.whole += " Before it there are more than can be counted at once: choose an earlier end to see them.";
    this.#choose(null);
  }

  #at(event) {
    const box = this.element.getBoundingClientRect();
    return Math.min(this.#bars - 1, Math.max(0, Math.floor(((event.clientX - box.left) / box.width) * this.#bars)));
  }

  #down(event) {
    if (!this.#data || event.button !== 0 || !event.isPrimary) return;
    this.element.setPointerCapture(event.pointerId);
    this.#choose([this.#at(event), this.#at(event)]);
    this.#pointer = { id: event.pointerId, x: event.clientX, moved: false };
  }

  #move(event) {
    if (this.#pointer?.id !== event.pointerId) return;
    this.#pointer.moved ||= Math.abs(event.clientX - this.#pointer.x) >= DRAG_PX;
    if (this.#pointer.moved) this.#choose([this.#chosen[0], this.#at(event)]);
  }

  /** A drag narrows; a click only chooses a bar, which says how many it stands for. */
  #up(event) {
    if (this.#pointer?.id !== event.pointerId) return;
    const { moved } = this.#pointer;
    this.#pointer = null;
    if (moved) this.#narrow();
  }

  /** A finger scrolls the page after all. */
  #cancel(event) {
    if (this.#pointer?.id === event.pointerId) this.#choose(null);
  }

  #key(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity, PageUp: -10, PageDown: 10 }[event.key];
    if (step !== undefined && this.#data) {
      const [anchor, end] = this.#chosen ?? [this.#bars - 1, this.#bars - 1];
      const next = Math.min(this.#bars - 1, Math.max(0, this.#chosen ? end + step : end));
      this.#choose([event.shiftKey && this.#chosen ? anchor : next, next]);
    } else if (event.key === "Enter" && this.#chosen) this.#narrow();
    else if (event.key === "Escape") this.#choose(null);
    else return;
    event.preventDefault();
  }

  #choose(chosen) {
    this.#chosen = chosen;
    if (!chosen) this.#pointer = null;
    this.mark?.setAttribute("visibility", chosen ? "visible" : "hidden");
    if (!chosen) {
      this.element.setAttribute("aria-valuetext", "Nothing chosen");
      if (this.#data) say(this.parts.says, this.whole);
      return;
    }
    const [first, last] = [Math.min(...chosen), Math.max(...chosen)];
    this.mark.setAttribute("x", first);
    this.mark.setAttribute("width", last - first + 1);
    let count = 0;
    for (let i = first; i <= last; i += 1) count += this.numbers.get(i) ?? 0;
    const [from, to] = this.#times(first, last);
    const words = `${dateAndTime(from)} to ${dateAndTime(to)}: ${inWords(count)}`;
    this.element.setAttribute("aria-valuenow", chosen[1]);
    this.element.setAttribute("aria-valuetext", words);
    say(this.parts.says, words);
  }

  #times(first, last) {
    const [from, to] = this.span;
    const width = this.#data.bucket_s * 1000;
    return [from + first * width, Math.min(to, from + (last + 1) * width)];
  }

  #narrow() {
    this.onNarrow(...this.#times(Math.min(...this.#chosen), Math.max(...this.#chosen)));
  }
}
