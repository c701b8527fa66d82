// Who may log in: their roles, temporary passwords, logins.

import { ask } from "./api.js";
import { say } from "./dom.js";
import { complain, onPress, onSubmit } from "./forms.js";
import { oneByOne } from "./turns.js";
import { counted, dateAndTime } from "./words.js";

const byId = (id) => document.getElementById(id);
const list = byId("people");
const shown = byId("shown-once");
const inTurn = oneByOne();

function showOnce({ person, temporary_password: password }) {
  say(shown.querySelector("[data-part=name]"), person.name);
  say(shown.querySelector("[data-part=secret]"), password);
  shown.hidden = false;
  byId("shown-once-title").focus();
}

function facts(person) {
  const parts = [];
  if (person.disabled_at) parts.push(`Disabled since ${dateAndTime(person.disabled_at)}`);
  else if (person.password_temporary) {
    const over = Date.parse(person.password_ends_at) <= Date.now();
    parts.push("Has not chosen a password yet", over ? "the temporary one has ended: make a new one" : `the temporary one ends ${dateAndTime(person.password_ends_at)}`);
  }
  parts.push(person.seen_at ? `last seen ${dateAndTime(person.seen_at)}, logged in ${counted(person.logins, "time")}` : "not logged in");
  parts.push(counted(person.keys, "key"));
  parts.push(`added ${dateAndTime(person.created_at)}`);
  return parts.join("; ");
}

/** Do something to a person, then show everybody as they are; what is refused is said. The focus stays with the person. */
const act = (person, part, work) => inTurn(() => actNow(person, part, work));

async function actNow(person, part, work) {
  complain(byId("problem"), "");
  let said = "";
  try {
    said = await work();
  } catch (error) {
    complain(byId("problem"), error.message);
  }
  await load();
  const name = byId(`person-${person.id}`);
  if (!name) return;
  say(name.parentElement.querySelector("[data-part=said]"), said ?? "");
  // Unless it was led elsewhere meanwhile, to what is shown once.
  if (document.activeElement !== document.body) return;
  const control = name.parentElement.querySelector(`[data-part=${part}]`);
  (control.disabled ? name : control).focus();
}

function entry(person) {
  const item = byId("person").content.firstElementChild.cloneNode(true);
  const part = (name) => item.querySelector(`[data-part=${name}]`);
  const path = `/api/v1/users/${person.id}`;
  say(part("name"), person.name);
  say(part("facts"), facts(person));
  for (const control of item.querySelectorAll("button, select")) control.setAttribute("aria-describedby", `person-${person.id}`);
  part("name").id = `person-${person.id}`;
  part("name").tabIndex = -1;
  part("role").value = person.role;
  // A list changes with each arrow key, so what it says is a choice only; the button gives the role.
  part("role").addEventListener("change", () => {
    const chosen = part("role").selectedOptions[0];
    part("change").disabled = chosen.value === person.role;
    say(part("said"), chosen.value === person.role ? "" : `Not changed yet. Press Change role to make ${person.name} ${chosen.text}.`);
  });
  // Also while the one before is under way: the newest choice stays, and the same one twice does no harm.
  part("change").addEventListener("click", () => act(person, "role", async () => {
    const { role } = await ask("PATCH", path, { role: part("role").value });
    return `Changed: ${person.name} is ${role} now.`;
  }));
  onPress(part("reset"), async () => {
    if (!confirm(`Make a new password for ${person.name}? The old one ends, and ${person.name} is logged out.`)) return;
    await act(person, "reset", async () => showOnce(await ask("POST", `${path}/reset`)));
  });
  part("logout").disabled = person.logins === 0;
  onPress(part("logout"), () => act(person, "logout", async () => {
    await ask("POST", `${path}/logout`);
    return `${person.name} is logged out everywhere.`;
  }));
  say(part("disable"), person.disabled_at ? "Enable" : "Disable");
  onPress(part("disable"), async () => {
    const disabled = !person.disabled_at;
    if (disabled && !confirm(`Disable ${person.name}? They are logged out, and their keys end to work. You can enable them again.`)) return;
    await act(person, "disable", async () => {
      await ask("PATCH", path, { disabled });
    });
  });
  return item;
}

async function load() {
  try {
    const { items } = await ask("GET", "/api/v1/users");
    const none = document.createElement("li");
    say(none, "Nobody yet. Add the first person below; give them the role admin.");
    list.replaceChildren(...(items.length ? items.map(entry) : [none]));
  } catch (error) {
    list.replaceChildren();
    complain(byId("problem"), error.message);
  }
  list.removeAttribute("aria-busy");
}

onSubmit(byId("add"), async (values) => {
  const made = await ask("POST", "/api/v1/users", values);
  byId("add").reset();
  await load();
  showOnce(made);
});
load();
