// Logs in, and goes on to the page that was asked for.

import { ask } from "./api.js";
import { onSubmit } from "./forms.js";

const form = document.getElementById("login");

onSubmit(form, async ({ name, password }) => {
  try {
    await ask("POST", "/api/v1/login", { name, password });
  } catch (error) {
    form.elements.password.value = "";
    form.elements.password.focus();
    throw error;
  }
  location.assign(form.dataset.next);
});
