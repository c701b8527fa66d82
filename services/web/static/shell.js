// What is around every page: the menu on narrow screens, and the choice of theme and text size.

const menu = document.getElementById("menu");
const opener = document.getElementById("menu-open");

opener.addEventListener("click", () => {
  const open = opener.getAttribute("aria-expanded") !== "true";
  opener.setAttribute("aria-expanded", String(open));
  menu.toggleAttribute("data-open", open);
});

const appearance = document.getElementById("appearance");
for (const input of appearance.querySelectorAll("input")) {
  input.checked = window.look[input.name] === input.value;
  input.addEventListener("change", () => window.look.set(input.name, input.value));
}

/** Escape closes what is open, and the focus goes back to what opened it. */
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  if (appearance.open) {
    appearance.open = false;
    appearance.querySelector("summary").focus();
  } else if (menu.hasAttribute("data-open")) {
    opener.click();
    opener.focus();
  }
});
document.addEventListener("click", (event) => {
  if (appearance.open && !appearance.contains(event.target)) appearance.open = false;
});
