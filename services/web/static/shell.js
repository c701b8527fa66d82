// What is around every page: the menu on narrow screens, what opens in it, and the choice of theme, text size and
// shortcuts.

const menu = document.getElementById("menu");
const opener = document.getElementById("menu-open");
const more = document.getElementById("menu-more"); // null where the menu is short
const popups = [...document.querySelectorAll("details.popup")];

opener.addEventListener("click", () => {
  const open = opener.getAttribute("aria-expanded") !== "true";
  opener.setAttribute("aria-expanded", String(open));
  menu.toggleAttribute("data-open", open);
  if (more) more.open = open; // there is room for all of it, so nothing has to be opened twice
});
opener.disabled = false;

const zone = document.getElementById("zone"); // null where a page shows no times
if (zone) zone.textContent = Intl.DateTimeFormat().resolvedOptions().timeZone.replaceAll("_", " ");

const appearance = document.getElementById("appearance");
for (const input of appearance.querySelectorAll("input[type=radio]")) {
  input.checked = window.look[input.name] === input.value;
  input.addEventListener("change", () => window.look.set(input.name, input.value));
}

const keys = document.getElementById("shortcuts");
const showKeys = () => (keys.checked = window.look.keys === "on");
keys.addEventListener("change", () => window.look.set("keys", keys.checked ? "on" : "off"));
addEventListener("storage", showKeys); // another tab has switched it
showKeys();

/** Those that hang over the page; in an open menu, More is a part of it. */
const hanging = () => popups.filter((each) => each.open && !(each === more && menu.hasAttribute("data-open")));

/** Escape closes what is open, and the focus goes back to what opened it. */
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  const [open] = hanging();
  if (open) {
    open.open = false;
    open.querySelector("summary").focus();
  } else if (menu.hasAttribute("data-open")) {
    opener.click();
    opener.focus();
  } else return;
  event.preventDefault(); // it means nothing else to the page then
});
document.addEventListener("click", (event) => {
  for (const each of hanging()) if (!each.contains(event.target)) each.open = false;
});
document.addEventListener("focusin", (event) => {
  for (const each of hanging()) if (!each.contains(event.target)) each.open = false;
});
