// The notes of a study session, saved as they are written. Where others were saved meanwhile both stay in sight, until
// somebody has chosen what is to stay.

import { hindrance } from "./api.js";
import { say } from "./dom.js";
import { fieldDraft } from "./drafts.js";
import { Saving } from "./saving.js";

const SAVE_AFTER_MS = 1000;
const part = (id) => document.getElementById(id);

export class SessionNotes {
  #field = part("notes");
  #draft = fieldDraft("notes", part("notes"));
  #saving;
  #others = null; // the session with the notes that somebody else saved

  /** @param changes the SessionChanges by which they are saved */
  constructor(changes) {
    this.changes = changes;
    this.#saving = new Saving(() => this.#field.value, (notes, more) => changes.change({ notes }, more), {
      saving: () => this.#others || this.#tell("Saving"),
      saved: (whole) => {
        if (whole) this.#draft.saved();
        this.#tell(whole ? "Saved" : "Not saved yet");
      },
      failed: (problem, again) => {
        if (problem.now) this.#differ(problem.now);
        else this.#tell(`Not saved. ${hindrance(problem)}${again ? " It is tried again in some seconds." : ""}`);
      },
    });
    this.#field.addEventListener("input", () => {
      if (!this.#others) this.#tell("Not saved yet");
      this.#saving.soon(SAVE_AFTER_MS);
    });
    this.#field.addEventListener("blur", () => this.#saving.now());
    addEventListener("beforeprint", () => say(part("notes-paper"), this.#field.value || "None.")); // a field would cut them off
    addEventListener("pagehide", () => this.#saving.leave());
    const choices = { both: (mine, theirs) => `${theirs}\n\n${mine}`, mine: (mine) => mine, theirs: (_, theirs) => theirs };
    for (const [id, choice] of Object.entries(choices)) part(`keep-${id}`).addEventListener("click", () => this.#keep(choice));
  }

  /** Show them as the server has them. */
  show(notes, mayChange) {
    this.#field.value = notes;
    this.#saving.has(notes);
    this.#field.readOnly = !mayChange;
    this.#draft.stored(notes);
    if (mayChange) this.#draft.offer();
  }

  #tell(text) {
    say(part("notes-state"), text);
  }

  #differ(now) {
    this.#others = now;
    say(part("notes-theirs"), now.notes || "(empty)");
    part("notes-differ").hidden = false;
    this.#tell("Not saved: other notes were saved meanwhile. Both stand here; choose what is to stay.");
  }

  #keep(choice) {
    const now = this.#others;
    const text = choice(this.#field.value, now.notes);
    const over = text.length - this.#field.maxLength;
    if (over > 0) {
      this.#tell(`Not saved: together they are ${over.toLocaleString()} characters too long. Shorten yours, then choose again.`);
      this.#field.focus();
      return;
    }
    this.#others = null;
    part("notes-differ").hidden = true;
    this.changes.shows(now, ["notes"]);
    this.#field.value = text;
    this.#saving.has(now.notes);
    if (text === now.notes) this.#tell("Saved"); // what is given up stays a draft, to be offered once more
    else {
      this.#draft.keep();
      this.#saving.now();
    }
    this.#field.focus();
  }
}
