"use strict";
// The page without this still says the verdict, the gates, the tables and the failures: here are sorting and the
// table of prompts. Everything that a model or a provider said goes through textContent, never into markup.
(() => {
  const PAGE = 50;

  const make = (tag, given = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(given)) {
      if (name === "text") element.textContent = value;
      else if (value !== null && value !== undefined) element.setAttribute(name, value);
    }
    element.append(...children);
    return element;
  };

  // ---- text as it came, with what cannot be seen made visible ----
  // eslint-disable-next-line no-control-regex
  const ODD = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]|[\u{e0000}-\u{e007f}]|[\ud800-\udfff]/gu;
  const NAMES = {
    "\u061c": "ALM", "\u200b": "ZWSP", "\u200e": "LRM", "\u200f": "RLM", "\u2028": "LSEP", "\u2029": "PSEP",
    "\u202a": "LRE", "\u202b": "RLE", "\u202c": "PDF", "\u202d": "LRO", "\u202e": "RLO", "\u2060": "WJ",
    "\u2066": "LRI", "\u2067": "RLI", "\u2068": "FSI", "\u2069": "PDI", "\u00ad": "SHY", "\ufeff": "BOM", "\u007f": "DEL",
  };
  const C0 = "NUL SOH STX ETX EOT ENQ ACK BEL BS HT LF VT FF CR SO SI DLE DC1 DC2 DC3 DC4 NAK SYN ETB CAN EM SUB ESC FS GS RS US".split(" ");
  const shown = (char) => {
    const code = char.codePointAt(0);
    if (code < 0x20) return C0[code];
    return NAMES[char] || "U+" + code.toString(16).toUpperCase().padStart(4, "0");
  };
  function* pieces(text) {
    let from = 0;
    for (const found of text.matchAll(ODD)) {
      if (found.index > from) yield document.createTextNode(text.slice(from, found.index));
      const code = "U+" + found[0].codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
      yield make("span", { class: "odd", title: code, text: shown(found[0]) });
      from = found.index + found[0].length;
    }
    if (from < text.length) yield document.createTextNode(text.slice(from));
  }
  const short = (text, most) => (text.length > most ? text.slice(0, most) + "…" : text);
  const said = (tag, given, text) => make(tag, { dir: "auto", ...given }, ...pieces(String(text)));

  // ---- sorting ----
  const compare = (a, b) => {
    if (a === b) return 0;
    const none = [a, b].map((v) => v === null || v === undefined || v === "");
    if (none[0] || none[1]) return none[0] === none[1] ? 0 : null; // null: the undefined one goes last either way
    return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
  };
  const ordered = (items, value, down) =>
    items
      .map((item, place) => [item, value(item), place])
      .sort((x, y) => {
        const order = compare(x[1], y[1]);
        if (order === null) return x[1] === null || x[1] === undefined || x[1] === "" ? 1 : -1;
        return (down ? -order : order) || x[2] - y[2];
      })
      .map(([item]) => item);
  const headers = (table, onSort) => {
    const cells = [...table.querySelectorAll("thead th[data-sort]")];
    for (const cell of cells) {
      const button = make("button", { type: "button" }, ...cell.childNodes);
      cell.replaceChildren(button);
      button.addEventListener("click", () => {
        const down = cell.hasAttribute("aria-sort") ? cell.getAttribute("aria-sort") === "ascending" : cell.dataset.sort === "down";
        for (const other of cells) other.removeAttribute("aria-sort");
        cell.setAttribute("aria-sort", down ? "descending" : "ascending");
        onSort(cell, down);
      });
    }
  };
  const sortStatic = (table) => {
    const body = table.tBodies[0];
    const read = (row, column) => {
      const cell = row.cells[column];
      const value = cell.dataset.v;
      return value === undefined ? cell.textContent.trim() : value === "" ? null : Number(value);
    };
    headers(table, (cell, down) => body.append(...ordered([...body.rows], (row) => read(row, cell.cellIndex), down)));
  };

  // ---- the table of prompts ----
  const seconds = (value) => (value === null ? "—" : value < 9.995 ? value.toPrecision(3) + " s" : value.toFixed(1) + " s");
  const number = (value) => (value === null ? "—" : value.toLocaleString("en"));
  const money = (value) => (value === null ? "—" : "$" + (value >= 1 ? value.toFixed(2) : String(Number(value.toPrecision(3)))));
  const SHOW = { s: seconds, n: number, usd: money };

  class Prompts {
    constructor(section) {
      const data = JSON.parse(section.querySelector("script.rows").textContent);
      this.fields = data.fields;
      this.at = Object.fromEntries(data.fields.map((name, place) => [name, place]));
      this.all = data.rows;
      this.found = data.rows;
      this.page = 0;
      this.open = new Set();
      this.section = section;
      this.table = section.querySelector("table");
      this.columns = [...this.table.querySelectorAll("thead th")].map((cell) => ({ field: cell.dataset.field, as: cell.dataset.as }));
      this.search = section.querySelector("input[type=search]");
      this.filters = [...section.querySelectorAll("select[data-field]")];
      this.count = section.querySelector("[role=status]");
      [this.back, this.next] = section.querySelectorAll(".pager button");
      this.listen();
      this.filter();
    }

    listen() {
      let timer = 0;
      this.search.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(() => this.filter(), 120); });
      for (const select of this.filters) select.addEventListener("change", () => this.filter());
      for (const [button, step] of [[this.back, -1], [this.next, 1]]) {
        button.disabled = false; // a disabled one would drop the focus: it only says that it is off
        button.addEventListener("click", () => { if (button.getAttribute("aria-disabled") !== "true") this.turn(step); });
      }
      headers(this.table, (cell, down) => {
        const place = this.at[cell.dataset.field];
        this.all = ordered(this.all, (row) => row[place], down);
        this.filter();
      });
      for (const control of this.section.querySelectorAll("input, select")) control.disabled = false;
    }

    haystack(row) {
      this.stacks ??= new Map();
      if (!this.stacks.has(row)) this.stacks.set(row, row.filter((v) => typeof v === "string").join("\n").toLowerCase());
      return this.stacks.get(row);
    }

    filter() {
      const words = this.search.value.toLowerCase().split(/\s+/).filter(Boolean);
      const wanted = this.filters.filter((select) => select.value).map((select) => [this.at[select.dataset.field], select.value]);
      this.found = this.all.filter(
        (row) => wanted.every(([place, value]) => this.matches(row, place, value)) && words.every((word) => this.haystack(row).includes(word)),
      );
      this.page = 0;
      this.show();
    }

    // Several reasons may hold of one row.
    matches(row, place, value) {
      return place === this.at.why ? row[place].split(" ").includes(value) : row[place] === value;
    }

    turn(step) {
      this.page += step;
      this.show();
      this.table.scrollIntoView({ block: "nearest" });
    }

    show() {
      const from = this.page * PAGE;
      const rows = this.found.slice(from, from + PAGE);
      this.table.tBodies[0].replaceChildren(...rows.flatMap((row) => this.render(row)));
      const all = this.found.length === this.all.length ? "" : ` of ${number(this.all.length)}`;
      this.count.textContent = rows.length
        ? `${number(from + 1)}–${number(from + rows.length)} of ${number(this.found.length)} shown${all && ", from" + all.slice(3)}`
        : `none found${all}`;
      this.back.setAttribute("aria-disabled", this.page === 0);
      this.next.setAttribute("aria-disabled", from + PAGE >= this.found.length);
    }

    render(row) {
      const cells = this.columns.map(({ field, as }) => this.cell(row, field, as));
      const line = make("tr", {}, ...cells);
      if (!this.open.has(row)) return [line];
      return [line, this.texts(row)];
    }

    cell(row, field, as) {
      const value = row[this.at[field]];
      if (field === "id") {
        const button = make("button", { class: "open", type: "button", "aria-expanded": String(this.open.has(row)) });
        button.append(said("span", { class: "name" }, short(value, 80)));
        button.addEventListener("click", () => this.toggle(button, row));
        return make("th", { scope: "row" }, button);
      }
      if (as) return make("td", { class: "n", text: SHOW[as](value) });
      if (value === null) return make("td", { class: "undef", text: "—" });
      if (field === "why") return make("td", { class: /failed|wrong/.test(value) ? "bad" : "", text: value.replaceAll(" ", ", ") });
      return said("td", { class: field === "error" ? "name long" : "name" }, short(value, 120));
    }

    toggle(button, row) {
      const line = button.closest("tr");
      if (this.open.delete(row)) line.nextElementSibling.remove();
      else { this.open.add(row); line.after(this.texts(row)); }
      button.setAttribute("aria-expanded", String(this.open.has(row)));
    }

    texts(row) {
      const get = (name) => row[this.at[name]];
      const cell = make("div", { class: "inner" });
      const facts = [get("model"), get("key"), get("repeat") ? `repeat ${get("repeat")}` : null, get("score") === null ? null : `score ${get("score")}`];
      cell.append(said("p", { class: "soft" }, facts.filter(Boolean).join(" · ")));
      for (const [name, title] of [["error", "Error"], ["prompt", "Prompt"], ["expect", "Expected"], ["text", "Answer"]]) {
        const text = get(name);
        if (text === null) continue;
        cell.append(make("h4", { text: title }), text === "" ? make("p", { class: "soft", text: "empty" }) : said("div", { class: "said", tabindex: "0" }, text));
      }
      if (get("cut")) cell.append(make("p", { class: "soft", text: "Long texts are cut here; results.jsonl has them whole." }));
      return make("tr", { class: "texts" }, make("td", { colspan: this.columns.length }, cell));
    }
  }

  // ---- on paper everything folded is open, and closed again after ----
  const printing = () => {
    let opened = [];
    addEventListener("beforeprint", () => {
      opened = [...document.querySelectorAll("details:not([open])")];
      for (const fold of opened) fold.open = true;
    });
    addEventListener("afterprint", () => { for (const fold of opened) fold.open = false; });
  };

  for (const table of document.querySelectorAll("table[data-sortable]")) sortStatic(table);
  for (const section of document.querySelectorAll("section.prompts")) new Prompts(section);
  printing();
})();
