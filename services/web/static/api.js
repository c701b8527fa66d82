// Asking the REST interface. What it refuses is thrown as a Problem, whose text says what to do.

export class Problem extends Error {
  constructor(status, document) {
    super([document.title && `${document.title}:`, document.detail, document.next_step].filter(Boolean).join(" "));
    this.status = status;
    this.document = document;
  }
}

/** The JSON that answers; a body makes it a change. Throws a Problem, also where the service is not reached. */
export async function ask(method, path, body) {
  const options = { method };
  if (method !== "GET") {
    options.headers = { "Content-Type": "application/json" };
    options.body = JSON.stringify(body ?? {});
  }
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Problem(0, { title: "The web service is not reached", detail: "Nothing was changed.", next_step: "Check the network, then try again." });
  }
  const document = await answer.json().catch(() => ({ title: `Answer ${answer.status}`, detail: "It cannot be read.", next_step: "Try again." }));
  if (!answer.ok) throw new Problem(answer.status, document);
  return document;
}
