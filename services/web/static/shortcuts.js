// Single keys that act on a page. Who speaks to the computer, or presses keys by chance, switches them off for all pages,
// under Appearance.

/** The character of a key press that is meant as a shortcut, small; null where shortcuts are off, another key is held
 * beside it, it repeats, or it is typed into something. */
export function shortcut(event) {
  if (window.look.keys === "off" || event.key.length !== 1 || event.repeat) return null;
  if (event.ctrlKey || event.metaKey || event.altKey) return null;
  return event.target.closest("input:not([type=range]), textarea, select, dialog[open]") ? null : event.key.toLowerCase();
}
