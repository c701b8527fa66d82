// The choice of one study session in a form: searched for by what is typed, shown by name, its value is its id.
//
//   <session-choice name="session" label="Session" empty="Any, or none"></session-choice>
//
// To a form it is a field as any other: `form.elements`, `value`, FormData, reset, disabled, and an `input` and a `change`
// event of its own. What is typed is an ARIA combobox with a list. Other attributes: `required`; `field-id`, the id of
// what is typed in.

import { ask } from "./api.js";
import { make, say } from "./dom.js";
import { dateAndTime } from "./words.js";

const MOST = 50; // shown at once
const WAIT_MS = 150; // after a key, before the server is asked

/** A session as people know it. */
export const sessionName = ({ participant, condition, started_at: startedAt }) =>
  `${participant}${condition ? `, ${condition}` : ""}, begun ${dateAndTime(startedAt)}`;

const names = new Map(); // by id, of those that were met

/** The name of a session. One that cannot be read keeps its id: what is asked with it says what is wrong. */
export async function nameOf(id) {
  if (!names.has(id)) {
    try {
      names.set(id, sessionName(await ask("GET", `/api/v1/sessions/${encodeURIComponent(id)}`)));
    } catch {
      return id;
    }
  }
  return names.get(id);
}

let made = 0;

class SessionChoice extends HTMLElement {
  static formAssociated = true;

  #internals = this.attachInternals();
  #value = "";
  #name = ""; // of what is chosen, as it is shown
  #options = []; // [id, name]; the first is none of them
  #active = -1;
  #pointedAt = null; // the id that keys point at, since something was typed
  #asked = 0;
  #timer = 0;

