// The audit log, newest first. The filter stands in the address, so that it can be kept and sent.

import { ask } from "./api.js";
import { make, say } from "./dom.js";
import { complain, onSubmit } from "./forms.js";
import { dateAndTime, momentInZone } from "./words.js";

const FILTERS = ["action", "who"];
const byId = (id) => document.getElementById(id);
const form = byId("filter");
const lines = byId("lines");
let cursor = null;

function row(entry) {
  const line = make("tr");
  const more = Object.entries(entry.detail).map(([name, value]) => `${name}: ${typeof value === "object" ? JSON.stringify(value, (_, part) => momentInZone(part)) : momentInZone(value)}`);
  const cells = [dateAndTime(entry.at), entry.who, entry.action, entry.object, more.join("; ")];
  line.append(...cells.map((text) => make("td", "", text)));
  return line;
}

async function load(older) {
  const query = new URLSearchParams(location.search);
  for (const name of [...query.keys()]) if (!FILTERS.includes(name)) query.delete(name);
  if (older) query.set("cursor", cursor);
  const page = await ask("GET", `/api/v1/audit?${query}`);
  if (!older) lines.replaceChildren();
  lines.append(...page.items.map(row));
  if (!lines.rows.length) {
    const none = make("tr");
    none.append(make("td", "", "No line fits. Take a filter away, or look again in some seconds."));
    none.firstElementChild.colSpan = 5;
    lines.append(none);
  }
  cursor = page.next_cursor;
  byId("older").hidden = cursor === null;
}

function tellFailure(error) {
  complain(form.querySelector(".problem"), error.message);
}

function show() {
  const query = new URLSearchParams(location.search);
  for (const name of FILTERS) form.elements[name].value = query.get(name) ?? "";
  return load(false);
}

onSubmit(form, async (values) => {
  const query = new URLSearchParams(Object.entries(values).filter(([, value]) => value.trim()));
  history.pushState(null, "", query.size ? `?${query}` : location.pathname);
  await show();
});
byId("older").addEventListener("click", () => load(true).catch(tellFailure));
addEventListener("popstate", () => show().catch(tellFailure));
show().catch((error) => {
  lines.replaceChildren();
  tellFailure(error);
});
