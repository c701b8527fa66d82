// What every page says when the login has ended while it was open: with the way back, and what becomes of what was typed.

import { hasDrafts } from "./drafts.js";
import { make } from "./dom.js";

/** Say that the login has ended, until something is answered again. */
export function loggedOut() {
  if (document.getElementById("logged-out")) return;
  const note = make("p", "note logged-out");
  note.id = "logged-out";
  note.setAttribute("role", "alert");
  const link = make("a", "", "Log in again");
  link.href = `/login?next=${encodeURIComponent(location.pathname + location.search)}`;
  note.append("You are logged out. ", link, " and you come back to this page.");
  if (hasDrafts()) note.append(" What you typed and is not saved yet is kept in this browser until then.");
  document.getElementById("main").prepend(note);
}
