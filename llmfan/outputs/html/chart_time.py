"""How the run went: answers and tokens a second by provider; below, refusals and failures at the same moments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llmfan.outputs.html.charts import OTHERS, Spec, chart, choice, colours, label, palette, rounded, spec
from llmfan.outputs.html.page import RunPage, Timeline
from llmfan.outputs.html.spelling import number, span

#: One colour is kept for the rest.
SHOWN = 7
_UNITS = (
    (2 * 86400.0, 86400.0, "days"),
    (2 * 3600.0, 3600.0, "hours"),
    (180.0, 60.0, "minutes"),
    (0.0, 1.0, "seconds"),
)


def over_time(run: RunPage, ident: str) -> Iterator[str]:
    line, order = run.timeline, palette(run.summary)
    if line is None or not line.steps:
        yield '<p class="undef">The run has no attempts with a time, so there is no course to draw.</p>\n'
        return
    step = f"Steps of {span(line.step_s)}."
    counts = {"ok": (line.ok, "answers a second"), "tokens": (line.tokens, "output tokens a second")}
    titles = {figure: title for figure, (kind, title) in counts.items() if any(map(any, kind.values()))}
    if titles:  # a chart of nothing has no axis
        throughput = {figure: _stacked(line, order, counts[figure][0], title) for figure, title in titles.items()}
        yield choice("Figure", [f"{ident}-time"], titles)
        yield from chart(f"{ident}-time", f"By their last byte, successes only. {step}", throughput)
    else:
        yield '<p class="undef">No answer, so no throughput.</p>\n'
    refused, failed = (sum(map(sum, kind.values())) for kind in (line.rate_limited, line.failed))
    if refused or failed:
        words = f"429s ({number(refused)}) and other failed attempts ({number(failed)}), by when they were sent."
        yield from chart(f"{ident}-trouble", words, {"": _trouble(line)})
    else:
        yield '<p class="good">No 429 and no failed attempt.</p>\n'


def _stacked(line: Timeline, order: Sequence[str], counts: Mapping[str, Sequence[int]], title: str) -> Spec:
    names = [name for name in order[:SHOWN] if name in counts]
    rest = [name for name in counts if name not in names and any(counts[name])]
    series = {name: list(counts[name]) for name in names}
    if rest:
        names = [*names, OTHERS]
        series[OTHERS] = [sum(step) for step in zip(*(counts[name] for name in rest), strict=False)]
    values = [
        {
            **_moment(line, place),
            "who": label(name),
            "rank": rank,
            "value": rounded(count / line.step_s),
            "said": number(count / line.step_s),
        }
        for rank, name in enumerate(names)
        for place, count in enumerate(series[name])
        if count
    ]
    return _bars(line, values, title, colours(names, order), f"{title} over time, by provider")


def _trouble(line: Timeline) -> Spec:
    kinds = (("429s", line.rate_limited), ("other failures", line.failed))
    values = []
    for rank, (kind, by_provider) in enumerate(kinds):
        for place in range(line.steps):
            count = sum(counts[place] for counts in by_provider.values() if place < len(counts))
            if count:
                values.append(
                    {**_moment(line, place), "who": kind, "rank": rank, "value": count, "said": number(count)}
                )
    scale = {"domain": [kind for kind, _ in kinds], "range": ["var(--c5)", "var(--c7)"]}
    return _bars(line, values, "attempts", scale, "429s and failed attempts over time", height=110)


def _moment(line: Timeline, place: int) -> dict[str, Any]:
    unit, _ = _unit(line)
    return {
        "from": rounded(place * line.step_s / unit),
        "to": rounded((place + 1) * line.step_s / unit),
        "when": span(place * line.step_s),
    }


def _unit(line: Timeline) -> tuple[float, str]:
    whole = line.step_s * line.steps
    return next((unit, name) for least, unit, name in _UNITS if whole >= least)


def _bars(
    line: Timeline, values: list[dict[str, Any]], title: str, scale: Spec, description: str, height: int = 220
) -> Spec:
    unit, name = _unit(line)
    x = {
        "field": "from",
        "type": "quantitative",
        "title": f"{name} since the run began",
        "scale": {"domain": [0, rounded(line.step_s * line.steps / unit)], "nice": False},
    }
    y = {
        "field": "value",
        "type": "quantitative",
        "title": title,
        "stack": "zero",
        "axis": {"minExtent": 46, "tickCount": 4, "tickMinStep": 1 if title == "attempts" else 0, "format": "~s"},
    }
    tip = [{"field": f, "type": "nominal", "title": t} for f, t in (("who", "of"), ("when", "from"), ("said", title))]
    return spec(
        description,
        height,
        data={"values": values},
        mark={"type": "bar", "orient": "vertical", "binSpacing": 0},
        encoding={
            "x": x, "x2": {"field": "to"}, "y": y, "order": {"field": "rank"}, "tooltip": tip,
            "color": {"field": "who", "type": "nominal", "title": None, "scale": scale},
        },
    )  # fmt: skip
