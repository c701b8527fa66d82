// The notice: what is typed goes into it, and is kept in this browser alone.

import { say } from "./dom.js";

const KEY = "notice";
const BLANK = "______________________________";
const form = document.getElementById("fill");

function stored() {
  try {
    return JSON.parse(localStorage.getItem(KEY)) ?? {};
  } catch {
    return {}; // not allowed to keep anything, or not ours: the form begins empty
  }
}

function show() {
  const values = Object.fromEntries(new FormData(form));
  for (const place of document.querySelectorAll("[data-field]")) say(place, values[place.dataset.field].trim() || place.dataset.empty || BLANK);
  try {
    localStorage.setItem(KEY, JSON.stringify(values));
  } catch {
    // A browser that keeps nothing still prints.
  }
}

for (const [name, value] of Object.entries(stored())) if (form.elements[name]) form.elements[name].value = value;
form.addEventListener("input", show);
form.addEventListener("submit", (event) => event.preventDefault());
document.getElementById("print").addEventListener("click", () => print());
show();
