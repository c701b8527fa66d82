// The form of a new dataset: what it would give is counted again whenever something changes.

import { ask } from "./api.js";
import { make, say } from "./dom.js";
import { formDraft } from "./drafts.js";
import { fillDevices } from "./filter-form.js";
import { onSubmit } from "./forms.js";
import "./session-choice.js";
import { inWords, number, shown } from "./summary.js";
import { adjective, counted, EMOTIONS } from "./words.js";

const WAIT_MS = 400;
const SHARES = ["min_agreement", "min_confidence", "max_confidence", "pseudo_min_confidence"];

/** What is to be known of counts that are not, or cannot be, what a build gives. */
function remarks(counts) {
  if (counts.too_many) return ["That is more than a dataset may have: choose a shorter time or one device."];
  if (counts.certainty === "counting") return [`Looking for copies: ${number(counts.compared.done)} of ${counted(counts.compared.total, "face is", "faces are")} compared.`];
  if (counts.certainty === "upper_bound") return ["So many are compared only when the dataset is built: copies are found then, and there may be other warnings."];
  return [];
}

/** What somebody types in, of a field that is made of several parts. */
const typedIn = (field) => field.typed ?? field;

export class DatasetForm {
  #timer = null;
  #asked = 0;

  /** `onBuilt` gets the new dataset; `onTrouble` gets a sentence, or "" when all is well. */
  constructor(form, onBuilt, onTrouble) {
    this.form = form;
    this.fields = form.elements;
    this.text = document.getElementById("preview-text");
    this.preview = document.getElementById("preview");
    this.onBuilt = onBuilt;
    for (const emotion of EMOTIONS) {
      const choice = make("label", "choice");
      const box = make("input");
      Object.assign(box, { type: "checkbox", name: "labels", value: emotion, checked: true });
      choice.append(box, adjective(emotion));
      document.getElementById("labels").append(choice);
    }
    this.draft = formDraft("new", form);
    fillDevices(this.fields.device).then(() => this.draft.offer());
    form.addEventListener("input", (event) => {
      if (event.target !== form) typedIn(event.target).removeAttribute("aria-invalid");
      document.getElementById("pseudo").hidden = !this.fields.pseudo_labels.checked;
      if (event.target.name === "name" || event.target.name === "note") return;
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.count(), WAIT_MS);
    });
    onSubmit(form, () => this.#build(), onTrouble);
  }

  #choice() {
    const { fields } = this;
    const filter = {
      labels: [...this.form.querySelectorAll("[name=labels]:checked")].map((box) => box.value),
      min_votes: fields.min_votes.valueAsNumber,
      quality_ok: fields.quality_ok.checked,
      pseudo_labels: fields.pseudo_labels.checked,
    };
    for (const name of SHARES) filter[name] = fields[name].valueAsNumber / 100;
    for (const name of ["device", "session"]) if (fields[name].value.trim()) filter[name] = fields[name].value.trim();
    for (const name of ["from", "to"]) if (fields[name].value) filter[name] = new Date(fields[name].value).toISOString();
    const split = { copies: fields.drop.checked ? "drop" : "keep" };
    for (const name of ["train", "validation", "test", "seed"]) split[name] = fields[name].valueAsNumber;
    return { filter, split };
  }

  /** Count what the choice gives, and show it; an answer to an older question is not shown. */
  async count() {
    const asking = ++this.#asked;
    say(this.text, "Counting.");
    const choice = this.#choice();
    try {
      let counts;
      do {
        counts = await ask("POST", "/api/v1/datasets/preview", choice);
        if (asking !== this.#asked) return;
        say(this.text, [inWords(counts), ...remarks(counts)].join(" "));
        this.preview.replaceChildren(...(counts.items || Object.keys(counts.left_out).length ? shown(counts, "this choice") : []));
      } while (counts.certainty === "counting");
    } catch (problem) {
      if (asking !== this.#asked) return;
      this.preview.replaceChildren();
      say(this.text, problem.message);
      this.#mark(problem);
    }
  }

  #mark(problem) {
    for (const error of problem.document?.errors ?? []) {
      const field = this.fields[error.parameter.split(".").at(-1)];
      if (field instanceof HTMLElement) typedIn(field).setAttribute("aria-invalid", "true");
    }
  }

  async #build() {
    const { name, note } = this.fields;
    if (!name.value.trim()) {
      name.setAttribute("aria-invalid", "true");
      name.focus();
      throw new Error("Give the dataset a name first.");
    }
    let dataset;
    try {
      dataset = await ask("POST", "/api/v1/datasets", { ...this.#choice(), name: name.value.trim(), note: note.value });
    } catch (problem) {
      this.#mark(problem);
      throw problem;
    }
    name.value = "";
    this.draft.saved();
    this.onBuilt(dataset);
  }
}
