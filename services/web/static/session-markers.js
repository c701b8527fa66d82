// The markers of a study session: what was noticed at which moment. A text is saved when it was changed.

import { ask, hindrance } from "./api.js";
import { make, say } from "./dom.js";
import { fieldDraft } from "./drafts.js";
import { Saving } from "./saving.js";

const part = (id) => document.getElementById(id);

export class Markers {
  /** As the server has them. */
  items = [];
  #rows = new Map(); // by the marker's id
  #turn = 0; // of two answers the older one is let go

  /**
   * @param path of the session's markers
   * @param mayChange whether texts may be changed and markers deleted
   * @param troubles where it is told what is refused
   * @param on called as on.chosen(moment), and on.shown() when there are others; on.clock(moment) gives a moment in words
   */
  constructor(path, mayChange, troubles, on) {
    this.path = path;
    this.mayChange = mayChange;
    this.troubles = troubles;
    this.on = on;
    this.offers = part("marker-offers").appendChild(make("div")); // a list has no room for them
    addEventListener("beforeprint", () => this.#rows.forEach(({ text, paper }) => say(paper, text.value)));
    addEventListener("pagehide", () => this.#rows.forEach(({ saving }) => saving.leave()));
  }

  async load() {
    const mine = ++this.#turn;
    try {
      const { items } = await ask("GET", this.path);
      if (mine !== this.#turn) return;
      this.items = items;
      this.troubles.tell("markers", null);
    } catch (error) {
      if (mine === this.#turn) this.troubles.tell("markers", error.message);
      return;
    }
    this.#show();
  }

  #show() {
    const there = new Set(this.items.map(({ id }) => id));
    for (const [id, row] of this.#rows) if (!there.has(id)) this.#gone(id, row);
    const added = this.items.filter(({ id }) => !this.#rows.has(id));
    for (const marker of added) this.#rows.set(marker.id, this.#row(marker));
    for (const marker of this.items) this.#update(marker);
    part("no-markers").hidden = there.size > 0;
    part("markers").replaceChildren(...this.items.map(({ id }) => this.#rows.get(id).item));
    if (this.mayChange) for (const { id } of added) this.#rows.get(id).draft.offer();
    this.on.shown();
  }

  /** Somebody else may have changed it; what is typed here and not saved yet stays. */
  #update({ id, text: now }) {
    const { text, saving } = this.#rows.get(id);
    if (!saving.done || text === document.activeElement) return;
    text.value = now;
    saving.has(now);
  }

  #gone(id, { saving, draft }) {
    saving.stop();
    draft.forget();
    this.troubles.tell(id, null);
    this.#rows.delete(id);
  }

  #row({ id, at, text: before }) {
    const time = this.on.clock(at);
    const item = make("li");
    const jump = this.#button(time, `Go to ${time}`, () => this.on.chosen(Date.parse(at)));
    const text = make("input");
    text.value = before;
    text.maxLength = 500;
    text.required = true;
    text.readOnly = !this.mayChange;
    text.setAttribute("aria-label", `What was noticed at ${time}`);
    const draft = fieldDraft(`marker ${id}`, text, this.offers);
    draft.stored(before);
    const send = (value, more) => ask("PATCH", `${this.path}/${id}`, { text: value }, more);
    const saving = new Saving(() => text.value, send, {
      saving: () => {},
      saved: (whole) => {
        if (whole) draft.saved();
        this.troubles.tell(id, null);
      },
      failed: (problem, again) => this.troubles.tell(id, `What was noticed at ${time} is not saved. ${hindrance(problem)}${again ? " It is tried again in some seconds." : ""}`),
    });
    saving.has(before);
    text.addEventListener("change", () => saving.now());
    const paper = make("span", "only-print"); // where a field would cut it off
    item.append(jump, text, paper);
    if (this.mayChange) item.append(this.#button("Delete", `Delete the marker at ${time}`, () => this.#remove(id)));
    return { item, text, paper, saving, draft };
  }

  #button(text, name, press) {
    const button = make("button", "", text);
    button.type = "button";
    button.setAttribute("aria-label", name);
    button.addEventListener("click", press);
    return button;
  }

  async #remove(id) {
    try {
      await ask("DELETE", `${this.path}/${id}`);
      this.troubles.tell("delete marker", null);
    } catch (error) {
      this.troubles.tell("delete marker", error.message);
    }
    await this.load();
    part("mark-text").focus();
  }
}
