// The devices of a study session: a choice of them, and what keeps one from recording as a session expects.

import { ask } from "./api.js";
import { make } from "./dom.js";

/** In words why a device records nothing now, or less; "" where nothing is known to be in the way. */
export function inTheWay({ statuses }) {
  const states = Object.values(statuses).map((status) => status.state);
  if (!states.length || states.includes("offline")) return "not reached now; what it records is sent when it is back";
  const by = statuses.capture?.values.paused_by;
  if (by) return `paused by ${by}; it records nothing until it is resumed`;
  return statuses.classifier?.values.recording === false ? "keeps no pictures now; switch that on at the page Devices" : "";
}

/** Fill a group with a box for each device, ticked where `isChosen` says so. Also one that is chosen and not known. */
export async function fillDeviceBoxes(group, isChosen, chosen = []) {
  const legend = group.querySelector("legend");
  try {
    const { items } = await ask("GET", "/api/v1/devices");
    const known = new Set(items.map(({ device }) => device));
    const all = [...items, ...chosen.filter((device) => !known.has(device)).map((device) => ({ device, statuses: {} }))];
    if (!all.length) {
      group.replaceChildren(legend, make("p", "quiet", "No device is known yet. A device appears when it sends its first reading; then load this page again."));
      return;
    }
    group.replaceChildren(
      legend,
      ...all.map((entry) => {
        const label = make("label", "choice");
        const input = make("input");
        Object.assign(input, { type: "checkbox", name: "devices", value: entry.device, checked: isChosen(entry.device, all.length) });
        const remark = inTheWay(entry);
        label.append(input, make("span", "", remark ? `${entry.device} (${remark})` : entry.device));
        return label;
      }),
    );
  } catch (error) {
    group.replaceChildren(legend, make("p", "quiet", error.message));
  }
}
