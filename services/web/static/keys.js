// Keys of programs: making, showing once, revoking.

import { ask } from "./api.js";
import { say } from "./dom.js";
import { complain, onPress, onSubmit } from "./forms.js";
import { dateAndTime } from "./words.js";

const DAY_MS = 86_400_000;
const byId = (id) => document.getElementById(id);
const list = byId("keys");

function end(key) {
  if (key.revoked_at) return `revoked ${dateAndTime(key.revoked_at)}`;
  if (!key.expires_at) return "does not end by itself";
  return `${Date.parse(key.expires_at) < Date.now() ? "ended" : "ends"} ${dateAndTime(key.expires_at)}`;
}

function entry(key) {
  const item = byId("key").content.firstElementChild.cloneNode(true);
  const part = (name) => item.querySelector(`[data-part=${name}]`);
  say(part("name"), key.name);
  part("name").id = `key-${key.id}`;
  say(part("facts"), `Of ${key.owner}; may ${key.scopes.join(", ")}; last used ${dateAndTime(key.last_used_at)}; made ${dateAndTime(key.created_at)}; ${end(key)}`);
  part("revoke").setAttribute("aria-describedby", `key-${key.id}`);
  part("revoke").hidden = key.revoked_at !== null;
  onPress(part("revoke"), async () => {
    if (!confirm(`Revoke the key “${key.name}”? Programs that use it are refused from now on.`)) return;
    try {
      await ask("DELETE", `/api/v1/tokens/${key.id}`);
    } catch (error) {
      complain(byId("problem"), error.message);
    }
    await load();
  });
  return item;
}

async function load() {
  try {
    const { items } = await ask("GET", `/api/v1/tokens?everybodys=${list.dataset.everybodys}`);
    const none = document.createElement("li");
    say(none, "No key yet.");
    list.replaceChildren(...(items.length ? items.map(entry) : [none]));
  } catch (error) {
    list.replaceChildren();
    complain(byId("problem"), error.message);
  }
  list.removeAttribute("aria-busy");
}

const form = byId("make");
if (form) {
  onSubmit(form, async ({ name, days }) => {
    const scopes = [...form.querySelectorAll("[name=scopes]:checked")].map((box) => box.value);
    if (!scopes.length) throw new Error("Choose at least one scope.");
    const expires = days ? new Date(Date.now() + Number(days) * DAY_MS).toISOString() : null;
    const made = await ask("POST", "/api/v1/tokens", { name, scopes, expires_at: expires });
    form.reset();
    await load();
    say(byId("shown-once").querySelector("[data-part=secret]"), made.token);
    byId("shown-once").hidden = false;
    byId("shown-once-title").focus();
  });
}
load();
