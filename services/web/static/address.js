// The address of a page in which stands what is asked for: links, the back button and reloads keep it.

import { link } from "./history-filter.js";

/** Have `show(asked)` called whenever the address asks for something else; gives what goes to another address.
 * A link within the page is told as the back button is; it asks for nothing else. */
export function addressed(show) {
  let search = location.search;
  const changed = () => {
    search = location.search;
    return show(new URLSearchParams(search));
  };
  addEventListener("popstate", () => {
    if (location.search !== search) changed();
  });
  return (asked) => {
    history.pushState(null, "", link(location.pathname, asked));
    return changed();
  };
}
