// The connection to /api/v1/live: comes back by itself and says how it is.

const SILENT_MS = 12_000; // heartbeats come every 5 s; silence longer than this is a dead connection
const RETRY_MS = [500, 1000, 2000, 4000, 8000];
const KINDS = ["heartbeat", "broker", "status", "live", "preview", "detection", "stored"];

export class Stream {
  #source = null;
  #failures = 0;
  #heard = 0;
  #retry = 0;
  #asked;

  /**
   * @param onEvent called with kind and data; @param onState called with "open" or "lost".
   * @param asked the stream's query, as { wall: true, previews: false }.
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
    if (this.#source) this.open();
  }

  /** Let the connection rest, as on a page that nobody looks at: browsers allow only a few at a time. */
  rest() {
    clearTimeout(this.#retry);
    this.#source?.close();
    this.#source = null;
  }

  /** Connect again after `rest`. */
  wake() {
    if (!this.#source) this.open();
  }

  open() {
    clearTimeout(this.#retry);
    this.#source?.close();
    this.#heard = Date.now();
    const query = Object.entries(this.#asked).filter(([, value]) => value !== undefined);
    const source = new EventSource(`/api/v1/live?${new URLSearchParams(query)}`);
    this.#source = source;
    source.onerror = () => source === this.#source && this.#lost();
    for (const kind of KINDS) {
      source.addEventListener(kind, (event) => {
        if (source !== this.#source) return;
        this.#heard = Date.now();
        const data = JSON.parse(event.data);
        if (kind === "heartbeat") {
          this.clockOffset = Date.parse(data.at) - Date.now();
          this.#failures = 0;
          this.onState("open");
        }
        this.onEvent(kind, data);
      });
    }
  }

  #watch() {
    if (this.#source && Date.now() - this.#heard > SILENT_MS) this.#lost();
  }

  #lost() {
    this.#source.close();
    this.#source = null;
    this.onState("lost");
    this.#askWhetherLoggedOut();
    const wait = RETRY_MS[Math.min(this.#failures++, RETRY_MS.length - 1)];
    this.#retry = setTimeout(() => this.open(), wait * (0.5 + Math.random() / 2));
  }

  /** A stream ends with its login too, and does not say so. The page, loaded again, then asks for one. */
  async #askWhetherLoggedOut() {
    if (!document.getElementById("log-out")) return; // nobody logs in here
    const answer = await fetch("/api/v1/me").catch(() => null); // not reached: the stream tries again anyway
    if (answer?.status === 401) location.reload();
  }
}
