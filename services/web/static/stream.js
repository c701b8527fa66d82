// The connection to /api/v1/live: comes back by itself and says how it is. By fetch, since EventSource does not tell why a
// stream was refused.

import { problemOf } from "./api.js";

const SILENT_MS = 12_000; // heartbeats come every 5 s; silence longer than this is a dead connection
const RETRY_MS = [500, 1000, 2000, 4000, 8000];
const KINDS = new Set(["heartbeat", "broker", "status", "recent", "live", "preview", "detection", "stored"]);

export class Stream {
  #connection = null; // what ends it; null while there is none
  #failures = 0;
  #heard = 0;
  #retry = 0;
  #asked;
  #beats = 0;
  /** The server's time until which all that it heard has come, in milliseconds; null before the first heartbeat. */
  heardUntil = null;

  /**
   * @param onEvent called with kind and data; @param onState called with "open", or with "lost" and, where the service
   * lets nobody in, the Problem that says why. @param asked the stream's query, as { wall: true, previews: false }.
   */
  constructor(onEvent, onState, asked) {
    this.onEvent = onEvent;
    this.onState = onState;
    this.#asked = asked;
    this.clockOffset = 0;
    setInterval(() => this.#watch(), 2000);
  }

  /** The server's clock, so that ages are right where the viewer's clock is wrong. */
  now() {
    return Date.now() + this.clockOffset;
  }

  /** Ask for something else; what is undefined is not asked for. */
  ask(changes) {
    const asked = { ...this.#asked, ...changes };
    if (JSON.stringify(asked) === JSON.stringify(this.#asked)) return;
    this.#asked = asked;
    if (this.#connection) this.open();
  }

  /** Let the connection rest, as on a page that nobody looks at: browsers allow only a few at a time. */
  rest() {
    clearTimeout(this.#retry);
    this.#connection?.abort();
    this.#connection = null;
  }

  /** Connect again after `rest`. */
  wake() {
    if (!this.#connection) this.open();
  }

  open() {
    this.rest();
    this.#connection = new AbortController();
    this.#heard = Date.now();
    this.#beats = 0;
    this.#read(this.#connection);
  }

  async #read(connection) {
    const query = Object.entries(this.#asked).filter(([, value]) => value !== undefined);
    // Not reached, or left: there is nothing to read then.
    const answer = await fetch(`/api/v1/live?${new URLSearchParams(query)}`, { signal: connection.signal }).catch(() => null);
    const problem = answer && !answer.ok ? await problemOf(answer) : null;
    if (answer?.ok) await this.#follow(connection, answer.body.pipeThrough(new TextDecoderStream()).getReader());
    if (connection === this.#connection) this.#lost(problem);
  }

  /** Take events until the stream ends, breaks or is left. */
  async #follow(connection, reader) {
    let begun = "";
    for (;;) {
      const { value, done } = await reader.read().catch(() => ({ done: true }));
      if (done || connection !== this.#connection) return;
      const events = (begun + value).split("\n\n");
      begun = events.pop();
      for (const event of events) {
        if (connection === this.#connection) this.#take(event);
      }
    }
  }

  #take(event) {
    const field = (name) => event.split("\n").filter((line) => line.startsWith(`${name}: `)).map((line) => line.slice(name.length + 2)).join("\n");
    const kind = field("event");
    if (!KINDS.has(kind)) return; // of a newer service
    this.#heard = Date.now();
    const data = JSON.parse(field("data"));
    if (kind === "heartbeat") {
      this.clockOffset = Date.parse(data.at) - Date.now();
      // After a connection's first heartbeat come the latest states: a page that slept has them only then.
      if (this.#beats++ || this.heardUntil === null) this.heardUntil = Date.parse(data.at);
      this.#failures = 0;
      this.onState("open");
    }
    try {
      this.onEvent(kind, data);
    } catch (error) {
      reportError(error); // a fault in showing one event does not end the stream
    }
  }

  #watch() {
    if (this.#connection && Date.now() - this.#heard > SILENT_MS) this.#lost(null);
  }

  #lost(problem) {
    this.rest();
    // A stream ends with its login too. The page, loaded again, then asks for one.
    if (problem?.status === 401 && document.getElementById("log-out")) {
      location.reload();
      return;
    }
    this.onState("lost", problem?.document.type ? problem : null); // what a proxy answers tells nothing
    const wait = RETRY_MS[Math.min(this.#failures++, RETRY_MS.length - 1)] * (0.5 + Math.random() / 2);
    // Those who were refused at the same time do not come again at the same time.
    const told = (problem?.retryAfterS ?? 0) * 1000 * (1 + Math.random() / 4);
    this.#retry = setTimeout(() => this.open(), Math.max(wait, told));
  }
}
