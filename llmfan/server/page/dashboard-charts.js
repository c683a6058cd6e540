// Two charts of the last ten minutes, drawn by hand: one path a series, so that a redraw changes a few attributes.

import { draw, known, make, NONE, put, rate, set, spell, whole } from "./dashboard-words.js";

const HEIGHT = 168;
const EDGE = { left: 52, right: 10, top: 10, bottom: 24 };
/** How much time is shown: the least that holds all there is. Seconds, and how far labels are apart where there is room. */
const SPANS = [[120, 30], [300, 60], [600, 120]];
const ROOMY = 460;

const latency = (name, title) => ({ name, title, of: (row) => row[name], spell });
const throughput = (name, title) => ({ name, title, of: (row, bucket) => (known(row[name]) ? row[name] / Math.min(bucket, Math.max(1, row.ago_s)) : null), spell: (value) => `${rate(value)}/s` });

export const THROUGHPUT = {
  title: "Requests a second", stacked: true,
  series: [throughput("ok", "ok"), throughput("failed", "failed"), throughput("rate_limited", "429")],
};
export const LATENCY = {
  title: "Latency", stacked: false,
  series: [latency("latency_p50_s", "p50"), latency("latency_p95_s", "p95")],
};

export class Chart {
  constructor(figure, kind) {
    this.kind = kind;
    this.rows = [];
    this.bucket = 10;
    this.width = 0;
    this.pointed = null;
    this.legend = new Legend(figure.querySelector(".legend"), kind);
    this.read = figure.querySelector(".read");
    this.table = new Figures(figure.querySelector("details"), kind);
    this.frame(figure.querySelector(".plot svg"));
    this.note = figure.querySelector(".note");
    new ResizeObserver(([entry]) => {
      this.width = Math.round(entry.contentRect.width);
      this.redraw();
    }).observe(this.svg);
    this.svg.addEventListener("pointermove", (event) => this.point(event));
    this.svg.addEventListener("pointerleave", () => this.point(null));
  }

  frame(svg) {
    this.svg = svg;
    this.title = draw("title", { id: `${svg.id}-title` }, this.kind.title);
    this.words = draw("desc", { id: `${svg.id}-words` });
    set(svg, "aria-labelledby", this.title.id);
    set(svg, "aria-describedby", this.words.id);
    this.grid = draw("g", { class: "grid" });
    this.line = draw("line", { class: "cross", y1: EDGE.top, y2: HEIGHT - EDGE.bottom, visibility: "hidden" });
    this.paths = this.kind.series.map((each) => draw("path", { class: `mark ${each.name}`, fill: paint(each.name) }));
    this.dots = this.kind.series.map((each) => draw("path", { class: `dot ${each.name}` }));
    svg.append(this.title, this.words, this.grid, ...this.paths, ...this.dots, this.line, ...(this.kind.stacked ? [hatching()] : []));
    set(svg, "height", HEIGHT);
  }

  show(minutes) {
    this.rows = minutes?.rows ?? [];
    this.bucket = minutes?.bucket_s || 10;
    this.redraw();
    put(this.words, this.summary());
    this.table.show(this.rows, this.bucket);
  }

  redraw() {
    if (!this.width) return;
    const oldest = this.rows[0]?.ago_s ?? 0;
    [this.span, this.every] = SPANS.find(([span]) => span >= oldest) ?? SPANS.at(-1);
    set(this.svg, "viewBox", `0 0 ${this.width} ${HEIGHT}`);
    const top = Math.max(0, ...this.rows.map((row) => this.highest(row)));
    this.step = nice(top / 3);
    this.top = Math.max(this.step, Math.ceil(top / this.step - 1e-9) * this.step);
    this.axes();
    const drawn = this.kind.stacked ? this.bars() : this.lines();
    this.paths.forEach((path, place) => set(path, "d", drawn[place]));
    this.dots.forEach((path, place) => set(path, "d", this.kind.stacked ? "" : this.lonely(this.kind.series[place])));
    put(this.note, top > 0 ? "" : this.kind.stacked ? "nothing sent in the last ten minutes" : "no answer in the last ten minutes");
    this.reading();
  }

