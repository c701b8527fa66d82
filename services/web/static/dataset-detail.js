// One dataset: what is in it, and its exports.

import { ask } from "./api.js";
import { chip, make } from "./dom.js";
import { onPress } from "./forms.js";
import { inWords, number, shown } from "./summary.js";
import { counted } from "./words.js";

const WHEN = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const STATES = {
  building: ["wait", "unsure", "Being built"],
  waiting: ["wait", "unsure", "Waiting"],
  running: ["wait", "unsure", "Being written"],
  ready: ["good", "good", "Ready"],
  failed: ["bad", "attention", "Failed"],
  erased: ["warn", "off", "Erased"],
};

export const moment = (time) => WHEN.format(new Date(time));
export const isAtWork = (one) => ["building", "waiting", "running"].includes(one.state);

export function state(one) {
  const element = make("span", "chip");
  chip(element, ...STATES[one.state]);
  return element;
}

function size(bytes) {
  const units = ["B", "kB", "MB", "GB"];
  const power = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3));
  return `${(bytes / 1000 ** power).toLocaleString(undefined, { maximumFractionDigits: power ? 1 : 0 })} ${units[power]}`;
}

function progress(of, done, total) {
  const bar = make("progress");
  bar.max = Math.max(1, total);
  bar.value = done;
  bar.setAttribute("aria-label", of);
  const row = make("div", "row");
  row.append(bar, make("span", "quiet", `${number(done)} of ${number(total)}`));
  return row;
}

function copyable(text, what) {
  const button = make("button", "", "Copy");
  button.type = "button";
  button.setAttribute("aria-label", `Copy ${what}`);
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Select the text and copy it";
    }
  });
  return button;
}

export class DatasetDetail {
  #key = "";

  /** `act` runs what asks the service and shows its trouble; `changed` is called when something was changed. */
  constructor(element, formats, act, changed) {
    this.element = element;
    this.formats = formats;
    this.act = act;
    this.changed = changed;
    this.mayChange = element.dataset.research === "yes";
  }

