"""Speed against quality against cost. What has no accuracy or no price is named as such, and never drawn at 0."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llmfan.outputs.html.axes import axis
from llmfan.outputs.html.charts import Spec, busiest, chart, choice, cut, label, layer, rounded, spec, tooltip
from llmfan.outputs.html.markup import name
from llmfan.outputs.html.page import RunPage
from llmfan.outputs.html.spelling import money, number, read, share, span

Entry = Mapping[str, Any]
#: Points of a chart, and names of what it leaves out.
ROWS, NAMED = 40, 30
#: Prices that differ by less than this are told by no size.
_LEVEL = 1.25
_SPEEDS = {
    "latency_p50": ("latency p50, seconds", "left is faster"),
    "ttft_p50": ("TTFT p50, seconds", "left is faster"),
    "output_tokens_per_s": ("output tokens/s", "right is faster"),
}


def trade_off(run: RunPage, ident: str) -> Iterator[str]:
    """Accuracy upwards where it was graded, else the cost; with neither there is nothing to weigh."""
    entries = _entries(run)
    if not entries:
        yield '<p class="undef">No answer, so nothing to weigh.</p>\n'
        return
    rank = next((rank for rank in _RANKS if any(_up(e, rank) is not None for e in entries)), None)
    if rank is None:
        yield '<p class="undef">Nothing was graded and no price is known: no quality and no cost to weigh.</p>\n'
        return
    ranked = [e for e in entries if _up(e, rank) is not None]
    shown = busiest({str(e["name"]): read(e, "ok") or 0.0 for e in ranked}, ROWS)
    drawn = [e for e in ranked if e["name"] in shown]
    specs = {speed: made for speed in _SPEEDS if (made := _scatter(drawn, speed, rank))}
    if specs:
        said = _RANKS[rank][0] + (_prices(drawn) if rank == "accuracy" else "")
        said += cut(len(drawn), len(ranked), "with the most answers") + " A name without room is left out."
        yield choice(
            "Speed", [f"{ident}-weigh"], {speed: f"{_SPEEDS[speed][0]} ({_SPEEDS[speed][1]})" for speed in specs}
        )
        yield from chart(f"{ident}-weigh", said, specs)
    yield _left_out([e for e in entries if _up(e, rank) is None], _RANKS[rank][1])


_RANKS = {
    "accuracy": ("Upwards is more often right, with the 95 % interval.", "an accuracy"),
    "cost": ("Nothing was graded, so there is no accuracy: upwards is the cost of an answer.", "a price"),
}


def _left_out(entries: Sequence[Entry], wanted: str) -> str:
    if not entries:
        return ""
    more = " …" if len(entries) > NAMED else ""
    names = ", ".join(name(e["name"]) for e in entries[:NAMED])
    return f'<p class="soft">Not drawn, for want of {wanted}: {names}{more}.</p>\n'


def _entries(run: RunPage) -> list[Entry]:
    """Providers; models where there is one provider only."""
    providers = [e for e in run.summary.get("providers") or [] if read(e, "ok")]
    models = [e for e in run.summary.get("models") or [] if read(e, "ok")]
    return models if len(providers) <= 1 and len(models) > 1 else providers


def _each(entry: Entry) -> float | None:
    """The cost of an answer, where the price of every one is known."""
    cost, ok = read(entry, "cost_usd"), read(entry, "ok")
    return cost / ok if cost is not None and ok and not read(entry, "cost_unknown") else None


def _up(entry: Entry, rank: str) -> float | None:
    return read(entry, "accuracy") if rank == "accuracy" else _each(entry)


def _sized(entries: Sequence[Entry]) -> bool:
    """Whether the known prices differ enough to be told by the size of a point."""
    known = [each for e in entries if (each := _each(e)) is not None]
    return len(known) > 1 and max(known) > _LEVEL * min(known)


def _prices(entries: Sequence[Entry]) -> str:
    unknown = sum(_each(e) is None for e in entries)
    if unknown == len(entries):
        return " No price is known."
    said = " The size of a point is its cost an answer." if _sized(entries) else ""
    return said + (" A hollow square: its price is not known." if unknown else "")


def _scatter(entries: Sequence[Entry], speed: str, rank: str) -> Spec | None:
    """None where none of them has this speed."""
    values = [value for e in entries if (value := _point(e, speed, rank))]
    if not values:
        return None
    across = axis([v["x"] for v in values])
    title, better = _SPEEDS[speed]
    more = [better, *([] if across.from_zero else [f"from {across.ticks[0]:g}"])]
    if missing := len(entries) - len(values):
        more.append(f"{missing} without")
    x = {
        "field": "x", "type": "quantitative", "title": f"{title} ({'; '.join(more)})", "scale": across.scale(),
        "axis": across.labelled(),
    }  # fmt: skip
    return spec(
        f"{title}, against {rank}",
        300,
        data={"values": values},
        encoding={
            "x": x,
            "y": _upwards(values, rank),
            "tooltip": tooltip(who="of", speed="speed", right="accuracy", cost="cost", n="answers"),
        },
        layer=list(_layers(values, _sized(entries) and rank == "accuracy")),
    )


def _upwards(values: Sequence[Mapping[str, Any]], rank: str) -> Spec:
    y: Spec = {"field": "up", "type": "quantitative"}
    if rank == "cost":
        up = axis([v["up"] for v in values], zero=True)
        return {**y, "title": "USD an answer", "scale": up.scale(), "axis": up.labelled()}
    up = axis([v[end] for v in values for end in ("low", "up", "high") if v[end] is not None], most=1.0)
    return {**y, "title": "accuracy", "scale": up.scale(), "axis": up.labelled(percent=True)}


def _layers(values: Sequence[Mapping[str, Any]], sized: bool) -> Iterator[Spec]:
    """Each only where there is something for it: of nothing the library finds no extent, and complains."""
    if any(v["low"] is not None for v in values):
        whole = {"filter": {"field": "low", "valid": True}}
        ends = {"y": {"field": "low", "type": "quantitative"}, "y2": {"field": "high"}}
        yield layer("rule", ends, opacity=0.6, strokeWidth=1.5) | {"name": "spans", "transform": [whole]}
    prices = {v["price"] for v in values}
    if "known" in prices:
        size = {"field": "each", "type": "quantitative", "scale": {"range": [50, 450], "zero": True}, "legend": None}
        known = layer("point", {"size": size} if sized else {}, filled=True, opacity=0.75, color="var(--c1)", size=80)
        yield known | {"name": "points_known", "transform": [{"filter": {"field": "price", "equal": "known"}}]}
    if "unknown" in prices:
        hollow = layer("point", {}, filled=False, size=80, shape="square", color="var(--c1)", strokeWidth=2)
        yield hollow | {"name": "points_unknown", "transform": [{"filter": {"field": "price", "equal": "unknown"}}]}
    # The page's script finds room for the names, or leaves them out.
    yield layer("text", {"text": {"field": "who"}}, align="center", baseline="middle", limit=150) | {"name": "names"}


def _point(entry: Entry, speed: str, rank: str) -> dict[str, Any] | None:
    x, accuracy, each = read(entry, speed), read(entry, "accuracy"), _each(entry)
    up = accuracy if rank == "accuracy" else each
    if x is None or up is None:
        return None
    return {
        "who": label(str(entry["name"])),
        "x": rounded(x),
        "up": rounded(up),
        "low": read(entry, "accuracy_low") if rank == "accuracy" else None,
        "high": read(entry, "accuracy_high") if rank == "accuracy" else None,
        "each": each,
        "price": "unknown" if each is None else "known",
        "speed": number(x) + " /s" if speed.endswith("per_s") else span(x),
        "right": share(accuracy),
        "cost": "unknown" if each is None else f"{money(each)} an answer",
        "n": number(read(entry, "ok")),
    }