  highest(row) {
    const values = this.kind.series.map((each) => each.of(row, this.bucket) ?? 0);
    return this.kind.stacked ? values.reduce((sum, each) => sum + each, 0) : Math.max(...values);
  }

  x(ago) {
    return EDGE.left + (this.width - EDGE.left - EDGE.right) * (1 - ago / this.span);
  }

  y(value) {
    return HEIGHT - EDGE.bottom - (HEIGHT - EDGE.top - EDGE.bottom) * (value / this.top);
  }

  /** Grid and labels are made anew only where their scale or the width is another one. */
  axes() {
    const scale = [this.width, this.span, this.top, this.step].join();
    if (scale === this.scale) return;
    this.scale = scale;
    const parts = [];
    const decimals = Math.max(0, -Math.floor(Math.log10(this.step) + 1e-9));
    for (let value = 0; value <= this.top + this.step / 2; value += this.step) {
      const y = this.y(value).toFixed(1);
      parts.push(draw("line", { x1: EDGE.left, x2: this.width - EDGE.right, y1: y, y2: y }));
      const text = value === 0 ? "0" : trimmed(value, decimals);
      parts.push(draw("text", { x: EDGE.left - 7, y, dy: "0.35em", "text-anchor": "end" }, this.kind.stacked ? text : `${text} s`));
    }
    for (let ago = this.span; ago >= 0; ago -= this.width < ROOMY ? this.span / 2 : this.every) {
      const x = this.x(ago).toFixed(1);
      parts.push(draw("line", { x1: x, x2: x, y1: HEIGHT - EDGE.bottom, y2: HEIGHT - EDGE.bottom + 4 }));
      const anchor = ago === this.span ? "start" : ago ? "middle" : "end";
      parts.push(draw("text", { x, y: HEIGHT - 5, "text-anchor": anchor }, ago ? (ago < 60 ? `−${ago} s` : `−${ago / 60} min`) : "now"));
    }
    this.grid.replaceChildren(...parts);
  }

  /** Where a bucket stands: it began `ago_s` ago. */
  edges(row) {
    const from = Math.min(this.span, row.ago_s);
    return [this.x(from), this.x(Math.max(0, row.ago_s - this.bucket))];
  }

  bars() {
    const drawn = this.kind.series.map(() => []);
    for (const row of this.rows) {
      const [left, right] = this.edges(row);
      const gap = right - left > 4 ? 1 : 0;
      let from = 0;
      this.kind.series.forEach((each, place) => {
        const value = each.of(row, this.bucket) ?? 0;
        if (value <= 0) return;
        const [low, high] = [this.y(from), this.y(from + value)];
        drawn[place].push(`M${left.toFixed(1)} ${low.toFixed(1)}V${high.toFixed(1)}H${(right - gap).toFixed(1)}V${low.toFixed(1)}Z`);
        from += value;
      });
    }
    return drawn.map((parts) => parts.join(""));
  }

  middle(row) {
    const [left, right] = this.edges(row);
    return (left + right) / 2;
  }

  /** One bucket alone is a dot: a line without a length cannot be seen. */
  lonely(series) {
    const there = (row) => Boolean(row) && known(series.of(row, this.bucket));
    const alone = this.rows.filter((row, place) => there(row) && !there(this.rows[place - 1]) && !there(this.rows[place + 1]));
    const dot = (row) => `M${(this.middle(row) - 3).toFixed(1)} ${this.y(series.of(row, this.bucket)).toFixed(1)}a3 3 0 1 0 6 0a3 3 0 1 0 -6 0z`;
    return alone.map(dot).join("");
  }

  /** A stretch without an answer is a gap, not a slope. */
  lines() {
    return this.kind.series.map((each) => {
      let path = "";
      let open = false;
      this.rows.forEach((row) => {
        const value = each.of(row, this.bucket);
        if (!known(value)) {
          open = false;
          return;
        }
        path += `${open ? "L" : "M"}${this.middle(row).toFixed(1)} ${this.y(value).toFixed(1)}`;
        open = true;
      });
      return path;
    });
  }