  /** Show it; what is the same as before stays as it is, so that focus and selection stay. */
  show(dataset, exports) {
    const key = JSON.stringify([dataset, exports]);
    if (key === this.#key) return;
    this.#key = key;
    const focused = this.element.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    const open = new Set([...this.element.querySelectorAll("details[open]")].map((each) => each.dataset.key));
    this.element.replaceChildren(this.#head(dataset), ...this.#body(dataset), ...(dataset.state === "ready" ? this.#exports(dataset, exports) : []));
    for (const each of this.element.querySelectorAll("details")) each.open = open.has(each.dataset.key);
    if (focused) this.element.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
  }

  #button(text, key, onClick, className = "") {
    const button = make("button", className, text);
    button.type = "button";
    button.dataset.key = key;
    onPress(button, () => this.act(onClick));
    return button;
  }

  #head(dataset) {
    const head = make("div", "dataset-head");
    const title = make("h2", "", dataset.name);
    title.id = "detail-title";
    head.append(title, state(dataset));
    if (this.mayChange) {
      const stop = dataset.state === "building";
      head.append(
        this.#button(stop ? "Stop and delete" : "Delete", "delete", async () => {
          if (!window.confirm(`Delete the dataset ${dataset.name} with its exports? This cannot be undone.`)) return;
          await ask("DELETE", `/api/v1/datasets/${dataset.id}`);
          this.changed(null);
        }, "danger"),
      );
    }
    return head;
  }

  #body(dataset) {
    const parts = [make("p", "quiet", `Made ${moment(dataset.created_at)} by ${dataset.created_by}.`)];
    if (dataset.state === "building") {
      parts.push(dataset.progress ? progress(`Building ${dataset.name}`, dataset.progress.done, dataset.progress.total) : make("p", "", "It waits for its turn."));
    }
    if (dataset.error) parts.push(make("p", "note", dataset.error));
    if (dataset.summary) {
      const summary = make("div", "summary");
      summary.append(make("p", "", inWords(dataset.summary)), ...shown(dataset.summary, dataset.name));
      parts.push(summary);
    }
    if (dataset.erased_items) parts.push(make("p", "note", `${counted(dataset.erased_items, "of its faces was", "of its faces were")} erased since. The counts above are from before.`));
    if (dataset.note) parts.push(make("p", "prose", `Licence and consent: ${dataset.note}`));
    if (dataset.manifest_sha256) parts.push(make("p", "hash quiet", `Manifest sha256 ${dataset.manifest_sha256}`));
    return parts;
  }

  #exports(dataset, exports) {
    const title = make("h3", "", "Exports");
    const parts = [title];
    if (this.mayChange) parts.push(this.#newExport(dataset));
    if (!exports.length) parts.push(make("p", "quiet", "None yet. An export is one zip file; it stays here until you delete it."));
    const list = make("ul", "exports");
    for (const one of exports) list.append(this.#export(one));
    if (exports.length) parts.push(list);
    return parts;
  }

  #newExport(dataset) {
    const row = make("div", "fields");
    const choice = make("label", "", "Format ");
    const select = make("select");
    select.dataset.key = "format";
    const what = make("p", "quiet");
    for (const format of this.formats) {
      const option = make("option", "", format.title);
      option.value = format.name;
      select.append(option);
    }
    if (this.format) select.value = this.format;
    const button = this.#button("Export", "export", async () => {
      await ask("POST", `/api/v1/datasets/${dataset.id}/exports`, { format: select.value });
      this.changed(dataset.id);
    });
    const tell = () => {
      this.format = select.value;
      const format = this.formats.find((each) => each.name === select.value);
      what.textContent = format.missing ?? format.what;
      button.disabled = format.missing !== null;
    };
    select.addEventListener("change", tell);
    tell();
    choice.append(select);
    row.append(choice, button, what);
    return row;
  }

  #export(one) {
    const item = make("li");
    const format = this.formats.find((each) => each.name === one.format);
    const head = make("div", "row");
    head.append(make("strong", "", format?.title ?? one.format), state(one), make("span", "quiet", `${moment(one.created_at)}, ${one.created_by}`));
    item.append(head);
    if (isAtWork(one)) item.append(progress(`Writing ${one.file_name}`, one.progress.done, one.progress.total));
    if (one.error) item.append(make("p", "note", one.error));
    if (one.state === "erased") item.append(make("p", "note", "Faces in it were erased, so its file was removed. Export again for what is left, and delete copies that you have."));
    if (this.mayChange) {
      const row = make("div", "row");
      if (one.file) {
        const link = make("a", "button", `Download ${one.file_name} (${size(one.bytes)})`);
        link.href = one.file;
        link.download = one.file_name;
        row.append(link);
      }
      row.append(
        this.#button(isAtWork(one) ? "Stop" : "Delete this export", `delete-${one.id}`, async () => {
          await ask("DELETE", `/api/v1/exports/${one.id}`);
          this.changed(one.dataset_id);
        }),
      );
      item.append(row);
    }
    if (one.sha256) item.append(make("p", "hash quiet", `sha256 ${one.sha256}`));
    if (one.file && format) item.append(this.#snippets(one, format));
    return item;
  }

  #snippets(one, format) {
    const folder = one.file_name.replace(/\.zip$/, "");
    const details = make("details");
    details.dataset.key = `load-${one.id}`;
    details.append(make("summary", "", "How to load it"));
    details.append(make("p", "", `Unpack it first, for example: unzip ${one.file_name} -d ${folder}`));
    for (const snippet of format.snippets) {
      const part = make("div", "snippet");
      const code = snippet.code.replaceAll("FILE", folder);
      const pre = make("pre");
      pre.tabIndex = 0;
      pre.append(make("code", "", code));
      const row = make("div", "row");
      row.append(make("strong", "", snippet.library), copyable(code, `the lines for ${snippet.library}`));
      if (snippet.by_hand) row.append(make("span", "quiet", `Run by hand with ${snippet.by_hand}.`));
      part.append(row, pre);
      details.append(part);
    }
    return details;
  }
}
