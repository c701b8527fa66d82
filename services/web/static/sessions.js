// The list of study sessions, and the form that starts one.

import { ask } from "./api.js";
import { icon, make, say } from "./dom.js";
import { formDraft } from "./drafts.js";
import { fillForm, fromForm } from "./filter-form.js";
import { clearFields, complainAt, takeSubmit } from "./forms.js";
import { link } from "./history-filter.js";
import { fillDeviceBoxes } from "./session-devices.js";
import { counted, dateAndTime, duration } from "./words.js";

const part = (id) => document.getElementById(id);
const draft = part("start") && formDraft("start", part("start"));
const asked = new URLSearchParams(location.search);
let cursor = null;

function trouble(text) {
  part("trouble").hidden = !text;
  say(part("trouble"), text);
  if (text) part("trouble").scrollIntoView({ block: "nearest" });
}

function row(session) {
  const item = make("li");
  const link = make("a", "", session.participant);
  link.href = `/sessions/${session.id}`;
  const running = session.ended_at === null;
  const seconds = ((running ? Date.now() : Date.parse(session.ended_at)) - Date.parse(session.started_at)) / 1000;
  const about = [session.condition, session.devices.join(", "), counted(session.markers, "marker")];
  const state = make("p", "chip");
  state.dataset.tone = running ? "good" : "wait";
  state.append(icon(running ? "recording" : "good"), make("span", "", running ? `Running for ${duration(seconds)}` : `Ended after ${duration(seconds)}`));
  item.append(link, make("span", "", dateAndTime(session.started_at)), make("span", "about", about.filter(Boolean).join(" · ")), state);
  if (running && part("start")) {
    const stop = make("button", "", "Stop");
    stop.type = "button";
    stop.setAttribute("aria-label", `Stop the session of ${session.participant}`);
    stop.addEventListener("click", async () => {
      stop.disabled = true;
      try {
        item.replaceWith(row(await ask("POST", `/api/v1/sessions/${session.id}/stop`)));
      } catch (error) {
        stop.disabled = false;
        trouble(error.message);
      }
    });
    item.append(stop);
  }
  return item;
}

async function show() {
  try {
    const query = new URLSearchParams([...asked, ["limit", 50], ...(cursor ? [["cursor", cursor]] : [])]);
    const page = await ask("GET", link("/api/v1/sessions", query));
    part("sessions").append(...page.items.map(row));
    cursor = page.next_cursor;
    part("more").hidden = cursor === null;
    const any = part("sessions").children.length > 0;
    part("none").hidden = any || asked.size > 0;
    part("none-fits").hidden = any || asked.size === 0;
  } catch (error) {
    trouble(error.message);
  }
}

async function start() {
  const form = new FormData(part("start"));
  const devices = form.getAll("devices");
  if (!devices.length) {
    trouble("Choose at least one device.");
    return;
  }
  const button = part("start").querySelector("button");
  button.disabled = true;
  clearFields(part("start"));
  trouble("");
  try {
    const session = await ask("POST", "/api/v1/sessions", { participant: form.get("participant"), condition: form.get("condition"), devices });
    draft.saved();
    location.assign(`/sessions/${session.id}`);
  } catch (error) {
    trouble(complainAt(part("start"), error));
    button.disabled = false;
  }
}

/** Offer what there is to filter by. */
async function showChoices() {
  const found = await ask("GET", "/api/v1/sessions/choices");
  for (const [id, values] of Object.entries(found)) part(id).replaceChildren(...values.map((value) => new Option(value, value)));
}

takeSubmit(part("filter"), () => location.assign(link("/sessions", fromForm(part("filter")))));
fillForm(part("filter"), asked);
part("faces-csv").href = link("/api/v1/sessions/faces.csv", asked);
part("more").addEventListener("click", show);
if (part("start")) {
  fillDeviceBoxes(part("devices"), (_, count) => count === 1).then(() => {
    draft.offer();
    takeSubmit(part("start"), start); // not before there are devices to choose
  });
}
show();
showChoices().catch((error) => trouble(error.message));
