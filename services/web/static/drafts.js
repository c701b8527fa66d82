// What somebody typed and that is not saved yet. This tab of the browser keeps it until it is, or until they log out: by
// who they are, the page and the field. When the page is opened again it is offered, and never put back unasked.

import { make } from "./dom.js";

const ALL = "emotion-edge draft ";
const HERE = `${ALL}${document.body.dataset.who} ${location.pathname} `;

/** A browser may keep nothing for pages; then there is nothing to offer. */
function storage(work) {
  try {
    return work(sessionStorage);
  } catch {
    return null;
  }
}

const keys = (start) => storage((kept) => Object.keys(kept).filter((key) => key.startsWith(start))) ?? [];

/** Whether anything that was typed on this page is kept. */
export const hasDrafts = () => keys(HERE).length > 0;

/** For somebody who leaves: the next person at this browser is told nothing. */
export const forgetDrafts = () => keys(ALL).forEach((key) => sessionStorage.removeItem(key));

/** Whether what was typed before stands there now. A field that has come since says nothing against it. */
const stands = (before, now) => (typeof before === "string" ? before === now : Object.entries(before).every(([field, value]) => now[field] === value));

export class Draft {
  #key;
  #before; // what was left here when this began, until it is put back, thrown away or found to stand here
  #offer = null;
  #typed = false; // since then, and not saved yet

  /** `read` gives what is typed in `field` as JSON has it, `write` puts it back; the offer stands before `place`. */
  constructor(field, place, read, write) {
    this.#key = HERE + field;
    this.#before = storage((kept) => kept.getItem(this.#key));
    this.place = place;
    this.read = read;
    this.write = write;
  }

  /** It was typed and is not saved yet. */
  keep() {
    this.#typed = true;
    storage((kept) => kept.setItem(this.#key, JSON.stringify(this.read())));
  }

  /** The server has what was typed; what is offered is still kept. */
  saved() {
    this.#typed = false;
    storage((kept) => (this.#before === null ? kept.removeItem(this.#key) : kept.setItem(this.#key, this.#before)));
  }

  /** What it was typed for is gone. */
  forget() {
    this.#offer?.remove();
    this.#offer = null;
    this.#before = null;
    this.saved();
  }

  /** The server has this; where just that was left here, it was saved after all. */
  stored(value) {
    if (this.#before !== JSON.stringify(value)) return;
    this.#before = null;
    if (!this.#typed) this.saved();
  }

  /** Offer what was left here, where it is not what stands here. That one stands here is no proof that it is saved. */
  offer() {
    if (this.#before === null || this.#offer) return;
    const before = JSON.parse(this.#before);
    if (stands(before, this.read())) {
      this.#before = null;
      return;
    }
    this.#offer = make("div", "note draft");
    this.#offer.setAttribute("role", "status");
    this.#offer.append(make("p", "", "You typed something here that was not saved."));
    if (typeof before === "string") this.#offer.append(make("blockquote", "prose", before));
    const choices = make("p");
    choices.append(
      this.#button("Put it back", () => this.write(before)),
      " ",
      this.#button("Throw it away", () => (this.#typed ? this.keep() : this.saved())),
    );
    this.#offer.append(choices);
    this.place.before(this.#offer);
  }

  #button(text, act) {
    const button = make("button", "", text);
    button.type = "button";
    button.addEventListener("click", () => {
      this.#offer.remove();
      this.#offer = null;
      this.#before = null;
      act();
    });
    return button;
  }
}

/** The draft of one field: it is kept while it is typed. To put it back is as if it were typed again. */
export function fieldDraft(name, field, place = field) {
  const draft = new Draft(
    name,
    place,
    () => field.value,
    (text) => {
      field.value = text;
      for (const kind of ["input", "change"]) field.dispatchEvent(new Event(kind, { bubbles: true }));
      field.focus();
    },
  );
  field.addEventListener("input", () => draft.keep());
  return draft;
}

/** The draft of all named fields of a form. */
export function formDraft(name, form) {
  const fields = () => [...form.elements].filter((field) => field.name);
  const value = (field) => (field.type === "checkbox" ? field.checked : field.value);
  const which = (field) => (field.type === "checkbox" ? `${field.name}=${field.value}` : field.name);
  const draft = new Draft(
    name,
    form,
    () => Object.fromEntries(fields().map((field) => [which(field), value(field)])),
    (before) => {
      for (const field of fields()) {
        if (!(which(field) in before)) continue;
        if (field.type === "checkbox") field.checked = before[which(field)];
        else field.value = before[which(field)];
      }
      form.dispatchEvent(new Event("input"));
      form.querySelector("input").focus();
    },
  );
  form.addEventListener("input", () => draft.keep());
  return draft;
}
