// The choice of a study session in a filter: shown by name, asked for by id.

import { ask } from "./api.js";
import { dateAndTime } from "./words.js";

const PAGE = 500;

/** A session as people know it. */
export const sessionName = ({ participant, condition, started_at: startedAt }) =>
  `${participant}${condition ? `, ${condition}` : ""}, begun ${dateAndTime(startedAt)}`;

/** All sessions, newest first; throws a Problem. */
export async function everySession() {
  const found = [];
  let cursor = null;
  do {
    const page = await ask("GET", `/api/v1/sessions?limit=${PAGE}${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`);
    found.push(...page.items);
    cursor = page.next_cursor;
  } while (cursor);
  return found;
}

/** Fill a list whose first choice is all of them, newest first. What is chosen already stays so, and gets its name. */
export async function fillSessions(select) {
  let found;
  try {
    found = await everySession();
  } catch {
    return; // what is asked with the filter says what is wrong; all of them is still there to choose
  }
  const chosen = select.value;
  const [all, ...others] = select.options;
  const known = new Set(found.map(({ id }) => id));
  all.textContent = found.length ? all.textContent : "No sessions yet";
  // An id that a link brought and nobody knows is left as it is: the answer to it says so.
  select.replaceChildren(all, ...found.map((session) => new Option(sessionName(session), session.id)), ...others.filter(({ value }) => !known.has(value)));
  select.value = chosen;
}
