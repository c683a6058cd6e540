// The totals above the table, and the failures below it.

import { clean, clock, dollars, exact, known, make, NONE, percent, put, rate, set, short, spell, whole } from "./dashboard-words.js";

const by = (id) => document.getElementById(id);
const FIGURES = {};
for (const element of document.querySelectorAll("[data-figure]")) FIGURES[element.dataset.figure] = element;

export const showTotals = (doc) => {
  const now = doc.now ?? {};
  const waiting = now.waiting ?? {};
  const each = ["interactive", "batch"].filter((kind) => known(waiting[kind]));
  figure("in_flight", whole(now.in_flight));
  figure("waiting", short(each.length ? each.reduce((sum, kind) => sum + waiting[kind], 0) : null));
  figure("waiting_note", each.length > 1 ? `${short(waiting.interactive)} interactive` : "", each.map((kind) => `${exact(waiting[kind])} ${kind}`).join(", "));
  figure("requests_per_s", rate(now.requests_per_s));
  figure("output_tokens_per_s", known(now.output_tokens_per_s) ? short(Math.round(now.output_tokens_per_s)) : rate(null));
  for (const name of ["latency_p50_s", "latency_p95_s", "ttft_p50_s"]) figure(name, spell(now[name]));
  figure("ok", short(now.ok), exact(now.ok));
  figure("tokens_note", known(now.output_tokens) ? `${short(now.output_tokens)} tokens` : "", `${exact(now.input_tokens)} tokens in, ${exact(now.output_tokens)} out`);
  figure("failed", short(now.failed), exact(now.failed));
  set(FIGURES.failed, "data-bad", now.failed ? "" : null);
  figure("failed_note", now.done > 0 && known(now.failed) ? `${percent(now.failed / now.done)} of ${short(now.done)}` : "");
  figure("attempts", short(now.attempts), exact(now.attempts));
  const others = [now.rate_limited > 0 ? `${short(now.rate_limited)} refused (429)` : "", now.attempts_failed > 0 ? `${short(now.attempts_failed)} failed` : ""];
  figure("attempts_note", others.filter(Boolean).join(", "), "A call may take several attempts: only one that nobody answered counts as failed");
  figure("cost_usd", dollars(now.cost_usd));
  showProgress(now);
};

const figure = (name, text, title = null) => {
  put(FIGURES[name], text);
  set(FIGURES[name], "title", title === text ? null : title);
};

const showProgress = (now) => {
  const there = known(now.total) && known(now.done);
  by("progress").hidden = !there;
  if (!there) return;
  set(by("bar"), "max", Math.max(1, now.total));
  set(by("bar"), "value", now.done);
  const part = now.total > 0 ? `${exact(now.done)} of ${exact(now.total)} (${percent(now.done / now.total)})` : "nothing to do";
  put(by("progress-words"), now.done >= now.total ? `${part}` : `${part}, ${left(now)}`);
};

/** At the rate of the last minute, if there was any. */
const left = (now) =>
  now.ended_per_s > 0 ? `about ${spell((now.total - now.done) / now.ended_per_s)} left` : `time left ${NONE}`;

export const showFailures = (failures) => {
  const table = by("failures");
  table.hidden = !failures.length;
  by("no-failure").hidden = Boolean(failures.length);
  put(by("no-failure"), "None so far.");
  const body = table.tBodies[0];
  while (body.rows.length > failures.length) body.lastElementChild.remove();
  failures.forEach((failure, place) => showFailure(body.rows[place] ?? body.appendChild(blank()), failure));
};

const blank = () =>
  make(
    "tr", { role: "row" },
    make("td", { role: "cell", class: "time" }),
    make("th", { role: "rowheader", scope: "row", class: "who", dir: "auto" }),
    make("td", { role: "cell", class: "kind" }),
    make("td", { role: "cell", class: "n status" }),
    make("td", { role: "cell", class: "message" }, make("div", { dir: "auto" })),
  );

const showFailure = (row, failure) => {
  const [time, who, kind, status, message] = row.cells;
  put(time, clock(failure.at));
  set(time, "title", clean(failure.at, 40));
  const place = clean(failure.key || failure.provider || "", 120);
  put(who, [place, clean(failure.model ?? "", 160)].filter(Boolean).join(" · ") || NONE);
  set(who, "title", `${who.textContent}, call ${clean(failure.id, 120)}`);
  put(kind, clean(failure.kind, 60).replaceAll("_", " "));
  put(status, whole(failure.http_status));
  put(message.firstChild, clean(failure.message, 600) || NONE);
  set(message, "title", message.textContent);
  set(message, "data-none", failure.message ? null : "");
};