  point(event) {
    if (event) {
      const x = event.clientX - this.svg.getBoundingClientRect().left;
      this.pointed = this.span * (1 - (x - EDGE.left) / (this.width - EDGE.left - EDGE.right));
    } else {
      this.pointed = null;
    }
    this.reading();
  }

  /** The figures of the bucket under the pointer, else of the last whole one. */
  reading() {
    const ago = this.pointed;
    const row = ago === null ? null : this.rows.find((each) => each.ago_s >= ago && each.ago_s - this.bucket < ago);
    set(this.line, "visibility", row ? "visible" : "hidden");
    if (row) {
      const x = this.middle(row);
      set(this.line, "x1", x.toFixed(1));
      set(this.line, "x2", x.toFixed(1));
    }
    const last = row ?? this.rows.filter((each) => each.ago_s >= this.bucket).at(-1);
    put(this.read, row ? `${spell(row.ago_s)} ago` : last ? `last ${whole(this.bucket)} s` : "");
    this.legend.show(last, this.bucket);
  }

  summary() {
    const parts = this.kind.series.map((each) => {
      const values = this.rows.map((row) => each.of(row, this.bucket)).filter(known);
      if (!values.length) return `${each.title}: none`;
      return `${each.title}: last ${each.spell(values.at(-1))}, most ${each.spell(Math.max(...values))}`;
    });
    return `The last ten minutes. ${parts.join("; ")}. The same as a table below.`;
  }
}

class Legend {
  constructor(list, kind) {
    this.kind = kind;
    this.values = kind.series.map(() => make("span", { class: "value" }));
    kind.series.forEach((each, place) => {
      const mark = kind.stacked ? "M0 1H14V11H0Z" : "M0 6H22";
      const box = draw("svg", { class: "key", width: kind.stacked ? 14 : 22, height: 12, "aria-hidden": "true" }, draw("path", { class: `mark ${each.name}`, fill: paint(each.name), d: mark }));
      list.append(make("li", {}, box, make("span", {}, each.title), this.values[place]));
    });
  }

  show(row, bucket) {
    this.kind.series.forEach((each, place) => put(this.values[place], row ? each.spell(each.of(row, bucket)) : NONE));
  }
}

/** The chart for those who do not see it, the newest first; filled only while it is open. */
class Figures {
  constructor(details, kind) {
    this.details = details;
    this.kind = kind;
    this.body = details.querySelector("tbody");
    details.querySelector("thead tr").append(...kind.series.map((each) => make("th", { scope: "col", class: "n" }, each.title)));
    details.addEventListener("toggle", () => this.fill());
  }

  show(rows, bucket) {
    this.rows = rows;
    this.bucket = bucket;
    this.fill();
  }

  fill() {
    if (!this.details.open || !this.rows) return;
    while (this.body.rows.length > this.rows.length) this.body.lastElementChild.remove();
    [...this.rows].reverse().forEach((row, place) => {
      const line = this.body.rows[place] ?? this.body.appendChild(this.blank());
      put(line.cells[0], `${spell(row.ago_s)} ago`);
      this.kind.series.forEach((each, column) => put(line.cells[column + 1], each.spell(each.of(row, this.bucket))));
    });
  }

  blank() {
    return make("tr", {}, make("th", { scope: "row" }), ...this.kind.series.map(() => make("td", { class: "n" })));
  }
}

/** For what was refused: told from what failed without its colour. */
const hatching = () =>
  draw(
    "defs", {},
    draw(
      "pattern", { id: "hatched", width: 4, height: 4, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
      draw("rect", { class: "ground", width: 4, height: 4 }), draw("rect", { class: "stripe", width: 1.5, height: 4 }),
    ),
  );

const paint = (name) => (name === "rate_limited" ? "url(#hatched)" : null);

/** 1, 2 or 5 of a power of ten, not below `least`. */
const nice = (least) => {
  if (!(least > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5, 10].find((each) => each * power >= least * (1 - 1e-9)) * power;
};

const trimmed = (value, decimals) => (value >= 10000 ? `${value / 1000}k` : value.toFixed(Math.min(6, decimals)));
