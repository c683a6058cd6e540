"""How long answers took: for each provider its spread in one line, and the share answered within a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llmfan.measures.metrics import DISTRIBUTIONS, Metric
from llmfan.outputs.html.charts import (
    LINES,
    SERIES,
    Spec,
    busiest,
    chart,
    choice,
    colours,
    cut,
    dashes,
    label,
    layer,
    one_a_row,
    palette,
    rounded,
    spec,
    tooltip,
)
from llmfan.outputs.html.page import Histogram, RunPage
from llmfan.outputs.html.spelling import number, share, span

#: Rows of the spread; a longer chart is a table, and there is one.
ROWS = 30
EVERYBODY = "all"
_SPREAD = "Each line goes from the median (dot) over p95 (bar) to p99 (its end)."
_WITHIN = "Share of the answers within so many seconds: left is faster, steep is steady."


def speed(run: RunPage, ident: str) -> Iterator[str]:
    entries = [e for e in run.summary.get("providers") or [] if _count(e)]
    metrics = [m for m in DISTRIBUTIONS if (run.summary.get(m.name) or {}).get("n")]
    if not metrics:
        yield '<p class="undef">No answer, so no latency.</p>\n'
        return
    shown = busiest({str(e["name"]): _count(e) for e in entries}, ROWS)
    spreads = {m.name: _spread(run.summary, entries, shown, m) for m in metrics}
    yield choice("Figure", [f"{ident}-spread", f"{ident}-within"], {m.name: m.title for m in metrics})
    yield '<div class="pair">\n'
    yield from chart(f"{ident}-spread", _SPREAD + cut(len(shown), len(entries), "with the most answers"), spreads)
    curves = _curves(run, metrics)
    if curves:
        drawn = min(SERIES, len(entries))
        yield from chart(f"{ident}-within", _WITHIN + cut(drawn, len(entries), "with the most answers"), curves)
    yield "</div>\n"


def _count(entry: Mapping[str, Any]) -> float:
    return float((entry.get("latency_s") or {}).get("n") or 0)


def _spread(
    summary: Mapping[str, Any], entries: Sequence[Mapping[str, Any]], shown: Sequence[str], metric: Metric
) -> Spec:
    by_name = {str(e["name"]): e for e in entries}
    rows = [_quantiles(label(n), by_name[n].get(metric.name)) for n in shown]
    values = [row for row in rows if row]
    whole = _quantiles(EVERYBODY, summary.get(metric.name))
    if whole and len(values) != 1:
        values.insert(0, whole)
    x = {"type": "quantitative", "title": f"{metric.title}, seconds", "scale": {"zero": True, "nice": True}}
    p50, p95 = {**x, "field": "p50"}, {**x, "field": "p95"}
    return spec(
        f"{metric.title} by provider: median, p95 and p99",
        26 * max(1, len(values)),
        data={"values": values},
        encoding={
            "y": one_a_row(),
            "tooltip": tooltip(who="provider", said50="p50", said95="p95", said99="p99", n="n"),
        },
        layer=[
            layer("rule", {"x": p50, "x2": {"field": "p99"}}, strokeWidth=3, opacity=0.55, color="var(--c1)"),
            layer("tick", {"x": p95}, thickness=3, size=14, color="var(--c2)"),
            layer("point", {"x": p50}, filled=True, size=90, opacity=1, color="var(--c1)"),
        ],
    )


def _quantiles(who: str, figures: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if not figures or figures.get("p50") is None:
        return None
    points = {q: rounded(figures[q]) for q in ("p50", "p95", "p99") if figures.get(q) is not None}
    said = {f"said{q[1:]}": span(figures.get(q)) for q in ("p50", "p95", "p99")}
    return {"who": who, "n": number(figures.get("n")), **points, **said}


def _curves(run: RunPage, metrics: Sequence[Metric]) -> dict[str, Spec]:
    found: dict[str, Spec] = {}
    order = palette(run.summary)
    for metric in metrics:
        mine = [h for h in run.histograms if h.metric == metric.name and h.bins]
        one_each = {h.provider or EVERYBODY: h for h in mine}
        if len(one_each) > 1:
            one_each.pop(EVERYBODY, None)
        names = [n for n in order[:SERIES] if n in one_each] or list(one_each)[:SERIES]
        if names:
            found[metric.name] = _within(metric, {name: one_each[name] for name in names}, order)
    return found


def _within(metric: Metric, histograms: Mapping[str, Histogram], order: Sequence[str]) -> Spec:
    names = list(histograms)
    values = [point for name, h in histograms.items() for point in _steps(label(name), h)]
    low = min(h.bins[0][0] for h in histograms.values())
    high = max(h.bins[-1][1] for h in histograms.values())
    scale = {"type": "log", "nice": False} if low > 0 and high / low > 50 else {"zero": low < high / 4, "nice": True}
    who = {"field": "who", "type": "nominal", "title": None}
    encoding = {
        "x": {"field": "at", "type": "quantitative", "title": f"{metric.title}, seconds", "scale": scale},
        "y": {"field": "share", "type": "quantitative", "title": None, "axis": {"format": ".0%"}},
        "color": {**who, "scale": colours(names, order), "legend": LINES},
        "order": {"field": "share"},
    }
    dashed = {"strokeDash": {**who, "scale": dashes(names, order), "legend": LINES}}
    tip = {"tooltip": tooltip(who="provider", part="within", said="share")}
    return spec(
        f"Share of the answers within a {metric.title}",
        max(220, 26 * (min(len(names), 12) + 1)),
        data={"values": values},
        encoding=encoding,
        layer=[
            layer("line", dashed, strokeWidth=2.25, clip=True),
            layer("point", tip, filled=True, size=70, opacity=0, aria=False),
        ],
    )


def _steps(who: str, histogram: Histogram) -> Iterator[dict[str, Any]]:
    """The cumulated share at the edge of each bin; an empty stretch between two bins is level."""
    total = sum(count for _, _, count in histogram.bins)
    passed, last = 0, None
    for start, end, count in histogram.bins:
        if start != last:
            yield _point(who, start, passed / total)
        passed, last = passed + count, end
        yield _point(who, end, passed / total)


def _point(who: str, at: float, part: float) -> dict[str, Any]:
    return {"who": who, "at": rounded(at), "share": round(part, 4), "part": span(at), "said": share(part)}
