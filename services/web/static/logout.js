// The button in the head of every page.

import { ask } from "./api.js";
import { say } from "./dom.js";
import { forgetDrafts } from "./drafts.js";

document.getElementById("log-out").addEventListener("click", async () => {
  try {
    await ask("POST", "/api/v1/logout");
  } catch (error) {
    if (error.status !== 401) {
      say(document.getElementById("announce"), error.message);
      return;
    }
  }
  forgetDrafts();
  location.assign("/login");
});
