// One's own password, and the end of one's logins.

import { ask } from "./api.js";
import { complain, onPress, onSubmit } from "./forms.js";

const form = document.getElementById("password");
if (form) {
  const done = form.querySelector(".done");
  onSubmit(form, async ({ old, new: fresh, again }) => {
    complain(done, "");
    if (fresh !== again) throw new Error("The two new passwords differ. Type the new one twice.");
    await ask("POST", "/api/v1/password", { old, new: fresh });
    form.reset();
    if (form.dataset.next) location.assign(form.dataset.next);
    else complain(done, "Your password is changed. All your other browsers are logged out.");
  });
}

const everywhere = document.getElementById("everywhere");
if (everywhere) onPress(everywhere, async () => {
  try {
    await ask("POST", "/api/v1/logout", { everywhere: true });
    location.assign("/login");
  } catch (error) {
    complain(document.getElementById("everywhere-problem"), error.message);
  }
});
