// The page of datasets: the list, one of them in detail, and the form of a new one. Which one is shown stands in the URL.

import { ask } from "./api.js";
import { make, say } from "./dom.js";
import { DatasetDetail, isAtWork, moment, state } from "./dataset-detail.js";
import { DatasetForm } from "./dataset-form.js";
import { Troubles } from "./troubles.js";
import { counted } from "./words.js";

const AT_WORK_MS = 1000;
const AT_REST_MS = 15000;

const list = document.getElementById("list");
const none = document.getElementById("none");
const more = document.getElementById("more");
const troubles = new Troubles(document.getElementById("trouble"));
const announce = document.getElementById("announce");
const element = document.getElementById("detail");
const form = document.getElementById("new");

let datasets = [];
let pages = 1; // of the list, as far as it was opened
let detail = null;
let timer = null;
let turn = 0; // of two answers the older one is let go
let listed = "";

const chosen = () => new URLSearchParams(location.search).get("dataset");

async function act(work) {
  try {
    await work();
    troubles.tell("act", null);
  } catch (problem) {
    troubles.tell("act", problem.message);
  }
}

function address(id) {
  return id === null ? "/datasets" : `/datasets?dataset=${id}`;
}

function go(id) {
  history.pushState(null, "", address(id));
  refresh().then(() => {
    if (!element.hidden) element.focus();
  });
}

function drawList() {
  const key = JSON.stringify([datasets.map((one) => [one.id, one.state, one.summary?.items]), chosen()]);
  if (key === listed) return;
  listed = key;
  none.hidden = datasets.length > 0;
  say(none, "There are none yet. Label some faces, then choose below which of them make a dataset.");
  const focused = document.activeElement?.dataset?.dataset;
  list.replaceChildren(
    ...datasets.map((one) => {
      const item = make("li");
      const link = make("a");
      link.href = address(one.id);
      link.dataset.dataset = one.id;
      if (one.id === chosen()) link.setAttribute("aria-current", "true");
      link.append(make("strong", "", one.name), state(one), make("span", "quiet", one.summary ? counted(one.summary.items, "face") : ""), make("span", "quiet", moment(one.created_at)));
      link.addEventListener("click", (event) => {
        if (event.ctrlKey || event.metaKey || event.shiftKey) return;
        event.preventDefault();
        go(one.id);
      });
      item.append(link);
      return item;
    }),
  );
  if (focused) list.querySelector(`[data-dataset="${focused}"]`)?.focus();
}

/** The pages that are shown, all of them read anew: somebody else may have deleted one on any. */
async function opened() {
  const found = [];
  let cursor = null;
  let read = 0;
  do {
    const page = await ask("GET", `/api/v1/datasets?limit=50${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`);
    found.push(...page.items);
    cursor = page.next_cursor;
    read += 1;
  } while (cursor && read < pages);
  return [found, cursor !== null];
}

/** Bring the page up to date; then again, soon where something is at work. */
async function refresh() {
  clearTimeout(timer);
  const mine = ++turn;
  let busy = false;
  try {
    const [found, isMore] = await opened();
    const formats = detail ? null : await ask("GET", "/api/v1/export-formats");
    if (mine !== turn) return;
    detail ??= new DatasetDetail(element, formats.items, act, (id) => (id === null ? go(null) : refresh()));
    datasets = found;
    more.hidden = !isMore;
    const id = chosen();
    busy = datasets.some(isAtWork);
    if (id !== null) {
      const [dataset, exports] = await Promise.all([ask("GET", `/api/v1/datasets/${encodeURIComponent(id)}`), ask("GET", `/api/v1/datasets/${encodeURIComponent(id)}/exports`)]);
      if (mine !== turn) return;
      if (id === chosen()) {
        const before = element.dataset.state;
        if (element.dataset.id === id && before !== dataset.state) say(announce, `${dataset.name}: ${dataset.state}.`);
        Object.assign(element.dataset, { id, state: dataset.state });
        detail.show(dataset, exports.items);
        element.hidden = false;
        busy ||= isAtWork(dataset) || exports.items.some(isAtWork);
      }
    } else element.hidden = true;
    drawList();
    troubles.tell("list", null);
  } catch (problem) {
    if (mine !== turn) return;
    element.hidden = true;
    troubles.tell("list", problem.message);
  }
  timer = setTimeout(refresh, document.hidden ? AT_REST_MS : busy ? AT_WORK_MS : AT_REST_MS);
}

more.addEventListener("click", () => {
  pages += 1;
  refresh();
});
window.addEventListener("popstate", refresh);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) refresh();
});

if (form) new DatasetForm(form, (dataset) => go(dataset.id), (text) => troubles.tell("new", text)).count();
refresh();