  connectedCallback() {
    if (this.typed) return;
    made += 1;
    const id = this.getAttribute("field-id") ?? `session-choice-${made}`;
    const label = make("label", "", this.getAttribute("label"));
    label.htmlFor = id;
    this.typed = make("input");
    Object.assign(this.typed, { id, type: "text", autocomplete: "off", spellcheck: false, maxLength: 200, required: this.hasAttribute("required"), placeholder: this.getAttribute("empty") });
    this.list = make("ul");
    Object.assign(this.list, { id: `${id}-list`, hidden: true });
    this.told = make("p", "told quiet");
    for (const [element, attributes] of [
      [this.typed, { role: "combobox", "aria-autocomplete": "list", "aria-expanded": "false", "aria-controls": this.list.id, autocapitalize: "none" }],
      [this.list, { role: "listbox", "aria-label": "Those that fit" }],
      [this.told, { role: "status" }],
    ])
      for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    this.box = make("div", "box");
    const popup = make("div", "popup-list");
    popup.append(this.list, this.told);
    this.box.append(this.typed, popup);
    this.append(label, this.box);

    // To the form this is one field; what happens within it is its own.
    for (const kind of ["input", "change"]) this.typed.addEventListener(kind, (event) => event.stopPropagation());
    this.typed.addEventListener("input", () => {
      clearTimeout(this.#timer);
      this.#pointedAt = null;
      this.#timer = setTimeout(() => this.#search(this.typed.value), WAIT_MS);
    });
    this.typed.addEventListener("click", () => this.#open());
    this.typed.addEventListener("keydown", (event) => this.#key(event));
    this.typed.addEventListener("blur", () => this.#leave());
    popup.addEventListener("mousedown", (event) => event.preventDefault()); // what is typed in keeps the focus
    this.list.addEventListener("click", (event) => {
      const place = [...this.list.children].indexOf(event.target.closest("[role=option]"));
      if (place >= 0) this.#choose(place);
    });
  }

  get name() {
    return this.getAttribute("name");
  }

  get value() {
    return this.#value;
  }

  /** An id, or "" for none; its name is asked for where it is not known yet. */
  set value(id) {
    this.#set(id, names.get(id) ?? id);
    if (id && !names.has(id))
      nameOf(id).then((name) => {
        if (this.#value === id) this.#set(id, name);
      });
  }

  formResetCallback() {
    this.value = "";
  }

  formDisabledCallback(disabled) {
    if (this.typed) this.typed.disabled = disabled;
  }

  focus() {
    this.typed.focus();
  }

  #set(id, name) {
    this.#value = id;
    this.#name = name;
    this.#internals.setFormValue(id);
    this.#close();
  }

  get #isOpen() {
    return this.typed.getAttribute("aria-expanded") === "true";
  }

  /** Show what is chosen, and no list. */
  #close() {
    clearTimeout(this.#timer);
    this.#asked += 1;
    this.list.hidden = true;
    this.typed.setAttribute("aria-expanded", "false");
    this.#pointedAt = null;
    this.#point(-1);
    say(this.told, "");
    this.typed.value = this.#name;
  }

  #open() {
    if (this.#isOpen) return;
    this.typed.select();
    say(this.told, "Looking for sessions");
    this.#search("");
  }

  /** Offer the newest sessions that fit the words; an answer to older words is let go. */
  async #search(words) {
    const mine = ++this.#asked;
    let page;
    try {
      page = await ask("GET", `/api/v1/sessions?${new URLSearchParams({ limit: MOST, ...(words.trim() && { search: words }) })}`);
    } catch (error) {
      if (mine === this.#asked) this.#offer([], error.message);
      return;
    }
    if (mine !== this.#asked) return;
    for (const session of page.items) names.set(session.id, sessionName(session));
    const found = page.items.map(({ id }) => [id, names.get(id)]);
    const count = `${found.length} ${found.length === 1 ? "session" : "sessions"}`;
    let told = page.next_cursor ? `The newest ${count} of those that fit. Type more to find others.` : `${count}.`;
    if (!found.length) told = words.trim() ? "No session fits. Type a participant’s code, a condition or a device." : "No sessions yet.";
    this.#offer(found, told);
    this.#point(this.#placeToPointAt(words, found));
  }

  /** Where keys have pointed, though the answer to the last words comes later; else the first that fits the words, and what
   * is chosen where nothing was typed. Who has emptied the field chooses none. */
  #placeToPointAt(words, found) {
    const place = (wanted) => this.#options.findIndex(([id]) => id === wanted);
    if (this.#pointedAt !== null && place(this.#pointedAt) >= 0) return place(this.#pointedAt);
    if (words.trim() && found.length) return this.#options.length - found.length;
    return this.#value && this.typed.value === this.#name ? place(this.#value) : -1;
  }

  #offer(found, told) {
    const none = this.typed.required ? [] : [["", this.getAttribute("empty")]];
    this.#options = [...none, ...found];
    this.list.replaceChildren(
      ...this.#options.map(([id, name], place) => {
        const option = make("li", "", name);
        option.id = `${this.list.id}-${place}`;
        option.setAttribute("role", "option");
        option.setAttribute("aria-selected", String(id === this.#value));
        return option;
      }),
    );
    this.list.hidden = this.#options.length === 0;
    this.typed.setAttribute("aria-expanded", String(!this.list.hidden));
    this.#point(-1);
    say(this.told, told);
  }

  /** Point at an option; -1 at none. */
  #point(place) {
    this.list.children[this.#active]?.classList.remove("active");
    this.#active = place;
    const option = this.list.children[place];
    if (!option) {
      this.typed.removeAttribute("aria-activedescendant");
      return;
    }
    option.classList.add("active");
    option.scrollIntoView({ block: "nearest" });
    this.typed.setAttribute("aria-activedescendant", option.id);
  }

  #choose(place) {
    const [id, name] = this.#options[place];
    const other = id !== this.#value;
    this.#set(id, id ? name : "");
    if (!other) return;
    for (const kind of ["input", "change"]) this.dispatchEvent(new Event(kind, { bubbles: true }));
  }

  /** What was emptied is none of them; what was typed and not chosen is let go. */
  #leave() {
    if (!this.typed.value.trim() && this.#value && !this.typed.required) {
      this.#options = [["", ""]];
      this.#choose(0);
    } else this.#close();
  }

  #key(event) {
    const { key } = event;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (key === "ArrowDown" || key === "ArrowUp") {
      event.preventDefault();
      const count = this.#options.length;
      if (!this.#isOpen) this.#open();
      else if (count) {
        this.#point((this.#active + (key === "ArrowDown" ? 1 : this.#active < 0 ? 0 : -1) + count) % count);
        [this.#pointedAt] = this.#options[this.#active];
      }
    } else if (key === "Enter" && (this.#isOpen || this.typed.value !== this.#name)) {
      event.preventDefault(); // it chooses; the form is sent by the next one
      if (this.#active >= 0) this.#choose(this.#active);
    } else if (key === "Tab" && this.#active >= 0) this.#choose(this.#active);
    else if (key === "Escape" && (this.#isOpen || this.told.textContent)) {
      event.preventDefault();
      this.#close();
    }
  }
}

customElements.define("session-choice", SessionChoice);
