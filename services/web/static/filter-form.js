// A form whose named fields stand in the address, in the words of history-filter.js.

import { read } from "./history-filter.js";
import { fillMoment, momentOf } from "./moment-field.js";

/** Show what an address asks for. */
export function fillForm(form, asked) {
  for (const field of form.elements) {
    if (!field.name) continue;
    const value = asked.get(field.name) ?? "";
    if (field.type === "datetime-local") fillMoment(field, value);
    else field.value = value;
    // What a list lacks can still be asked for by a link.
    if (field.tagName === "SELECT" && value && field.value !== value) field.append(new Option(value, value, true, true));
  }
  showTimes(form);
}

/** From and to are shown where the time is neither all of it nor counted back from now. */
export function showTimes(form) {
  for (const label of form.querySelectorAll(".own")) label.hidden = form.elements.last.value !== "own";
}

/** What the form asks for, as it stands in an address. */
export function fromForm(form) {
  const found = new URLSearchParams();
  for (const field of form.elements) {
    if (!field.name || !field.value) continue;
    if (field.type === "datetime-local") {
      if (form.elements.last.value === "own") found.set(field.name, momentOf(field));
    } else found.set(field.name, field.value.trim());
  }
  return found;
}

/** Fill a list whose first choice is every device. What is chosen already stays so. */
export async function fillDevices(select) {
  let items;
  try {
    ({ items } = await read("/api/v1/devices"));
  } catch {
    return; // what is asked with the filter says what is wrong; every device is still there to choose
  }
  const chosen = select.value;
  const known = new Set([...select.options].map((option) => option.value));
  select.append(...items.filter(({ device }) => !known.has(device)).map(({ device }) => new Option(device, device)));
  select.value = chosen;
}
