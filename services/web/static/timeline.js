// Probabilities over the last minutes, one small chart a person; where a person is not seen, "no face".

import { lineSample, make } from "./dom.js";

export const EMOTIONS = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"];
const DASHES = { angry: [], disgust: [2, 3], fear: [8, 3], happy: [], sad: [6, 3, 2, 3], surprise: [4, 4], neutral: [1, 3] };
const WINDOW_S = 180;
const SAMPLE_S = 0.2;
const GAP_S = 2;
const MAX_CHARTS = 3;
const HEIGHT = 140;

export class Timeline {
  #people = new Map();
  #charts = new Map();

  constructor(parts) {
    this.parts = parts;
    this.available = typeof window.uPlot === "function";
    parts.timeline.hidden = !this.available;
    for (const emotion of EMOTIONS) {
      const item = make("li");
      item.append(lineSample(emotion, DASHES[emotion]), make("span", "", emotion));
      parts.legend.append(item);
    }
    if (!this.available) return;
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#clear());
    new ResizeObserver(() => this.#resize()).observe(parts.charts);
  }

  /** Take the faces of one frame; `at` in seconds. */
  add(at, faces) {
    if (!this.available) return;
    for (const face of faces) {
      let person = this.#people.get(face.track_id);
      if (!person) this.#people.set(face.track_id, (person = { times: [], values: EMOTIONS.map(() => []) }));
      const last = person.times.at(-1);
      if (last !== undefined && at - last < SAMPLE_S) continue;
      if (last !== undefined && at - last > GAP_S) this.#push(person, last + 0.01, EMOTIONS.map(() => null));
      this.#push(person, at, EMOTIONS.map((emotion) => face.emotion[emotion]));
    }
  }

  /** Draw what is there at `now`, in seconds. */
  draw(now) {
    if (!this.available) return;
    for (const [id, person] of this.#people) {
      const old = person.times.findIndex((time) => time >= now - WINDOW_S);
      if (old === -1) this.#people.delete(id);
      else if (old > 0) [person.times, ...person.values].forEach((list) => list.splice(0, old));
    }
    const recent = [...this.#people].sort((a, b) => b[1].times.at(-1) - a[1].times.at(-1)).slice(0, MAX_CHARTS);
    const shown = new Set(recent.map(([id]) => id));
    for (const [id, chart] of this.#charts) {
      if (!shown.has(id)) {
        chart.plot.destroy();
        chart.box.remove();
        this.#charts.delete(id);
      }
    }
    this.now = now;
    for (const [id, person] of recent) {
      if (!this.#charts.has(id)) this.#charts.set(id, this.#create(id));
      this.#charts.get(id).plot.setData([person.times, ...person.values]);
    }
    this.parts["no-charts"].hidden = recent.length > 0;
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
    holder.setAttribute("aria-label", `Probabilities of the seven emotions of person ${id} over the last three minutes. The table below has the same in words.`);
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
        scales: { x: { time: true, range: () => [this.now - WINDOW_S, this.now] }, y: { range: () => [0, 1] } },
        axes: [
          { ...axis, space: 80, size: 28, values: (_, ticks) => ticks.map((tick) => new Date(tick * 1000).toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" })) },
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

  #drawGaps(u, fill, ink) {
    const times = u.data[0];
    const happy = u.data[1 + EMOTIONS.indexOf("happy")];
    let from = this.now - WINDOW_S;
    const { ctx, bbox } = u;
    const gap = (begin, end) => {
      if (end - begin < GAP_S) return;
      const left = u.valToPos(begin, "x", true);
      const right = u.valToPos(end, "x", true);
      ctx.fillStyle = fill;
      ctx.fillRect(left, bbox.top, right - left, bbox.height);
      if (right - left > 70 * devicePixelRatio) {
        ctx.fillStyle = ink;
        ctx.font = `${13 * devicePixelRatio}px system-ui, sans-serif`;
        ctx.textAlign = "center";
        ctx.textBaseline = "middle";
        ctx.fillText("no face", (left + right) / 2, bbox.top + bbox.height / 2);
      }
    };
    ctx.save();
    times.forEach((time, i) => {
      if (happy[i] === null) return;
      gap(from, time);
      from = time;
    });
    gap(from, this.now);
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
