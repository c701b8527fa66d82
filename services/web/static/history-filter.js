// What is asked for, as it stands in the address: links, the back button and reloads keep it.

import { ask } from "./api.js";

const TO_THE_SERVER = ["device", "session", "emotion", "min_confidence", "ok", "labelled", "model", "has_frame"];
const HOURS = { "1h": 1, "24h": 24, "7d": 168, "30d": 720 };
const WEEK = "7d";

/** The view that an address asks for. */
export const viewOf = (asked) => (asked.get("view") === "detections" ? "detections" : "episodes");

/** The filters of an address as REST takes them. Relative times are counted back from `now`; `usual` is the time of an
 * address that says nothing of it. */
export function forServer(asked, now, usual = WEEK) {
  const last = asked.get("last") ?? usual;
  const query = new URLSearchParams();
  for (const name of TO_THE_SERVER) if (asked.get(name)) query.set(name, asked.get(name));
  // Among episodes it says which of them a detection's page was reached by.
  if (viewOf(asked) === "detections" && asked.get("episode")) query.set("episode", asked.get("episode"));
  if (last === "own") {
    for (const name of ["from", "to"]) if (asked.get(name)) query.set(name, asked.get(name));
  } else if (last !== "all") {
    query.set("from", new Date(now - (HOURS[last] ?? HOURS[WEEK]) * 3600e3).toISOString());
  }
  return query;
}

/** An address of these pages with what was asked for. */
export function link(path, asked) {
  const text = asked.toString();
  return text ? `${path}?${text}` : path;
}

/** Ask the server for what an address's filter means; throws a Problem. */
export const read = (path, query = new URLSearchParams()) => ask("GET", link(path, query));
