// A moment in a field of day and time, in the viewer's zone.

/** Show a moment, as REST writes it; an empty field where it is none. */
export function fillMoment(field, moment) {
  const at = new Date(moment || NaN);
  const none = Number.isNaN(at.getTime());
  field.value = none ? "" : new Date(at.getTime() - at.getTimezoneOffset() * 60e3).toISOString().slice(0, 19);
  field.dataset.shown = field.value; // which the browser may have written otherwise
  field.dataset.moment = none ? "" : moment;
}

/** The moment that a field means, as REST writes it; "" for none. While it shows what it was filled with it is that very
 * moment: a field has no fractions of a second, and does not tell apart the hours that a clock shows twice in autumn. */
export function momentOf(field) {
  if (!field.value || field.value === field.dataset.shown) return field.value && field.dataset.moment;
  return new Date(field.value).toISOString();
}
