// What is kept, and erasing it.

import { ask } from "./api.js";
import { make, say } from "./dom.js";
import { complain, onSubmit } from "./forms.js";
import { nameOf } from "./session-choice.js";
import { counted, dateAndTime, label } from "./words.js";

const LOOK_AGAIN_MS = 2000;
const KINDS = {
  detections_days: "Readings are kept",
  frames_days: "Pictures are kept",
  dead_letters_days: "Refused messages are kept",
  audit_days: "The audit log is kept",
};
const byId = (id) => document.getElementById(id);

function fill(list, rows) {
  list.replaceChildren(
    ...rows.map(([name, value]) => {
      const row = make("div");
      row.append(make("dt", "", name), make("dd", "", value));
      return row;
    }),
  );
}

async function showKept() {
  try {
    const kept = await ask("GET", "/api/v1/retention");
    const days = (count) => (count ? counted(count, "day") : "for ever");
    const rows = Object.entries(KINDS).filter(([kind]) => kind in (kept.in_force?.days ?? {})).map(([kind, words]) => [words, days(kept.in_force.days[kind])]);
    rows.push(
      ["Oldest detection", dateAndTime(kept.oldest_detection, "none")],
      ["Oldest picture", dateAndTime(kept.oldest_frame, "none")],
      ["Last time that something expired", dateAndTime(kept.last?.at ?? null)],
    );
    fill(byId("kept"), rows);
    say(byId("kept-when"), kept.in_force ? `As ingest applied it ${dateAndTime(kept.in_force.at)}; it looks every hour.` : "Ingest has not told yet for how long things are kept; it does so when it starts.");
  } catch (error) {
    complain(byId("kept-problem"), error.message);
  }
}

const total = (rows) => Object.values(rows ?? {}).reduce((sum, count) => sum + count, 0);
const span = (from, to) => `${from ? `from ${dateAndTime(from)} ` : ""}until ${dateAndTime(to, "any time")}`;
const scope = (item) => (item.item_id ? `Item ${item.item_id}` : `${item.device ?? "Every device"}, ${span(item.from, item.to)}`);

/** What was asked for, as it was named. */
async function named({ device, from, to, session, item }) {
  if (session) return `Study session ${await nameOf(session)}, with what its devices recorded`;
  return scope({ device, from: from ?? null, to, item_id: item });
}

function entry(title, ...facts) {
  const item = make("li", "entry");
  item.append(make("h3", "", title), ...facts.map((fact) => make("p", "quiet", fact)));
  return item;
}

let lookAgain = null; // one timer, however often it is asked for

async function showErasures() {
  const list = byId("erasures");
  clearTimeout(lookAgain);
  lookAgain = null;
  let again = true; // also after an answer that failed: the next may come
  try {
    const found = await ask("GET", "/api/v1/erasures");
    again = found.at_work.length > 0;
    complain(byId("erasures-problem"), found.failed ? `Not finished: ${found.failed}` : "");
    const items = await Promise.all(found.at_work.map(async (job) => entry(await named(job), `At work, or waits its turn: ${counted(job.rows_removed, "row")} removed so far. Asked for by ${job.requested_by}.`)));
    for (const item of found.items) {
      if (!item.finished_at) continue; // told as at work
      const proof = `Erased ${dateAndTime(item.finished_at)}: ${counted(total(item.rows_before), "row")} before, ${total(item.rows_after).toLocaleString()} after.`;
      items.push(entry(scope(item), proof, `Asked for by ${item.requested_by}, ${dateAndTime(item.requested_at)}.`));
    }
    list.replaceChildren(...(items.length ? items : [make("li", "quiet", "Nothing was erased yet.")]));
  } catch (error) {
    complain(byId("erasures-problem"), error.message);
    again &&= error.status !== 401;
  }
  list.removeAttribute("aria-busy");
  if (again && lookAgain === null) lookAgain = setTimeout(showErasures, LOOK_AGAIN_MS);
}

async function nameDevices() {
  try {
    const { items } = await ask("GET", "/api/v1/devices");
    byId("devices").replaceChildren(...items.map(({ device }) => Object.assign(make("option"), { value: device })));
  } catch (error) {
    complain(byId("erasures-problem"), error.message); // the name can still be typed
  }
}

const moment = (local) => (local ? new Date(local).toISOString() : null);

showKept();
if (byId("find")) {
  let wish = null;
  const choose = (what) => {
    byId("what").value = what;
    for (const { value } of byId("what").options) {
      const part = byId(`what-${value}`);
      part.hidden = part.disabled = value !== what; // what is disabled is not sent
    }
  };
  const given = new URLSearchParams(location.search); // as the pages of a session and of a detection lead here
  for (const what of ["session", "item"]) {
    if (!given.get(what)) continue;
    choose(what);
    byId(what).value = given.get(what);
  }
  byId("what").addEventListener("change", () => choose(byId("what").value));
  onSubmit(byId("find"), async ({ what, device, from, to, session, item }) => {
    byId("erase").hidden = true;
    if (what === "device") wish = { device, to: moment(to), ...(from && { from: moment(from) }) };
    else wish = what === "session" ? { session } : { item: item.trim() };
    const { rows } = await ask("GET", `/api/v1/erasures/preview?${new URLSearchParams(wish)}`);
    say(byId("erase-what"), `To be erased: ${await named(wish)}`);
    fill(byId("rows"), Object.entries(rows).map(([table, count]) => [label(table), count.toLocaleString()]));
    byId("erase").hidden = false;
    byId("erase-what").focus();
  });
  byId("find").addEventListener("input", () => {
    byId("erase").hidden = true; // what was shown is not what would be meant
  });
  onSubmit(byId("erase"), async ({ confirm }) => {
    await ask("POST", "/api/v1/erasures", { ...wish, confirm });
    byId("erase").reset();
    byId("erase").hidden = true;
    byId("find").reset();
    choose("device");
    await showErasures();
  });
  nameDevices();
  showErasures();
}
