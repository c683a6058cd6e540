// The table of keys. A row is made once and its nodes are changed in place: focus, selection and scroll stay.

import { allowedOf, axisName, FULL, isLearned, limitWords, ordered, STATES } from "./dashboard-fleet.js";
import { clock, countdown, exact, known, make, NONE, put, reshape, set, shape, short, spell } from "./dashboard-words.js";

const COUNTS = ["flying", "ok", "failed", "refused", "p50"];
const LABELS = { flying: "in flight", ok: "ok", failed: "failed", refused: "429", p50: "p50" };
const WIDTH = 9;

export class KeyTable {
  constructor(table, filter, none, learned) {
    this.table = table;
    this.learned = learned;
    this.none = none;
    this.body = table.tBodies[0];
    this.rows = new Map();
    this.entries = [];
    this.sort = { field: "", down: false };
    this.chips = new Chips(filter, () => this.place());
    for (const head of table.querySelectorAll("th[data-sort]")) {
      head.querySelector("button").addEventListener("click", () => this.sortBy(head.dataset.sort));
    }
  }

  show(entries, received) {
    this.entries = entries;
    for (const entry of entries) {
      if (!this.rows.has(entry.id)) this.rows.set(entry.id, new Row());
      this.rows.get(entry.id).show(entry, received);
    }
    const there = new Set(entries.map((entry) => entry.id));
    for (const [id, row] of this.rows) {
      if (there.has(id)) continue;
      row.nodes.forEach((node) => node.remove());
      this.rows.delete(id);
    }
    this.chips.show(entries);
    this.learned.hidden = !entries.some((entry) => entry.limits.some(isLearned));
    this.place();
  }

  /** Between two documents. */
  tick(now) {
    for (const row of this.rows.values()) row.tick(now);
  }

  /** Down first: of figures the most is what one looks for. A third press: as in the providers file. */
  sortBy(field) {
    const first = !["key", "state"].includes(field);
    const { field: before, down } = this.sort;
    this.sort = before !== field ? { field, down: first } : down === first ? { field, down: !first } : { field: "", down: false };
    for (const head of this.table.querySelectorAll("th[data-sort]")) {
      set(head, "aria-sort", head.dataset.sort === this.sort.field ? (this.sort.down ? "descending" : "ascending") : null);
    }
    this.place();
  }

  /** Rows into their order. A node that is moved loses the focus, so it is given back. */
  place() {
    const { field, down } = this.sort;
    const focused = this.body.contains(document.activeElement) ? document.activeElement : null;
    let at = this.body.firstChild;
    for (const entry of field ? ordered(this.entries, field, down) : this.entries) {
      const row = this.rows.get(entry.id);
      row.hide(!this.chips.shows(entry.state));
      for (const node of row.nodes) {
        if (node === at) at = at.nextSibling;
        else this.body.insertBefore(node, at);
      }
    }
    if (focused && document.activeElement !== focused) focused.focus({ preventScroll: true });
    const seen = this.entries.some((entry) => this.chips.shows(entry.state));
    put(this.none, seen ? "" : this.entries.length ? "No key is in a state that is shown." : "No key.");
  }
}

/** One button a state, with how many there are; those that are not set are hidden where any other is there. */
class Chips {
  constructor(group, changed) {
    this.shown = {};
    this.buttons = new Map();
    this.others = false;
    for (const state of STATES) {
      const mark = shape();
      const button = make("button", { type: "button", class: `chip ${state.replace(" ", "-")}` }, mark, make("span"));
      reshape(mark, state);
      button.addEventListener("click", () => {
        this.shown[state] = !this.shows(state);
        this.press();
        changed();
      });
      this.buttons.set(state, button);
      group.append(button);
    }
  }

  shows(state) {
    return this.shown[state] ?? (state !== "missing" || !this.others);
  }

  show(entries) {
    this.others = entries.some((entry) => entry.state !== "missing");
    for (const [state, button] of this.buttons) {
      const count = entries.filter((entry) => entry.state === state).length;
      button.hidden = !count;
      put(button.lastChild, `${count} ${state}`);
    }
    this.press();
  }

  press() {
    for (const [state, button] of this.buttons) set(button, "aria-pressed", String(this.shows(state)));
  }
}

class Row {
  constructor() {
    this.mark = shape();
    this.open = make("button", { type: "button", class: "open", "aria-expanded": "false" });
    this.model = make("span", { class: "model", dir: "auto" });
    this.word = make("span", { class: "word" });
    this.back = make("span", { class: "back" });
    this.why = make("div", { class: "why", dir: "auto" });
    this.pace = new Meters("pace");
    this.quota = new Meters("quota");
    this.cells = COUNTS.map((field) => make("td", { role: "cell", class: `n ${field}`, "data-label": LABELS[field] }));
    this.node = make(
      "tr", { role: "row" },
      make("th", { role: "rowheader", scope: "row", class: "who" }, this.open, this.model),
      make("td", { role: "cell", class: "state" }, make("div", {}, this.mark, this.word, this.back), this.why),
      this.pace.cell, this.quota.cell, ...this.cells,
    );
    this.nodes = [this.node];
    this.open.addEventListener("click", () => this.unfold());
  }

