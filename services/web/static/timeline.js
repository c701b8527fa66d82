// Probabilities over the last minutes, one small chart a person; where a person is not seen, "no face".

import { lineSample, make, say } from "./dom.js";
import { adjective, counted, EMOTIONS } from "./words.js";

const DASHES = { angry: [], disgust: [2, 3], fear: [8, 3], happy: [], sad: [6, 3, 2, 3], surprise: [4, 4], neutral: [1, 3] };
const KEEP_S = 180;
const SHORT_S = 60; // shown until more than this is known
const SAMPLE_S = 0.2;
const GAP_S = 2;
const MAX_CHARTS = 3;
const HEIGHT = 140;

export class Timeline {
  #people = new Map();
  #charts = new Map();
  #opened = null;
  #lastFrame = null;
  #blind = []; // stretches without any reading: nobody knows whether there was a face

  constructor(parts) {
    this.parts = parts;
    this.available = typeof window.uPlot === "function";
    parts.timeline.hidden = !this.available;
    for (const emotion of EMOTIONS) {
      const item = make("li");
      item.append(lineSample(emotion, DASHES[emotion]), make("span", "", adjective(emotion)));
      parts.legend.append(item);
    }
    if (!this.available) return;
    document.documentElement.addEventListener("theme", () => this.#clear());
    new ResizeObserver(() => this.#resize()).observe(parts.charts);
  }

  /** Begin anew with what the service remembers: [at, faces] as `add` takes them, oldest first. */
  begin(readings) {
    this.#people.clear();
    this.#blind = [];
    this.#opened = null;
    this.#lastFrame = null;
    for (const [at, faces] of readings) this.add(at, faces, 0);
  }

  /** Take the faces of one frame, each [track_id, ...the seven probabilities]; `at` in seconds. */
  add(at, faces, apart = SAMPLE_S) {
    if (!this.available) return;
    this.#opened ??= at;
    if (this.#lastFrame !== null && at - this.#lastFrame > GAP_S) this.#blind.push([this.#lastFrame, at]);
    this.#lastFrame = at;
    for (const [id, ...values] of faces) {
      let person = this.#people.get(id);
      if (!person) this.#people.set(id, (person = { times: [], values: EMOTIONS.map(() => []) }));
      const last = person.times.at(-1);
      if (last !== undefined && at - last < apart) continue;
      if (last !== undefined && at - last > GAP_S) this.#push(person, last + 0.01, EMOTIONS.map(() => null));
      this.#push(person, at, values);
    }
  }

  /** Draw what is there at `now`, in seconds. */
  draw(now) {
    if (!this.available) return;
    for (const [id, person] of this.#people) {
      const old = person.times.findIndex((time) => time >= now - KEEP_S);
      if (old === -1) this.#people.delete(id);
      else if (old > 0) [person.times, ...person.values].forEach((list) => list.splice(0, old));
    }
    // Who is there now comes first, and who is drawn already stays, so that charts do not change places.
    const rank = ([id, person]) => (now - person.times.at(-1) < GAP_S ? 2 : 0) + (this.#charts.has(id) ? 1 : 0);
    const ranked = [...this.#people].sort((a, b) => rank(b) - rank(a) || b[1].times.at(-1) - a[1].times.at(-1));
    const recent = ranked.slice(0, MAX_CHARTS);
    const shown = new Set(recent.map(([id]) => id));
    for (const [id, chart] of this.#charts) {
      if (!shown.has(id)) {
        chart.plot.destroy();
        chart.box.remove();
        this.#charts.delete(id);
      }
    }
    this.#blind = this.#blind.filter(([, end]) => end > now - KEEP_S);
    this.now = now;
    this.span = this.#opened !== null && now - this.#opened > SHORT_S ? KEEP_S : SHORT_S;
    say(this.parts["timeline-title"], this.span === KEEP_S ? "Last three minutes" : "Last minute");
    for (const [id, person] of recent) {
      if (!this.#charts.has(id)) this.#charts.set(id, this.#create(id));
      this.#charts.get(id).plot.setData([person.times, ...person.values]);
    }
    const more = ranked.length - recent.length;
    this.parts["no-charts"].hidden = recent.length > 0 && more === 0;
    say(this.parts["no-charts"], more ? `${counted(more, "more was seen in this time and is", "more were seen in this time and are")} not drawn.` : "No face was read in this time.");
    this.parts.legend.hidden = recent.length === 0;
  }

  #push(person, at, values) {
    person.times.push(at);
    values.forEach((value, i) => person.values[i].push(value));
  }

  #create(id) {
    const box = make("div", "chart");
    box.append(make("h4", "", `Person ${id}`));
    const holder = make("div");
    holder.setAttribute("role", "img");
    holder.setAttribute("aria-label", `Probabilities of the seven emotions of person ${id} over the last minutes. The table below has the same in words.`);
    box.append(holder);
    this.parts.charts.append(box);
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(`--${name}`).trim();
    const axis = { stroke: colour("quiet"), grid: { stroke: colour("soft"), width: 1 }, ticks: { show: false }, font: "13px system-ui, sans-serif" };
    const plot = new window.uPlot(
      {
        width: this.#width(),
        height: HEIGHT,
        legend: { show: false },
        cursor: { show: false },
        padding: [8, 28, 0, 0],
        scales: { x: { time: false, range: () => [this.now - this.span, this.now] }, y: { range: () => [0, 1] } },
        axes: [
          { ...axis, size: 28, splits: () => [3, 2, 1, 0].map((part) => this.now - (part * this.span) / 3), values: () => [3, 2, 1, 0].map((part) => this.#ago(part)) },
          { ...axis, size: 48, splits: () => [0, 0.5, 1], values: (_, ticks) => ticks.map((tick) => `${tick * 100}%`) },
        ],
        series: [{}, ...EMOTIONS.map((emotion) => ({ label: emotion, stroke: colour(emotion), width: 2, dash: DASHES[emotion], points: { show: false } }))],
        hooks: { drawAxes: [(u) => this.#drawGaps(u, colour("fill"), colour("quiet"))] },
      },
      [[], ...EMOTIONS.map(() => [])],
      holder,
    );
    return { box, plot };
  }

  #ago(part) {
    if (part === 0) return "now";
    return this.span === KEEP_S ? `−${part} min` : `−${part * 20} s`;
  }

  #drawGaps(u, fill, ink) {
    const { ctx, bbox } = u;
    const shade = (begin, end, words) => {
      if (end - begin < GAP_S) return;
      const left = u.valToPos(Math.max(begin, this.now - this.span), "x", true);
      const right = u.valToPos(end, "x", true);
      if (right <= left) return;
      ctx.fillStyle = fill;
      ctx.fillRect(left, bbox.top, right - left, bbox.height);
      if (right - left < 70 * devicePixelRatio) return;
      ctx.fillStyle = ink;
      ctx.font = `${13 * devicePixelRatio}px system-ui, sans-serif`;
      ctx.textAlign = "center";
      ctx.textBaseline = "middle";
      ctx.fillText(words, (left + right) / 2, bbox.top + bbox.height / 2);
    };
    ctx.save();
    const [times, first] = u.data;
    let from = this.#opened;
    times.forEach((time, i) => {
      if (first[i] === null) return;
      shade(from, time, "no face");
      from = time;
    });
    shade(from, this.#lastFrame, "no face");
    for (const [begin, end] of this.#blind) shade(begin, end, "no reading");
    shade(this.#lastFrame, this.now, "no reading");
    ctx.restore();
  }

  #width() {
    return Math.max(200, this.parts.charts.clientWidth);
  }

  #resize() {
    for (const { plot } of this.#charts.values()) plot.setSize({ width: this.#width(), height: HEIGHT });
  }

  #clear() {
    for (const { plot, box } of this.#charts.values()) {
      plot.destroy();
      box.remove();
    }
    this.#charts.clear();
  }
}
