// Pictures of kept frames, drawn by the browser: a face cut out, or a frame with boxes over it.

import { make } from "./dom.js";
import { counted } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";
const MARGIN = 0.25;

/** An SVG element with attributes. */
export function svg(tag, attributes = {}) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

const near = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      near.unobserve(entry.target);
      entry.target.dispatchEvent(new Event("near"));
    }
  },
  { rootMargin: "200px" },
);

/** A face of a kept frame, loaded when it comes into view; words where there is no picture. */
export function thumbnail(picture, region, frameSize) {
  const box = make("div", "thumb");
  const missing = () => box.replaceChildren(make("span", "", "No picture kept"));
  if (!picture || !region || !frameSize) {
    missing();
    return box;
  }
  const side = Math.max(region.w, region.h) * (1 + 2 * MARGIN);
  const left = region.x + region.w / 2 - side / 2;
  const top = region.y + region.h / 2 - side / 2;
  const drawing = svg("svg", { viewBox: `${left} ${top} ${side} ${side}`, "aria-hidden": "true" });
  box.append(drawing);
  box.addEventListener("near", () => {
    const image = svg("image", { href: picture, width: frameSize[0], height: frameSize[1], preserveAspectRatio: "none" });
    image.addEventListener("error", missing);
    drawing.append(image);
  });
  near.observe(box);
  return box;
}

/** A frame with a box and a number for each face; without a picture the boxes stand on plain ground. */
export function frame(picture, frameSize, faces, onMissing) {
  const [width, height] = frameSize;
  const drawing = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `Frame with ${counted(faces.length, "face")} marked` });
  if (picture) {
    const image = svg("image", { href: picture, width, height, preserveAspectRatio: "none" });
    image.addEventListener("error", () => {
      image.remove();
      onMissing();
    });
    drawing.append(image);
  }
  const boxes = svg("g", { class: "boxes" });
  const size = Math.max(12, height / 18);
  for (const { track_id: id, region } of faces) {
    const number = svg("text", { x: region.x, y: Math.max(size, region.y - size / 3), "font-size": size });
    number.textContent = `Person ${id}`;
    const at = { x: region.x, y: region.y, width: region.w, height: region.h };
    boxes.append(svg("rect", { ...at, class: "under" }), svg("rect", at), number);
  }
  drawing.append(boxes);
  return { drawing, boxes };
}
