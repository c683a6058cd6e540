"""Where the batch's time went, and how much of what each key was allowed was used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from llmfan.outputs.html.charts import Spec, busiest, chart, cut, label, layer, one_a_row, rounded, spec, tooltip
from llmfan.outputs.html.markup import UNDEFINED, Column, cell, fold, name, row, table, text, words
from llmfan.outputs.html.page import Allowance, KeyUse, RunPage
from llmfan.outputs.html.spelling import number, read, share, span
from llmfan.units import DAY, HOUR, MINUTE, MONTH

ROWS = 24
_PARTS = (
    ("wait_s", "waiting for the limits", "var(--c5)"),
    ("retry_s", "attempts that failed", "var(--c4)"),
    ("latency_s", "the provider", "var(--c1)"),
)
_LOST = {
    "learning_s": "finding out a limit", "retries_s": "retries", "cooldowns_s": "rests after refusals",
    "spacing_s": "even spacing", "stragglers_s": "the last answers", "client_s": "llmfan itself",
}  # fmt: skip
_COLUMNS = (
    Column("key"),
    Column("in use", True, True, "share of the run in which a request was in flight"),
    Column("tries", True, True),
    Column("429s", True, True),
    Column("answering", True, True, "summed over requests"),
    Column("failing", True, True, "summed over requests"),
    Column("limits: used of allowed"),
)
_PERIODS = {1.0: "second", MINUTE: "minute", HOUR: "hour", DAY: "day", MONTH: "month"}


def time_spent(run: RunPage, ident: str) -> Iterator[str]:
    """The mean answer's time, cut into its three parts."""
    entries = [e for e in run.summary.get("providers") or [] if (e.get("latency_s") or {}).get("n")]
    if not entries:
        yield '<p class="undef">No answer, so no time to share out.</p>\n'
        return
    shown = busiest({str(e["name"]): float(e["latency_s"]["n"]) for e in entries}, ROWS)
    by_name = {str(e["name"]): e for e in entries}
    rows = [(label(n), by_name[n]) for n in shown]
    if len(entries) > 1:
        rows.insert(0, ("all", run.summary))
    said = "The mean time of an answer, from when it could have been sent to its last byte."
    said += cut(len(shown), len(entries), "with the most answers")
    yield from chart(f"{ident}-spent", said, {"": _spent(rows)})
    yield _lost(run.summary)


def _spent(rows: list[tuple[str, Mapping[str, Any]]]) -> Spec:
    values = [
        {"who": who, "part": part, "rank": rank, "value": rounded(mean), "said": span(mean)}
        for who, entry in rows
        for rank, (figure, part, _) in enumerate(_PARTS)
        if (mean := (entry.get(figure) or {}).get("mean")) is not None
    ]
    scale = {"domain": [part for _, part, _ in _PARTS], "range": [colour for _, _, colour in _PARTS]}
    return spec(
        "Mean time of an answer by provider: waiting for limits, failed attempts, the provider",
        26 * len(rows),
        data={"values": values},
        mark={"type": "bar", "height": 16},
        encoding={
            "y": one_a_row(),
            "x": {"field": "value", "type": "quantitative", "title": "seconds", "stack": "zero"},
            "order": {"field": "rank"},
            "color": {"field": "part", "type": "nominal", "title": None, "scale": scale},
            "tooltip": tooltip(who="provider", part="time with", said="mean"),
        },
    )


def _lost(summary: Mapping[str, Any]) -> str:
    """What kept the run from its ideal duration, the largest part first."""
    lost = (summary.get("totals") or {}).get("lost") or {}
    parts = sorted(((value, _LOST.get(key, key)) for key, value in lost.items() if value and value > 0), reverse=True)
    ideal, duration = read(summary, "ideal_duration_s"), read(summary, "duration_s")
    if ideal is None or duration is None:
        return ""
    more = "; over that went to " + ", ".join(f"{text(what)} {span(value)}" for value, what in parts) if parts else ""
    return f"<p>The limits permit these jobs in {span(ideal)} at best; the run took {span(duration)}{more}.</p>\n"


def key_use(run: RunPage, ident: str) -> Iterator[str]:
    """The fullest limits as bars, each key's whole account in a folded table."""
    if not run.keys:
        yield '<p class="undef">Nothing is known of the keys.</p>\n'
        return
    bars = [(key, a, a.used / a.allowed) for key in run.keys for a in key.allowances if a.allowed]
    bars.sort(key=lambda bar: -bar[2])
    if bars:
        said = "Used, of what each limit allowed while the run went; a full bar held its key back."
        said += cut(min(ROWS, len(bars)), len(bars), "fullest limits")
        yield from chart(f"{ident}-used", said, {"": _used(bars[:ROWS])})
    else:
        yield '<p class="undef">No key has a limit that is known.</p>\n'
    duration = read(run.summary, "duration_s")
    yield from fold("Every key", table("What each key did", _COLUMNS, (_key(key, duration) for key in run.keys)))


def _used(bars: list[tuple[KeyUse, Allowance, float]]) -> Spec:
    values = [
        {
            "who": f"{label(key.key)} · {label(a.axis)}",
            "bar": min(1.0, rounded(part)),
            "said": f"{share(part)} · {number(a.used)} of {number(a.allowed)}",
            "limit": _limit(a),
        }
        for key, a, part in bars
    ]
    scale = {"domain": [0, 1]}
    x = {"field": "bar", "type": "quantitative", "title": None, "axis": {"format": ".0%"}, "scale": scale}
    bar = layer("bar", {"x": x}, height=16, color="var(--c1)", opacity=0.4)
    said = layer("text", {"x": {"value": 0}, "text": {"field": "said"}}, align="left", dx=5, fontSize=11)
    return spec(
        "Used of what was allowed, by key and limit",
        24 * len(bars),
        data={"values": values},
        encoding={"y": one_a_row(), "tooltip": tooltip(who="limit", limit="is", said="used")},
        layer=[bar, said],
    )


def _limit(a: Allowance) -> str:
    if a.period_s is None:
        return number(a.limit)
    return f"{number(a.limit)} a {_PERIODS.get(a.period_s) or span(a.period_s)}"


def _key(key: KeyUse, duration: float | None) -> str:
    busy = min(1.0, key.busy_s / duration) if duration else None
    refused = key.rate_limited / key.attempts if key.rate_limited and key.attempts else None
    cells = [
        UNDEFINED if busy is None else cell(share(busy), sort=busy, share=busy),
        cell(number(key.attempts), sort=key.attempts),
        cell(number(key.rate_limited), sort=key.rate_limited, share=refused, worse=True),
        cell(span(key.serving_s), sort=key.serving_s),
        cell(span(key.failing_s), sort=key.failing_s),
        words("<br>".join(map(_allowance, key.allowances)) or "—"),
    ]
    return row(name(key.key), cells)


def _allowance(a: Allowance) -> str:
    used = f"{text(a.axis)} {_limit(a)}: {number(a.used)}"
    return f"{used} of {number(a.allowed)} <small>{share(a.used / a.allowed)}</small>" if a.allowed else used
