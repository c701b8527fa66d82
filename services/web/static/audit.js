// The audit log, newest first. The filter stands in the address, so that it can be kept and sent.

import { addressed } from "./address.js";
import { ask } from "./api.js";
import { make } from "./dom.js";
import { complain, onSubmit } from "./forms.js";
import { dateAndTime, momentInZone } from "./words.js";

const FILTERS = ["action", "who"];
const byId = (id) => document.getElementById(id);
const form = byId("filter");
const lines = byId("lines");
let cursor = null;
let turn = 0; // answers to what was asked before are let go

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
  const mine = (turn += 1);
  const page = await ask("GET", `/api/v1/audit?${query}`);
  if (mine !== turn) return;
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

async function show(query) {
  for (const name of FILTERS) form.elements[name].value = query.get(name) ?? "";
  try {
    await load(false);
  } catch (error) {
    lines.replaceChildren();
    tellFailure(error);
  }
}

const go = addressed(show);

onSubmit(form, (values) => go(new URLSearchParams(Object.entries(values).filter(([, value]) => value.trim()))));
byId("older").addEventListener("click", () => load(true).catch(tellFailure));
show(new URLSearchParams(location.search));
