// Small helpers. Text from data goes into the page as text only, never as markup.

/** An element with a class and text. */
export function make(tag, className = "", text = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text) element.textContent = text;
  return element;
}

/** A paragraph in which `commands` between backticks stand out. */
export function paragraph(text) {
  const element = make("p");
  text.split("`").forEach((part, i) => element.append(i % 2 ? make("code", "", part) : part));
  return element;
}

/** Set text where it differs, so that screen readers and layout are left alone. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

const SVG = "http://www.w3.org/2000/svg";

/** One of the drawings of faces.svg; decoration beside words. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  svg.append(document.createElementNS(SVG, "use"));
  draw(svg, name);
  return svg;
}

/** Change which drawing an icon shows. */
export function draw(svg, name) {
  const href = `/static/faces.svg#${name}`;
  if (svg.firstElementChild.getAttribute("href") !== href) svg.firstElementChild.setAttribute("href", href);
}

/** A sample of a line in the timeline. */
export function lineSample(emotion, dash) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 28 12");
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS(SVG, "line");
  for (const [name, value] of Object.entries({ x1: 0, x2: 28, y1: 6, y2: 6, class: `e-${emotion}`, "stroke-dasharray": dash.join(" ") })) line.setAttribute(name, value);
  svg.append(line);
  return svg;
}

/** A chip: tone, icon and words. */
export function chip(element, tone, iconName, text) {
  if (element.dataset.tone !== tone) element.dataset.tone = tone;
  if (!element.querySelector("svg")) element.replaceChildren(icon(iconName), make("span"));
  draw(element.querySelector("svg"), iconName);
  say(element.querySelector("span"), text);
}

/** Names and values into a description list; elements are kept so that nothing flickers. */
export function fill(list, rows) {
  while (list.children.length > rows.length) list.lastElementChild.remove();
  rows.forEach(([name, value], i) => {
    let row = list.children[i];
    if (!row) {
      row = make("div");
      row.append(make("dt"), make("dd"));
      list.append(row);
    }
    say(row.children[0], name);
    say(row.children[1], value);
  });
}
