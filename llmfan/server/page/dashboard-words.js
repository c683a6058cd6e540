// Words and figures as `llmfan status` has them, and the few things done to elements. Whatever a provider, a model or a
// caller said becomes a text node, never markup, with what cannot be seen made visible.

export const NONE = "—";

// C0, DEL and C1; what has no width or turns the direction; separators; tags; lone surrogates.
// eslint-disable-next-line no-control-regex
const HARMFUL = /[\u0000-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff\u{e0000}-\u{e0fff}]/gu;

const visible = (char) => {
  const code = char.codePointAt(0);
  if (code < 0x100) return `\\x${code.toString(16).padStart(2, "0")}`;
  return code < 0x10000 ? `\\u${code.toString(16).padStart(4, "0")}` : `\\U${code.toString(16).padStart(8, "0")}`;
};

export const clean = (text, most = 600) => {
  const whole = String(text ?? "");
  const head = whole.slice(0, most).replace(HARMFUL, visible);
  return whole.length > most ? `${head}…` : head;
};

// ---------------------------------------------------------------- figures: what is undefined is a dash, never 0

export const known = (value) => typeof value === "number" && Number.isFinite(value);

const GROUPED = new Intl.NumberFormat("en", { maximumFractionDigits: 6 });
const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** `7.5`, `30`, `1,319`, `14.4k`, `2M`. */
export const short = (value) => {
  if (!known(value)) return NONE;
  for (const [size, unit, letter] of [[1e9, 1e9, "G"], [1e6, 1e6, "M"], [1e4, 1e3, "k"]]) {
    if (value >= size) return (value / unit).toFixed(1).replace(/\.0$/, "") + letter;
  }
  return value < 10 && value % 1 ? value.toFixed(1) : WHOLE.format(value);
};

export const whole = (value) => (known(value) ? WHOLE.format(value) : NONE);
export const exact = (value) => (known(value) ? GROUPED.format(value) : NONE);

/** A rate a second: two digits at least, so that slow fleets are not all `0.0`. */
export const rate = (value) => {
  if (!known(value)) return NONE;
  if (value === 0) return "0";
  return value < 0.1 ? value.toPrecision(2) : value < 100 ? value.toFixed(value < 10 ? 2 : 1) : short(value);
};

export const percent = (part) => {
  if (!known(part)) return NONE;
  const rounded = Math.round(part * 100);
  if (part > 0 && part < 0.0095) return part < 0.0005 ? "<0.1 %" : `${(part * 100).toFixed(1)} %`;
  return rounded === 100 && part < 1 ? `${Math.min(part * 100, 99.9).toFixed(1)} %` : `${rounded} %`;
};

/** `$1.2300`, `$0.000018`: four decimals, and two digits of what is less. */
export const dollars = (value) => {
  if (!known(value)) return NONE;
  if (value >= 0.01 || value <= 0) return `$${value.toFixed(4)}`;
  return `$${value.toFixed(Math.min(12, 1 - Math.floor(Math.log10(value))))}`;
};

// ---------------------------------------------------------------- time

const two = (value) => String(value).padStart(2, "0");

/** `0.84 s`, `12 s`, `5 m 12 s`, `3 h 20 m`, `2 d 4 h`. */
export const spell = (seconds) => {
  if (!known(seconds)) return NONE;
  if (seconds < 1) return `${Math.max(0, seconds).toFixed(2)} s`;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  return long(Math.round(seconds));
};

const long = (s) => {
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} m ${two(s % 60)} s`;
  if (s < 2 * 86400) return `${Math.floor(s / 3600)} h ${two(Math.floor((s % 3600) / 60))} m`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
};

/** Whole seconds, rounded up: a wait that has not ended is never `0 s`. */
export const countdown = (seconds) => long(Math.max(0, Math.ceil(seconds)));

/** The time of day where the reader is. */
export const clock = (iso, seconds = true) => {
  const at = new Date(iso);
  if (Number.isNaN(at.getTime())) return NONE;
  return `${two(at.getHours())}:${two(at.getMinutes())}${seconds ? `:${two(at.getSeconds())}` : ""}`;
};

// ---------------------------------------------------------------- elements: touched only where something has changed

export const make = (tag, given = {}, ...children) => fill(document.createElement(tag), given, children);

const SVG = document.querySelector("svg").namespaceURI;
export const draw = (tag, given = {}, ...children) => fill(document.createElementNS(SVG, tag), given, children);

const fill = (element, given, children) => {
  for (const [name, value] of Object.entries(given)) {
    if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
};

export const put = (element, text) => {
  if (element.textContent !== text) element.textContent = text;
};

export const set = (element, name, value) => {
  if (value === null || value === undefined || value === false) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
  } else if (element.getAttribute(name) !== String(value)) {
    element.setAttribute(name, String(value));
  }
};

/** The shape of a state, beside its word: none is told from another by its colour alone. */
const SHAPES = {
  ready: "M6 1.5a4.5 4.5 0 1 0 0 9a4.5 4.5 0 1 0 0-9z",
  "window full": "M6 1.5a4.5 4.5 0 1 0 0 9a4.5 4.5 0 1 0 0-9zM6 3a3 3 0 0 1 0 6z",
  cooldown: "M2 1h8v1.5L7 6l3 3.5V11H2V9.5L5 6L2 2.5z",
  exhausted: "M1.5 1.5h9v9h-9z",
  invalid: "M2.6 1L6 4.4L9.4 1L11 2.6L7.6 6L11 9.4L9.4 11L6 7.6L2.6 11L1 9.4L4.4 6L1 2.6z",
  missing: "M6 1.5a4.5 4.5 0 1 0 0 9a4.5 4.5 0 1 0 0-9zM6 3a3 3 0 1 1 0 6a3 3 0 1 1 0-6z",
};
const OTHER = "M6 1L11 6L6 11L1 6z";

export const shape = () => draw("svg", { class: "shape", viewBox: "0 0 12 12", "aria-hidden": "true" }, draw("path", { "fill-rule": "evenodd" }));
export const reshape = (mark, state) => set(mark.firstChild, "d", Object.hasOwn(SHAPES, state) ? SHAPES[state] : OTHER);
