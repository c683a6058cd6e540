"""Speed against quality against cost. What has no accuracy or no price is named as such, and never drawn at 0."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llmfan.outputs.html.charts import Spec, chart, choice, label, rounded, spec
from llmfan.outputs.html.markup import name
from llmfan.outputs.html.page import RunPage
from llmfan.outputs.html.spelling import money, number, read, share, span

Entry = Mapping[str, Any]
ROWS = 40
_SPEEDS = {
    "latency_p50": "latency p50, seconds (left is faster)",
    "ttft_p50": "TTFT p50, seconds (left is faster)",
    "output_tokens_per_s": "output tokens a second (right is faster)",
}


def trade_off(run: RunPage, ident: str) -> Iterator[str]:
    """Accuracy upwards where it was graded, else the cost; with neither there is nothing to weigh."""
    entries = _entries(run)
    graded = [e for e in entries if read(e, "accuracy") is not None]
    priced = [e for e in entries if _each(e) is not None]
    if graded:
        words = "Upwards is more often right, with the 95 % interval; the size of a point is its cost an answer."
        drawn, rank = graded, "accuracy"
    elif priced:
        words = "Nothing was graded, so there is no accuracy: upwards is the cost of an answer."
        drawn, rank = priced, "cost"
    else:
        yield '<p class="undef">Nothing was graded and no price is known, so there is no quality and no cost to set against speed.</p>\n'
        return
    drawn = [e for e in drawn if read(e, "latency_p50") is not None][:ROWS]
    left_out = [str(e["name"]) for e in entries if e not in drawn]
    yield choice("Speed", [f"{ident}-weigh"], {key: title for key, title in _SPEEDS.items()})
    yield from chart(
        f"{ident}-weigh",
        words + _unpriced(graded),
        {key: _scatter(drawn, key, title, rank) for key, title in _SPEEDS.items()},
    )
    if left_out:
        yield f'<p class="soft">Not drawn, for want of {"an accuracy" if rank == "accuracy" else "a price"} or an answer: {", ".join(map(name, left_out[:30]))}{" …" if len(left_out) > 30 else ""}.</p>\n'


def _entries(run: RunPage) -> list[Entry]:
    """Providers; models where there is one provider only."""
    providers = [e for e in run.summary.get("providers") or [] if read(e, "ok")]
    models = [e for e in run.summary.get("models") or [] if read(e, "ok")]
    return models if len(providers) <= 1 and len(models) > 1 else providers


def _each(entry: Entry) -> float | None:
    """The cost of an answer, where the price of every one is known."""
    cost, ok = read(entry, "cost_usd"), read(entry, "ok")
    return cost / ok if cost is not None and ok and not read(entry, "cost_unknown") else None


def _unpriced(entries: Sequence[Entry]) -> str:
    unknown = [e for e in entries if _each(e) is None]
    if not unknown:
        return ""
    return (
        " No price is known, so all points are of one size."
        if len(unknown) == len(entries)
        else " A hollow square: its price is not known."
    )


def _scatter(entries: Sequence[Entry], speed: str, title: str, rank: str) -> Spec:
    values = [value for e in entries if (value := _point(e, speed, rank))]
    priced = any(v["price"] == "known" for v in values)
    y: Spec = {"field": "up", "type": "quantitative", "scale": {"zero": rank == "cost", "nice": True}}
    y |= {"title": "accuracy", "axis": {"format": ".0%"}} if rank == "accuracy" else {"title": "USD an answer"}
    x = {"field": "x", "type": "quantitative", "title": title, "scale": {"zero": True, "nice": True}}
    tip = [
        {"field": f, "type": "nominal", "title": t}
        for f, t in (("who", "of"), ("speed", "speed"), ("right", "accuracy"), ("cost", "an answer"), ("n", "answers"))
    ]
    size: Spec = {"field": "each", "type": "quantitative", "scale": {"range": [80, 700], "zero": True}, "legend": None}
    points: Spec = {
        "mark": {"type": "point", "filled": True, "opacity": 0.75, "color": "var(--c1)", "stroke": "var(--c1)"},
        "transform": [{"filter": {"field": "price", "equal": "known"}}], "encoding": {"size": size},
    }  # fmt: skip
    hollow: Spec = {
        "mark": {
            "type": "point",
            "filled": False,
            "size": 110,
            "shape": "square",
            "color": "var(--c1)",
            "strokeWidth": 2,
        },
        "transform": [{"filter": {"field": "price", "equal": "unknown"}}],
    }
    names: Spec = {
        "mark": {"type": "text", "align": "left", "dx": 11, "dy": -8, "fontSize": 12},
        "encoding": {"text": {"field": "who"}},
    }
    layers = [*([points] if priced else []), hollow, names]
    if rank == "accuracy":
        bar = {
            "mark": {"type": "rule", "opacity": 0.6, "strokeWidth": 1.5},
            "encoding": {"y": {**y, "field": "low"}, "y2": {"field": "high"}},
        }
        layers.insert(0, bar)
    encoding = {"x": x, "y": y, "tooltip": tip}
    return spec(f"{title}, against {rank}", 300, data={"values": values}, encoding=encoding, layer=layers)


def _point(entry: Entry, speed: str, rank: str) -> dict[str, Any] | None:
    x, accuracy, each = read(entry, speed), read(entry, "accuracy"), _each(entry)
    up = accuracy if rank == "accuracy" else each
    if x is None or up is None:
        return None
    low, high = read(entry, "accuracy_low"), read(entry, "accuracy_high")
    return {
        "who": label(str(entry["name"])), "x": rounded(x), "up": rounded(up), "low": low, "high": high, "each": each,
        "price": "unknown" if each is None else "known", "speed": number(x) + " /s" if speed.endswith("per_s") else span(x),
        "right": share(accuracy), "cost": "unknown" if each is None else money(each), "n": number(read(entry, "ok")),
    }  # fmt: skip
