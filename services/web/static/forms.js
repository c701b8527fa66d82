// Forms whose data go to the REST interface as JSON.

import { misfits, ownName, sentence } from "./api.js";
import { make, say } from "./dom.js";

/** Show what went wrong beside the form, or nothing. */
export function complain(element, text) {
  element.hidden = !text;
  say(element, text);
}

/** Take away what was told at fields. */
export function clearFields(form) {
  for (const told of form.querySelectorAll(".field-problem")) {
    const field = form.querySelector(`[aria-describedby~="${told.id}"]`);
    const others = field.getAttribute("aria-describedby").split(" ").filter((id) => id !== told.id);
    if (others.length) field.setAttribute("aria-describedby", others.join(" "));
    else field.removeAttribute("aria-describedby");
    field.removeAttribute("aria-invalid");
    told.remove();
  }
}

/** Tell what does not fit at the fields that it is about. Gives the fields, and the words for all else. */
export function tellFields(form, error) {
  clearFields(form);
  const fields = [];
  const rest = [];
  for (const wrong of error.errors ?? []) {
    const field = form.elements.namedItem(ownName(wrong.parameter));
    if (!(field instanceof HTMLElement) || !field.matches("input, select, textarea") || field.hidden || fields.includes(field)) {
      rest.push(wrong);
      continue;
    }
    const told = make("p", "field-problem", sentence(wrong.reason));
    told.id = `${form.id}-${field.name}-problem`;
    (field.closest("label") ?? field.closest("p") ?? field).after(told);
    field.setAttribute("aria-describedby", [told.id, field.getAttribute("aria-describedby")].filter(Boolean).join(" "));
    field.setAttribute("aria-invalid", "true");
    fields.push(field);
  }
  return { fields, text: fields.length ? misfits(rest) : error.message };
}

/** As `tellFields`, for what was just sent: the first of the fields is where one goes on. Gives the words for all else. */
export function complainAt(form, error) {
  const { fields, text } = tellFields(form, error);
  fields[0]?.focus();
  return text;
}

/** Whether a click is the second one of a double click: it was meant for what stood there before the first. */
const isSecond = (click) => click.detail > 1;

/** Have a button act once for each gesture, and not again while what it began is under way. */
export function onPress(button, act) {
  let atWork = false;
  button.addEventListener("click", async (event) => {
    if (atWork || isSecond(event)) return;
    atWork = true;
    try {
      await act();
    } finally {
      atWork = false;
    }
  });
}

/** Have the page itself take what a form sends. Its button is off until then: the browser would send it as a page of its own, which the headers forbid. */
export function takeSubmit(form, take) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    take();
  });
  form.querySelector("[type=submit]").disabled = false;
}

/** Have `send` take the form's values, once for each gesture; what it throws is told, in the form if nothing else is given. */
export function onSubmit(form, send, tell = (text) => complain(form.querySelector(".problem"), text)) {
  const button = form.querySelector("[type=submit]");
  button.addEventListener("click", (event) => {
    if (isSecond(event)) event.preventDefault();
  });
  takeSubmit(form, async () => {
    tell("");
    clearFields(form);
    const focused = document.activeElement === button;
    button.disabled = true;
    try {
      await send(Object.fromEntries(new FormData(form)));
    } catch (error) {
      tell(complainAt(form, error));
    }
    button.disabled = false;
    if (focused && document.activeElement === document.body) button.focus();
  });
}
