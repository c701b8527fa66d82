// Times, ages and numbers as people read them.

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });

/** Time of day in the viewer's zone. */
export const timeOfDay = (moment) => clock.format(new Date(moment));

const calendar = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

/** Day and time in the viewer's zone; `none` where there is no moment. */
export const dateAndTime = (moment, none = "never") => (moment === null ? none : calendar.format(new Date(moment)));

const MOMENT = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$/;

/** What may be a moment as REST writes it: in the viewer's zone if it is one, else as it was. */
export const momentInZone = (value) => (typeof value === "string" && MOMENT.test(value) ? dateAndTime(value) : value);

const adjectives = JSON.parse(document.body.dataset.adjectives);

/** In FER2013's order. */
export const EMOTIONS = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"];

/** "Afraid" for fear: how a face looks. What is no emotion ("not_a_face") is as `label` has it. */
export const adjective = (name) => label(adjectives[name] ?? name);

/** "Looks afraid" for fear, "Not sure" for none. */
export const looksLike = (name) => (name === "unsure" ? "Not sure" : `Looks ${adjective(name).toLowerCase()}`);

/** "2 s", "5 min", "3 h", "4 days". */
export function duration(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 90) return `${s} s`;
  if (s < 5400) return `${Math.round(s / 60)} min`;
  if (s < 172800) return `${Math.round(s / 3600)} h`;
  return `${Math.round(s / 86400)} days`;
}

/** "1 face", "2,000 faces": a number with what it counts. */
export const counted = (count, one, many = `${one}s`) => `${count.toLocaleString()} ${count === 1 ? one : many}`;

/** "likely (about 80%)", or why it is not sure. */
export function certainty(words) {
  if (words.certainty === null) return words.why;
  return words.percent === null ? words.certainty : `${words.certainty} (about ${words.percent}%)`;
}

/** "frames_classified" as "Frames classified". */
export function label(name) {
  const text = name.replaceAll("_", " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** A reading of a status, short. */
export function reading(value) {
  if (value === null) return "not known";
  if (value === true) return "yes";
  if (value === false) return "no";
  if (typeof value === "number") {
    const digits = Math.abs(value) < 10 ? 2 : 0;
    return (Number(value.toFixed(digits)) + 0).toLocaleString(undefined, { maximumFractionDigits: digits }); // + 0: no "-0"
  }
  return value;
}
