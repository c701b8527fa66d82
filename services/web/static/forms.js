// Forms whose data go to the REST interface as JSON.

import { say } from "./dom.js";

/** Show what went wrong beside the form, or nothing. */
export function complain(element, text) {
  element.hidden = !text;
  say(element, text);
}

/** Have `send` take the form's values; it is told of one press at a time, and what it throws is shown in the form. */
export function onSubmit(form, send) {
  const problem = form.querySelector(".problem");
  const button = form.querySelector("[type=submit]");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    complain(problem, "");
    button.disabled = true;
    try {
      await send(Object.fromEntries(new FormData(form)));
    } catch (error) {
      complain(problem, error.message);
    }
    button.disabled = false;
  });
}
