"""Speed against quality against cost. What has no accuracy or no price is named as such, and never drawn at 0."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llmfan.outputs.html.charts import Spec, chart, choice, label, layer, rounded, spec, tooltip
from llmfan.outputs.html.markup import name
from llmfan.outputs.html.page import RunPage
from llmfan.outputs.html.spelling import money, number, read, share, span

Entry = Mapping[str, Any]
ROWS, NAMED = 40, 30
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
        said = "Upwards is more often right, with the 95 % interval; the size of a point is its cost an answer."
        drawn, rank, wanted = graded, "accuracy", "an accuracy"
    elif priced:
        said = "Nothing was graded, so there is no accuracy: upwards is the cost of an answer."
        drawn, rank, wanted = priced, "cost", "a price"
    else:
        yield '<p class="undef">Nothing was graded and no price is known: no quality and no cost to weigh.</p>\n'
        return
    drawn = [e for e in drawn if read(e, "latency_p50") is not None][:ROWS]
    left_out = [name(e["name"]) for e in entries if e not in drawn]
    specs = {key: _scatter(drawn, key, title, rank) for key, title in _SPEEDS.items()}
    yield choice("Speed", [f"{ident}-weigh"], _SPEEDS)
    yield from chart(f"{ident}-weigh", said + _unpriced(graded), specs)
    if left_out:
        more = " …" if len(left_out) > NAMED else ""
        yield f'<p class="soft">Not drawn, for want of {wanted}: {", ".join(left_out[:NAMED])}{more}.</p>\n'


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
    unknown = sum(_each(e) is None for e in entries)
    if not unknown:
        return ""
    return " No price is known." if unknown == len(entries) else " A hollow square: its price is not known."


def _scatter(entries: Sequence[Entry], speed: str, title: str, rank: str) -> Spec:
    values = [value for e in entries if (value := _point(e, speed, rank))]
    middle = max((v["x"] for v in values), default=0) / 2
    values = [{**v, "side": "right" if v["x"] > middle else "left"} for v in values]
    up: Spec = {"title": "accuracy", "axis": {"format": ".0%"}} if rank == "accuracy" else {"title": "USD an answer"}
    y: Spec = {"field": "up", "type": "quantitative", "scale": {"zero": rank == "cost", "nice": True}, **up}
    x = {"field": "x", "type": "quantitative", "title": title, "scale": {"zero": True, "nice": True}}
    return spec(
        f"{title}, against {rank}",
        300,
        data={"values": values},
        encoding={
            "x": x,
            "y": y,
            "tooltip": tooltip(who="of", speed="speed", right="accuracy", cost="cost", n="answers"),
        },
        layer=list(_layers(y, rank, any(v["price"] == "known" for v in values))),
    )


def _layers(y: Spec, rank: str, priced: bool) -> Iterator[Spec]:
    if rank == "accuracy":
        yield layer("rule", {"y": {**y, "field": "low"}, "y2": {"field": "high"}}, opacity=0.6, strokeWidth=1.5)
    if priced:
        size = {"field": "each", "type": "quantitative", "scale": {"range": [80, 700], "zero": True}, "legend": None}
        known = layer("point", {"size": size}, filled=True, opacity=0.75, color="var(--c1)")
        yield known | {"transform": [{"filter": {"field": "price", "equal": "known"}}]}
    hollow = layer("point", {}, filled=False, size=110, shape="square", color="var(--c1)", strokeWidth=2)
    yield hollow | {"transform": [{"filter": {"field": "price", "equal": "unknown"}}]}
    for side, step in (("left", 11), ("right", -11)):  # names on the right half stand before their points
        names = layer("text", {"text": {"field": "who"}}, align=side, dx=step, dy=-8, limit=150)
        yield names | {"transform": [{"filter": {"field": "side", "equal": side}}]}


def _point(entry: Entry, speed: str, rank: str) -> dict[str, Any] | None:
    x, accuracy, each = read(entry, speed), read(entry, "accuracy"), _each(entry)
    up = accuracy if rank == "accuracy" else each
    if x is None or up is None:
        return None
    return {
        "who": label(str(entry["name"])),
        "x": rounded(x),
        "up": rounded(up),
        "low": read(entry, "accuracy_low"),
        "high": read(entry, "accuracy_high"),
        "each": each,
        "price": "unknown" if each is None else "known",
        "speed": number(x) + " /s" if speed.endswith("per_s") else span(x),
        "right": share(accuracy),
        "cost": "unknown" if each is None else f"{money(each)} an answer",
        "n": number(read(entry, "ok")),
    }
