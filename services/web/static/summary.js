// Counts of a choice of faces: bars with numbers, splits, what was left out, and warnings.

import { icon, make } from "./dom.js";
import { adjective, counted, EMOTIONS, label } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";
const LEFT_OUT = {
  no_picture: "whose picture was not kept",
  few_votes: "with too few labellers",
  tie: "where two labels have the most votes",
  unknown: "that most called unknown",
  not_a_face: "that most called not a face",
  low_agreement: "with too little agreement",
  other_label: "with a label that is not taken",
  unreadable: "whose picture could not be read, or was erased",
};

export const number = (value) => value.toLocaleString();

function bars(counts) {
  const list = make("ul", "bars");
  const most = Math.max(1, ...Object.values(counts));
  for (const [name, count] of Object.entries(counts)) {
    const row = make("li");
    const picture = document.createElementNS(SVG, "svg");
    picture.setAttribute("aria-hidden", "true");
    const bar = document.createElementNS(SVG, "rect");
    for (const [key, value] of Object.entries({ width: `${(100 * count) / most}%`, height: "100%", rx: 3 })) bar.setAttribute(key, value);
    picture.append(bar);
    row.append(make("span", "", adjective(name)), picture, make("span", "", number(count)));
    list.append(row);
  }
  return list;
}

function splits(summary, of) {
  const scroll = make("div", "scroll");
  scroll.tabIndex = 0;
  scroll.setAttribute("role", "region");
  scroll.setAttribute("aria-label", `Splits of ${of}`);
  const table = make("table");
  const head = make("tr");
  for (const word of ["Split", "Faces", "Persons", ...EMOTIONS.map(adjective)]) {
    const cell = make("th", "", word);
    cell.scope = "col";
    head.append(cell);
  }
  const thead = make("thead");
  thead.append(head);
  const body = make("tbody");
  for (const [name, counts] of Object.entries(summary.splits)) {
    const row = make("tr");
    const first = make("th", "", label(name));
    first.scope = "row";
    row.append(first, make("td", "", number(counts.items)), make("td", "", number(counts.persons)), ...EMOTIONS.map((emotion) => make("td", "", number(counts.labels[emotion] ?? 0))));
    body.append(row);
  }
  table.append(thead, body);
  scroll.append(table);
  return scroll;
}

function cautions(warnings) {
  const list = make("ul", "cautions");
  for (const warning of warnings) {
    const item = make("li");
    const text = make("div");
    text.append(make("strong", "", warning.text), make("p", "", warning.next_step));
    item.append(icon("attention"), text);
    list.append(item);
  }
  return list;
}

/** One sentence. A choice of which copies are not known yet is the most that it gives. */
export function inWords(summary) {
  if (!summary.items) return "No face fits this choice.";
  const most = summary.certainty && summary.certainty !== "exact" ? "At most " : "";
  const agreement = summary.agreement === null ? "" : ` Labellers agree on ${Math.round(100 * summary.agreement)}% of their votes.`;
  const pseudo = summary.pseudo_labels ? ` ${counted(summary.pseudo_labels, "of them is", "of them are")} labelled by the model alone.` : "";
  return `${most}${counted(summary.items, "face")} of ${counted(summary.persons, "person")}.${pseudo}${agreement}`;
}

/** Elements for all of it but the sentence; `of` says in words what it is of. */
export function shown(summary, of) {
  const parts = [bars(summary.labels), splits(summary, of)];
  const left = Object.entries(summary.left_out);
  if (left.length) parts.push(make("p", "quiet", `Left out: ${left.map(([reason, count]) => `${number(count)} ${LEFT_OUT[reason] ?? reason}`).join("; ")}.`));
  if (summary.dropped_copies) parts.push(make("p", "quiet", `${counted(summary.dropped_copies, "copy or near copy", "copies and near copies")} ${"certainty" in summary ? "would be" : summary.dropped_copies === 1 ? "was" : "were"} left out.`));
  if (summary.warnings.length) parts.push(cautions(summary.warnings));
  return parts;
}
