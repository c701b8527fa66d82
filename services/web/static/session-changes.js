// The changes of one study session: one after the other, and none over what somebody else changed meanwhile.

import { ask } from "./api.js";

const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);

/** What is to be changed is not what this page shows: somebody else changed it. `now` is the session as it is. */
export class ChangedMeanwhile extends Error {
  status = 412;

  constructor(now) {
    super("It was changed meanwhile, by somebody else or in another window.");
    this.now = now;
  }
}

export class SessionChanges {
  #path;
  #now = null; // as the server had it last
  #shown = {}; // what this page works from, by name
  #sent = []; // changes whose answers are not known: where the server has them, nobody else is at work
  #last = Promise.resolve();

  constructor(path) {
    this.#path = path;
  }

  /** The page shows the session as it is now; or only what is named of it. */
  shows(session, names = Object.keys(session)) {
    this.#now = session;
    for (const name of names) this.#shown[name] = session[name];
  }

  /** Change it once the changes before have ended, and give the session as it then is. That something else of it was
   * changed meanwhile hinders nothing.
   *
   * Throws ChangedMeanwhile, or a Problem. `more` are options of fetch; what is to outlive the page waits for nothing. */
  change(changes, more) {
    if (more?.keepalive) return this.#leave(changes, more);
    const mine = this.#last.then(() => this.#make(changes, more));
    this.#last = mine.catch(() => {});
    return mine;
  }

  #check(changes) {
    for (const [name, wanted] of Object.entries(changes)) {
      const known = [this.#shown[name], wanted, ...this.#sent.filter((each) => name in each).map((each) => each[name])];
      if (!known.some((each) => same(each, this.#now[name]))) throw new ChangedMeanwhile(this.#now);
    }
  }

  async #make(changes, more) {
    for (;;) {
      this.#check(changes);
      this.#sent.push(changes);
      try {
        this.shows(await this.#patch(changes, `"${this.#now.version}"`, more), Object.keys(changes));
        this.#sent = [];
        return this.#now;
      } catch (problem) {
        if (problem.status) this.#sent.pop(); // an answer: it was not done
        if (problem.status !== 412) throw problem;
        this.#now = await ask("GET", this.#path);
      }
    }
  }

  /** Whether a change that is under way has been done cannot be waited for: then this one follows it, whatever it finds. */
  async #leave(changes, more) {
    this.#check(changes);
    const version = this.#sent.length ? "*" : `"${this.#now.version}"`;
    this.#sent.push(changes); // a browser may bring the page back, without its answer
    this.shows(await this.#patch(changes, version, more), Object.keys(changes));
  }

  #patch(changes, version, more) {
    return ask("PATCH", this.#path, changes, { ...more, headers: { "If-Match": version } });
  }
}