  show(entry, received) {
    this.entry = entry;
    set(this.node, "data-state", entry.state);
    put(this.open, entry.key);
    set(this.open, "title", entry.key);
    put(this.model, entry.model);
    set(this.model, "title", entry.model);
    reshape(this.mark, entry.state);
    put(this.word, entry.state);
    this.ready = known(entry.wait) ? received + entry.wait * 1000 : null;
    this.pace.show(entry.limits.filter((each) => !each.quota && each.axis !== "concurrency"));
    this.quota.show(entry.limits.filter((each) => each.quota));
    set(this.node, "data-unlimited", entry.limits.length ? null : "");
    set(this.node, "data-idle", isIdle(entry) ? "" : null);
    const slots = entry.limits.find((each) => each.axis === "concurrency");
    const texts = [known(slots?.in_force) ? `${short(entry.flying)}/${short(slots.in_force)}` : short(entry.flying),
      short(entry.ok), short(entry.failed), short(entry.refused), spell(entry.p50)];
    this.cells.forEach((cell, place) => {
      put(cell, texts[place]);
      set(cell, "data-none", texts[place] === NONE || texts[place] === "0" ? "" : null);
    });
    this.tick(performance.now());
    if (this.more) this.more.show(entry);
  }

  tick(now) {
    const { entry } = this;
    const left = this.ready === null ? 0 : countdown((this.ready - now) / 1000);
    const back = entry.state === FULL ? (this.ready > now ? `· ${left}` : "") : this.ready > now ? `back in ${left}` : "back any moment";
    put(this.back, this.ready === null ? "" : back);
    const until = known(entry.wait) && entry.wait >= 3600 && entry.until ? `until ${clock(entry.until, false)}` : "";
    const words = [until, entry.why || entry.doing].filter(Boolean).join("; ");
    put(this.why, words);
    set(this.why, "title", words || null);
  }

  unfold() {
    const open = !this.more;
    set(this.open, "aria-expanded", String(open));
    if (open) {
      this.more = new More();
      this.more.show(this.entry);
      this.node.after(this.more.node);
      this.nodes = [this.node, this.more.node];
    } else {
      this.more.node.remove();
      this.more = null;
      this.nodes = [this.node];
    }
  }

  hide(hidden) {
    for (const node of this.nodes) node.hidden = hidden;
  }
}

/** Nothing to see but that it is ready: where there is no room, such a row is one line. */
const isIdle = (entry) =>
  entry.state === "ready" && !entry.flying && !entry.ok && !entry.failed && !entry.refused && !entry.limits.some((each) => each.used > 0);

/** Used against allowed, a line for each limit: its name, a bar, and the figures beside it. */
class Meters {
  constructor(kind) {
    this.cell = make("td", { role: "cell", class: `meters ${kind}` });
    this.lines = new Map();
    this.axes = null;
  }

  show(limits) {
    const axes = limits.map((each) => each.axis).join();
    if (axes !== this.axes) {
      this.axes = axes;
      this.lines = new Map(limits.map((each) => [each.axis, meter(each.axis)]));
      this.cell.replaceChildren(...[...this.lines.values()].map((each) => each.line));
      set(this.cell, "data-empty", limits.length ? null : "");
      if (!limits.length) this.cell.append(make("span", { class: "none" }, "no limit known"));
    }
    for (const limit of limits) {
      const { line, bar, used, allowed } = this.lines.get(limit.axis);
      const share = limit.share ?? 0;
      const width = limit.share === null ? "" : `${Math.round(share * 1000) / 10}%`;
      if (bar.style.width !== width) bar.style.width = width;
      set(line, "data-full", !limit.quota ? null : share >= 0.95 ? "95" : share >= 0.8 ? "80" : null);
      put(used, short(limit.used));
      put(allowed, allowedOf(limit));
      line.classList.toggle("open", !known(limit.in_force));
      set(line, "title", `${axisName(limit.axis, false)}: ${limitWords(limit)}`);
    }
  }
}

const meter = (axis) => {
  const bar = make("i");
  const used = make("span", { class: "used" });
  const allowed = make("span", { class: "allowed" });
  const track = make("span", { class: "bar", "aria-hidden": "true" }, bar);
  const line = make("div", { class: "meter" }, make("span", { class: "axis" }, axisName(axis)), track, used, allowed);
  return { line, bar, used, allowed };
};

/** What a row has no room for, for those who open it. */
class More {
  constructor() {
    this.list = make("dl");
    this.node = make("tr", { role: "row", class: "more" }, make("td", { role: "cell", colspan: WIDTH }, this.list));
  }

  show(entry) {
    const lines = [["state", [entry.state, entry.why || entry.doing].filter(Boolean).join(": ")]];
    lines.push(...entry.limits.map((each) => [axisName(each.axis, false), limitWords(each)]));
    if (!entry.limits.length) lines.push(["limits", "no limit known"]);
    lines.push(["so far", `${exact(entry.ok)} ok, ${exact(entry.failed)} failed, ${exact(entry.refused)} refused (429)`]);
    if (entry.mask) lines.push(["key", entry.mask]);
    const names = lines.map(([name]) => name).join();
    if (names !== this.names) {
      this.names = names;
      this.list.replaceChildren(...lines.map(([name]) => make("div", {}, make("dt", {}, name), make("dd", { dir: "auto" }))));
    }
    lines.forEach(([, text], place) => put(this.list.children[place].lastChild, text));
  }
}
