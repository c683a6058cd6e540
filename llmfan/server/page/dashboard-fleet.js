// From the document to rows: one a key, or a key and a model where it has several. No element is touched here.

import { clean, clock, countdown, exact, known, short } from "./dashboard-words.js";

/** As the status document has them, and one more: a ready key that has used up a window, which is no state there. */
export const FULL = "window full";
export const STATES = ["ready", FULL, "cooldown", "exhausted", "invalid", "missing"];

const QUOTA = /^(rpd|tpd)$|_per_(day|month)$/;
const isQuota = (axis) => QUOTA.test(axis);

/** Rows in the order of the providers file; figures of the moment beside what the status document says. */
export const entriesOf = (doc) => {
  const lanes = new Map((doc.keys ?? []).map((lane) => [name(lane.key, lane.model), lane]));
  const entries = [];
  for (const [provider, of] of Object.entries(doc.status?.quota_status ?? {})) {
    for (const key of of.keys ?? []) {
      const models = key.models ?? [{ ...key, model: of.models?.[0] ?? "" }];
      for (const each of models) {
        const lane = lanes.get(name(key.key, each.model));
        lanes.delete(name(key.key, each.model));
        entries.push(entry(provider, key, each, models.length > 1, lane));
      }
    }
  }
  for (const lane of lanes.values()) {
    entries.push(entry(lane.provider, lane, { ...lane, available_in_s: lane.back_in_s, limits: {} }, true, lane));
  }
  return entries;
};

const name = (key, model) => `${key}\n${model}`;

const entry = (provider, key, own, several, lane) => ({
  id: name(key.key, own.model), provider: clean(provider, 80), key: clean(key.key, 120), model: clean(own.model, 160),
  called: clean(several ? `${key.key} (${own.model})` : key.key, 120),
  ...standing(own, lane), until: own.until, doing: doing(own, lane), mask: clean(key.mask ?? "", 40),
  shares: (key.shares_with ?? []).map((each) => clean(each, 80)),
  limits: Object.entries(own.limits ?? {}).map(([axis, limit]) => limitOf(axis, limit, own.state === "missing")),
  flying: lane?.in_flight, ok: lane?.ok, failed: lane?.failed, refused: lane?.rate_limited, p50: lane?.latency_p50_s,
});

/** Shorter waits are the pace of a key that is at work. Seconds. */
const LEAST_WAIT = 1;

/** A key is full while all that waits for it has to wait: by the live fleet's word, or where a limit is used to its end. */
const standing = (own, lane) => {
  const waits = own.state === "ready" && (lane?.state === "waits" ? lane.back_in_s : own.available_in_s);
  const full = known(waits) && waits >= LEAST_WAIT;
  return { state: full ? FULL : clean(own.state, 20), why: reason(own), wait: full ? waits : own.state === "ready" ? null : own.available_in_s };
};

/** What the document says besides the state; `ok` and the state itself again say nothing. */
const reason = (own) => {
  const why = own.why ?? "";
  return why === "ok" || why === own.state ? "" : clean(why.startsWith(`${own.state}: `) ? why.slice(own.state.length + 2) : why);
};

/** What holds a ready key's next request back just now, which is no state of the key. */
const doing = (own, lane) => {
  if (own.state !== "ready") return "";
  if (lane?.state === "waits") return clean(lane.why ?? "");
  if (own.available_in_s >= LEAST_WAIT) return Object.entries(own.limits ?? {}).filter(([axis, limit]) => !isQuota(axis) && limit.left < 1).map(([axis]) => axisName(axis)).join(", ");
  if (!lane) return "";
  const word = ["ready", "idle", own.state].includes(lane.state) ? "" : clean(lane.state, 40);
  return [word, lane.why === "ok" ? "" : clean(lane.why ?? "")].filter(Boolean).join(": ");
};

const limitOf = (axis, limit, missing) => ({
  axis, ...limit, quota: isQuota(axis), share: missing ? null : share(limit),
  source: known(limit.reported) ? "reported" : known(limit.declared) ? "declared" : known(limit.measured) ? "measured" : "",
});

