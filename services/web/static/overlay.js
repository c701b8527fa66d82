// Boxes and words over a clean picture, drawn from data.

const SVG = "http://www.w3.org/2000/svg";
const KEPT = 60;

/** The live states of the last moments by frame, so that boxes belong to the picture that is shown. */
export class Overlay {
  #lives = new Map();

  constructor(svg) {
    this.svg = svg;
  }

  live(live) {
    this.#lives.set(live.frame_number, live);
    for (const number of this.#lives.keys()) {
      if (this.#lives.size <= KEPT) break;
      this.#lives.delete(number);
    }
  }

  /** Draw what was read in this frame; nothing where that is not known. */
  draw(frameNumber) {
    const live = this.#lives.get(frameNumber);
    this.svg.replaceChildren();
    if (!live) return;
    const [width, height] = live.frame_size;
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const size = Math.max(10, height / 20);
    for (const face of live.faces) {
      const { x, y, w, h } = face.region;
      this.#add("rect", { x, y, width: w, height: h, class: "box-ground" });
      this.#add("rect", { x, y, width: w, height: h, class: "box" });
      const above = y - size * 0.4 > size;
      const text = this.#add("text", { x: Math.max(2, Math.min(x, width - 8 * size)), y: above ? y - size * 0.4 : Math.min(y + h + size * 1.1, height - 4), "font-size": size });
      text.textContent = face.words.percent === null || face.words.percent === undefined ? face.words.headline : `${face.words.headline} ${face.words.percent}%`;
    }
  }

  clear() {
    this.svg.replaceChildren();
  }

  #add(name, attributes) {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    this.svg.append(element);
    return element;
  }
}
