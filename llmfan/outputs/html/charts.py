"""What the charts have in common: the library, colours that follow the page into the dark and onto paper, the frame.

Colours are the page's own variables, and no series is told by its colour alone: lines differ in dashes,
bars stand in one order, and the same figures stand in a table.
"""

from __future__ import annotations

import functools
import html
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llmfan.errors import UserError
from llmfan.outputs.clean import clean
from llmfan.outputs.html.markup import data

Spec = dict[str, Any]
#: More series than this cannot be told apart.
SERIES = 8
COLOURS = [f"var(--c{n})" for n in range(1, SERIES + 1)]
DASHES = [[1, 0], [7, 3], [2, 3], [9, 3, 2, 3], [4, 2], [12, 4], [2, 2, 6, 2], [5, 5]]
OTHERS = "others"
#: A legend that shows dashes.
LINES = {"symbolType": "stroke", "symbolSize": 500, "symbolFillColor": "transparent", "symbolOpacity": 1}
#: What the page's own script may call of the library.
_ENTRY = "window.vegaEmbed = vegaEmbed;"


@functools.cache
def bundle() -> str:
    """The chart library's JavaScript, out of its Python package."""
    return f"(() => {{\n{_library().javascript_bundle(_ENTRY)}\n}})();"  # its names stay its own


def need_charts() -> None:
    """Raises where the extra is missing, before a journal is read."""
    _library()


def _library() -> Any:
    try:
        import vl_convert
    except ImportError:
        raise UserError("this needs the extra \"analysis\": python3 -m pip install 'llmfan[analysis]'") from None
    return vl_convert


def chart(ident: str, caption: str, specs: Mapping[str, Spec]) -> Iterator[str]:
    """`specs` by the value of the choice that picks one; the first is drawn at once. `caption` is HTML."""
    yield f'<figure class="chart" id="{ident}"><figcaption>{caption}</figcaption><div class="draw"></div>'
    yield f'<script type="application/json" class="spec">{data(specs)}</script></figure>\n'


def choice(label: str, drawn: Sequence[str], options: Mapping[str, str]) -> str:
    """One list that changes one chart or several; of use only where scripts run, which switch it on."""
    if len(options) < 2:
        return ""
    items = "".join(f'<option value="{html.escape(v)}">{html.escape(t)}</option>' for v, t in options.items())
    return f'<p class="bar"><label>{label}<select data-draw="{" ".join(drawn)}" disabled>{items}</select></label></p>\n'


def spec(description: str, height: int, **more: Any) -> Spec:
    """A chart as wide as its place; the description is what a screen reader says of it."""
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "description": clean(description, 500),
        "width": "container",
        "height": height,
        "background": None,
        "autosize": {"type": "fit-x", "contains": "padding"},
        "config": CONFIG,
        **more,
    }


_AXIS = {
    "labelColor": "var(--fg)",
    "titleColor": "var(--soft)",
    "gridColor": "var(--line)",
    "domainColor": "var(--soft)",
    "tickColor": "var(--soft)",
    "labelFontSize": 12,
    "titleFontSize": 12,
    "titleFontWeight": "normal",
    "gridOpacity": 0.7,
}
CONFIG: Spec = {
    "font": "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif",
    "view": {"stroke": None},
    "axis": _AXIS,
    "legend": {
        "labelColor": "var(--fg)", "titleColor": "var(--soft)", "labelFontSize": 12, "orient": "bottom", "title": None,
        "symbolStrokeWidth": 2.5, "symbolSize": 90,
    },
    "text": {"color": "var(--fg)", "fontSize": 12},
    "rule": {"color": "var(--soft)"},
}  # fmt: skip


def label(name: str) -> str:
    """A name as a chart may write it: one clean line."""
    return clean(name, 60)


def busiest(counts: Mapping[str, float], most: int = SERIES) -> list[str]:
    """The names with the most, in that order; equal ones in the order given."""
    return sorted((n for n in counts if counts[n] > 0), key=lambda n: -counts[n])[:most]


def palette(summary: Mapping[str, Any]) -> list[str]:
    """The providers in the order of their colours, which is the same in every chart of a run."""
    entries = summary.get("providers") or []
    return busiest({str(e["name"]): float((e.get("totals") or {}).get("ok") or 0) for e in entries}, 10**6)


def colours(names: Sequence[str], order: Sequence[str]) -> Spec:
    """`order`: of the run's palette."""
    return {"domain": [label(n) for n in names], "range": [_colour(n, order) for n in names]}


def dashes(names: Sequence[str], order: Sequence[str]) -> Spec:
    return {"domain": [label(n) for n in names], "range": [DASHES[_place(n, order)] for n in names]}


def _colour(name: str, order: Sequence[str]) -> str:
    return "var(--soft)" if name == OTHERS and name not in order else COLOURS[_place(name, order)]


def _place(name: str, order: Sequence[str]) -> int:
    return order.index(name) % SERIES if name in order else 0


def rounded(value: float) -> float:
    return float(f"{value:.4g}")


def tooltip(**titles: str) -> list[Spec]:
    """`field="its title"`, in order; what is shown is written out already."""
    return [{"field": field, "type": "nominal", "title": title} for field, title in titles.items()]


def one_a_row(field: str = "who") -> Spec:
    """A row a name, in the order of the data."""
    return {"field": field, "type": "nominal", "title": None, "sort": None, "axis": {"ticks": False, "domain": False}}


def layer(kind: str, encoding: Spec, /, **mark: Any) -> Spec:
    return {"mark": {"type": kind, **mark}, "encoding": encoding}


def cut(shown: int, all_: int, what: str) -> str:
    """Says that some are left out, where some are."""
    return f" Drawn: the {shown} {what} of {all_}." if shown < all_ else ""