const share = (limit) => {
  if (!known(limit.used) || !known(limit.in_force)) return null;
  return limit.in_force > 0 ? Math.min(1, limit.used / limit.in_force) : 1;
};

/** `requests_per_month` → `req/month`. */
export const axisName = (axis, brief = true) => {
  const text = clean(axis, 40).replace("_per_", "/").replaceAll("_", " ");
  return brief ? text.replace("requests", "req").replace("tokens", "tok") : text;
};

/** Nobody declared or reported it. */
export const isLearned = (limit) => known(limit.in_force) && limit.source === "measured";

/** `/1,000`, `/≈28` where it is only measured. */
export const allowedOf = (limit) =>
  known(limit.in_force) ? `/${isLearned(limit) ? "≈" : ""}${short(limit.in_force)}` : "no limit known";

/** All there is to say of a limit in one line. */
export const limitWords = (limit) => {
  const parts = [`${exact(limit.used)} used of ${known(limit.in_force) ? exact(limit.in_force) : "no limit known"}`];
  for (const source of ["reported", "declared", "measured"]) {
    if (known(limit[source])) parts.push(`${source} ${exact(limit[source])}${source === limit.source ? " (in force)" : ""}`);
  }
  if (isLearned(limit)) parts.push("learned from what was let through and refused, not declared: more may pass");
  if (limit.used && known(limit.resets_in_s)) {
    parts.push(`resets in ${countdown(limit.resets_in_s)}${limit.quota && limit.resets_at ? `, at ${clock(limit.resets_at, false)}` : ""}`);
  }
  if (limit.shared_with?.length) parts.push(`shared with ${limit.shared_with.map((each) => clean(each, 80)).join(", ")}`);
  return parts.join("; ");
};

const fullest = (quota) => (entry) =>
  entry.limits.reduce((most, each) => (each.quota === quota && known(each.share) ? Math.max(most ?? 0, each.share) : most), null);

/** What a column is sorted by. */
export const VALUES = {
  key: (entry) => entry.id,
  state: (entry) => STATES.indexOf(entry.state) * 1e9 + (known(entry.wait) ? Math.ceil(entry.wait) : 9e8),
  pace: fullest(false),
  quota: fullest(true),
  flying: (entry) => entry.flying,
  ok: (entry) => entry.ok,
  failed: (entry) => entry.failed,
  refused: (entry) => entry.refused,
  p50: (entry) => entry.p50,
};

/** The undefined last, whichever way; equals stay as they stood. */
export const ordered = (entries, field, down) => {
  const none = (value) => value === null || value === undefined;
  const value = new Map(entries.map((each) => [each, VALUES[field](each)]));
  return [...entries].sort((one, other) => {
    const [a, b] = [value.get(one), value.get(other)];
    if (none(a) || none(b)) return none(a) - none(b);
    const order = typeof a === "number" ? a - b : a.localeCompare(b, "en", { numeric: true });
    return down ? -order : order;
  });
};

/** What has changed in words that can be read aloud; many at once are counted. */
export const changesOf = (before, entries) => {
  const heard = (state) => (state === FULL ? "ready" : state); // windows fill and empty all the time
  const changed = entries.filter((each) => before.has(each.id) && heard(before.get(each.id)) !== heard(each.state));
  if (changed.length <= 3) return changed.map(said);
  const counts = STATES.map((state) => [changed.filter((each) => each.state === state).length, state]);
  const words = counts.filter(([count]) => count).map(([count, state]) => `${count} ${IS[state]}`);
  return [`${changed.length} keys have changed: ${words.join(", ")}`];
};

const IS = { ready: "ready again", [FULL]: "ready, with its window full", cooldown: "in cooldown", exhausted: "exhausted", invalid: "invalid", missing: "not set" };

const said = (entry) => {
  const wait = known(entry.wait) ? `, back in ${countdown(entry.wait)}` : "";
  return `${entry.called} is ${IS[entry.state] ?? entry.state}${wait}${entry.state === "invalid" && entry.why ? `: ${entry.why}` : ""}`;
};
