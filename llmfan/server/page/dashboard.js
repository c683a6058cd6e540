// The page as a whole: it listens, hands each document on, counts down between two of them, and says what has changed.

import { Chart, LATENCY, THROUGHPUT } from "./dashboard-charts.js";
import { changesOf, entriesOf } from "./dashboard-fleet.js";
import { KeyTable } from "./dashboard-rows.js";
import { Stream } from "./dashboard-stream.js";
import { showFailures, showTotals } from "./dashboard-totals.js";
import { clean, clock, known, put, set, spell, whole } from "./dashboard-words.js";

const SPOKEN_EVERY_MS = 4000;
const by = (id) => document.getElementById(id);

/** Where they are, and how they are looked at: the page is gone at the next reload. */
const results = (folder) => (folder ? ` Its results are in ${clean(folder, 400)}; llmfan report ${quoted(clean(folder, 400))} sums them up.` : "");
const quoted = (path) => (/^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`);

class Page {
  constructor() {
    this.keys = new KeyTable(by("keys"), by("filter"), by("no-key"), by("learned"));
    this.charts = { throughput: new Chart(by("throughput"), THROUGHPUT), latency: new Chart(by("latency"), LATENCY) };
    this.states = new Map();
    this.said = -SPOKEN_EVERY_MS;
    this.lost = "";
    this.over = false;
    this.paused = false;
    this.doc = null;
    by("pause").addEventListener("click", () => this.pause());
    setInterval(() => this.tick(), 250);
  }

  receive(doc) {
    this.doc = doc;
    this.received = performance.now();
    this.lost = "";
    this.over = false;
    if (!this.paused) this.show();
    this.tell();
  }

  lose(words) {
    this.lost = this.over ? "The server has been stopped; waiting for another." : words;
    this.tell();
  }

  end() {
    this.over = true;
    this.lost = "The server has been stopped.";
    this.tell();
  }

  show() {
    const { doc } = this;
    this.shown = doc;
    this.head(doc);
    showTotals(doc);
    for (const chart of Object.values(this.charts)) chart.show(doc.minutes);
    const entries = entriesOf(doc);
    this.keys.show(entries, this.received);
    showFailures(doc.failures ?? []);
    this.speak(entries);
  }

  head(doc) {
    put(by("what"), doc.what === "run" ? "run" : "serve");
    const speed = known(doc.speed) && doc.speed !== 1 ? `, ${doc.speed} times as fast` : "";
    put(by("simulated"), `simulated${speed}: nothing is sent to any provider`);
    by("simulated").hidden = !doc.simulated;
    put(by("facts"), `as of ${clock(doc.at)}, running for ${spell(doc.uptime_s)}`);
    const { done, total } = doc.now ?? {};
    document.title = known(total) && total > 0 ? `${Math.floor((100 * done) / total)} % – llmfan run` : `${whole(doc.now?.in_flight)} in flight – llmfan serve`;
  }

  /** State changes only, and not more often than one can listen to; what changes back in between is not said. */
  speak(entries) {
    const now = performance.now();
    if (this.states.size && now - this.said < SPOKEN_EVERY_MS) return;
    const changes = changesOf(this.states, entries);
    this.states = new Map(entries.map((entry) => [entry.id, entry.state]));
    if (!changes.length) return;
    this.said = now;
    put(by("changes"), `${clock(this.doc.at)} ${changes.join("; ")}`);
  }

  pause() {
    this.paused = !this.paused;
    set(by("pause"), "aria-pressed", String(this.paused));
    put(by("pause"), this.paused ? "Go on" : "Pause");
    if (!this.paused && this.doc) this.show();
    this.tell();
  }

  ended() {
    const { what, now } = this.doc ?? {};
    return what === "run" && (this.over || (known(now?.total) && now.done >= now.total));
  }

  /** What the reader has to know before any figure. */
  tell() {
    const parts = [];
    if (this.ended()) parts.push(`The run has ended: ${whole(this.doc.now.done)} of ${whole(this.doc.now.total)} done, ${whole(this.doc.now.failed)} failed.${results(this.doc.folder)}`);
    else if (this.lost) parts.push(`${this.lost}${this.shown ? ` The figures are of ${clock(this.shown.at)}.` : ""}`);
    if (this.paused && this.shown) parts.push(`Paused: the figures of ${clock(this.shown.at)} stand still.`);
    put(by("news"), parts.join(" "));
    const stale = Boolean(this.lost) && !this.ended();
    set(by("news"), "data-kind", stale ? "lost" : this.ended() ? "ended" : "paused");
    set(by("figures"), "data-stale", stale ? "" : null);
    if (stale) document.title = "connection lost – llmfan";
  }

  tick() {
    if (!this.paused && !this.lost && this.shown) this.keys.tick(performance.now());
  }
}

const page = new Page();
new Stream("events", { receive: (doc) => page.receive(doc), lose: (words) => page.lose(words), end: () => page.end() }).open();
