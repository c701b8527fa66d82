// Asking the REST interface. What it refuses is thrown as a Problem, whose text says what to do. That the login has ended
// is said at the head of the page as well, with the way back.

import { label } from "./words.js";

const LOGIN_NEEDED = "urn:emotion-edge:problem:login-needed";

/** Text that begins and ends as a sentence does. */
export const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?…]$/.test(text) ? "" : ".");

/** A parameter's own name: "device" of "filter.device", "devices" of "devices.0". */
export const ownName = (parameter) => parameter.split(".").filter((part) => !/^\d+$/.test(part)).at(-1) ?? parameter;

/** What does not fit, each with what it is about. */
export const misfits = (errors) => errors.map(({ parameter, reason }) => sentence(["body", "query"].includes(parameter) ? reason : `${label(ownName(parameter))}: ${reason}`)).join(" ");

export class Problem extends Error {
  constructor(status, document, retryAfterS = 0) {
    const { title, detail, next_step, errors } = document;
    // Of what does not fit the rest is for programs.
    super(errors ? misfits(errors) : [title && `${title}:`, detail && sentence(detail), next_step && sentence(next_step)].filter(Boolean).join(" "));
    this.status = status;
    this.errors = errors ?? [];
    this.document = document;
    this.retryAfterS = retryAfterS;
  }
}

const UNREACHED = "The web service is not reached";
// The web service gives a query 20 seconds. What has not come after a minute does not come any more: the network was lost
// in a way that nobody tells the browser of.
const ANSWERED_WITHIN_MS = 60_000;

/** fetch that waits so long for the whole answer, and no longer. */
export function fetchWithin(milliseconds, path, options) {
  const limit = new AbortController();
  options?.signal?.addEventListener("abort", () => limit.abort());
  setTimeout(() => limit.abort(), milliseconds); // also while the answer is read; afterwards it does nothing
  return fetch(path, { ...options, signal: limit.signal });
}

const told = (answer) => answer.json().catch(() => ({ title: `Answer ${answer.status}`, detail: "It cannot be read.", next_step: "Try again." }));

/** What an answer that is not ok says; its Retry-After is 0 where it names no number of seconds. */
export async function problemOf(answer) {
  return new Problem(answer.status, await told(answer), Number(answer.headers.get("Retry-After")) || 0);
}

/** What hinders something that is tried again by itself: then nobody has to look whether it was done. */
export const hindrance = (problem) => (problem.status ? problem.message : `${UNREACHED}.`);

/** The JSON that answers, {} where it has none; any method but GET makes a change, with a body and maybe more options of
 * fetch. Throws a Problem, also where the service is not reached. */
export async function ask(method, path, body, more) {
  const options = { ...more, method };
  if (method !== "GET") {
    options.headers = { ...more?.headers, "Content-Type": "application/json" };
    options.body = JSON.stringify(body ?? {});
  }
  let answer, taken;
  try {
    answer = await fetchWithin(ANSWERED_WITHIN_MS, path, options);
    if (answer.ok) taken = answer.status === 204 ? {} : await answer.json();
  } catch {
    if (method === "GET") throw new Problem(0, { title: UNREACHED, next_step: "Check the network, then try again." });
    // A change may have arrived, and only its answer be lost.
    throw new Problem(0, { title: UNREACHED, detail: "It is not known whether it was done.", next_step: "Check the network, then load this page again to see." });
  }
  if (answer.ok) {
    document.getElementById("logged-out")?.remove(); // somebody logged in beside this page
    return taken;
  }
  const problem = await problemOf(answer);
  if (problem.status === 401 && problem.document.type === LOGIN_NEEDED) {
    // Fetched when it is needed: the page that logs in has to be there at once.
    (await import("./logged-out.js")).loggedOut();
    // What the service says of tokens is for programs.
    throw new Problem(401, { detail: "You are logged out.", next_step: "Log in again to go on." });
  }
  throw problem;
}
