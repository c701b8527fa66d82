// The notice: what is typed goes into it, and is kept in this browser alone.

import { say } from "./dom.js";
import { inBrowser } from "./kept.js";

const kept = inBrowser("notice");
const BLANK = "______________________________";
const form = document.getElementById("fill");

function show() {
  const values = Object.fromEntries(new FormData(form));
  for (const place of document.querySelectorAll("[data-field]")) say(place, values[place.dataset.field].trim() || place.dataset.empty || BLANK);
  kept.writeJson(values);
}

for (const [name, value] of Object.entries(kept.readJson({}))) if (form.elements[name]) form.elements[name].value = value;
form.addEventListener("input", show);
form.addEventListener("submit", (event) => event.preventDefault());
document.getElementById("print").addEventListener("click", () => print());
show();
