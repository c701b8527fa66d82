// The picture of the face that is asked about. It tells which face is seen: what nobody sees nobody can judge.

import { waitAfter } from "./backoff.js";
import { svg } from "./face-picture.js";

const GONE = new Set([404, 410]);
const ROOM = 0.02; // between face and frame, as a share of the picture

export class LabelPicture {
  /** The face whose picture is seen; null while there is none. */
  seen = null;
  #face = null;
  #turn = 0; // what comes of an earlier face is let go
  #failures = 0;
  #timer = 0;

  /**
   * @param image the element that shows it, hidden while nothing is seen
   * @param drawing the svg over it that frames the face, for others may be in the picture
   * @param on called as on.seen(face), on.gone(face), on.failing(status, wait): the answer's status, 0 where there
   *   was none, and the milliseconds until the next try; null where only a login helps
   */
  constructor(image, drawing, on) {
    this.image = image;
    this.drawing = drawing;
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
    this.drawing.replaceChildren();
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
    this.image.alt = face.mark ? `The face to label: the one in the frame, ${placeOf(face.mark)} of the picture` : "The face to label";
    if (face.mark) this.#frame(face.mark);
    this.on.seen(face);
  }

  #frame(mark) {
    const { naturalWidth: width, naturalHeight: height } = this.image;
    this.drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const [left, right] = [mark.x - ROOM, mark.x + mark.w + ROOM].map((share) => Math.min(1, Math.max(0, share)) * width);
    const [top, bottom] = [mark.y - ROOM, mark.y + mark.h + ROOM].map((share) => Math.min(1, Math.max(0, share)) * height);
    const at = { x: left, y: top, width: right - left, height: bottom - top };
    this.drawing.append(svg("rect", { ...at, class: "under" }), svg("rect", at));
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

/** "in the middle", or "at the left", "at the top right" and so on where the picture ends beside the face. */
function placeOf({ x, y, w, h }) {
  const side = (middle, before, after) => (middle < 0.4 ? before : middle > 0.6 ? after : "");
  const words = [side(y + h / 2, "top", "bottom"), side(x + w / 2, "left", "right")].filter(Boolean);
  return words.length ? `at the ${words.join(" ")}` : "in the middle";
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
