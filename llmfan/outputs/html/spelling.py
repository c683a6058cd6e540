"""Figures as the page writes them: three digits that matter, the unit beside them, `—` where there is none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmfan.measures.metrics import Figure, figures
from llmfan.outputs.html.markup import UNDEFINED, cell
from llmfan.units import spell

NONE = "—"


def span(value: float | None) -> str:
    """`0.025 s`, `1.24 s`, `12.4 s`, `5 m 12 s`."""
    if value is None:
        return NONE
    if value < 9.995:
        digits = 3 if value < 1 else 2
        return f"{value:.{digits}f} s"
    return f"{value:.1f} s" if value < 59.95 else spell(value)


def share(value: float | None) -> str:
    if value is None:
        return NONE
    if 0 < value < 0.001:
        return "under 0.1 %"
    if 0.999 < value < 1:
        return "over 99.9 %"
    return f"{100 * value:.1f}".removesuffix(".0") + " %"


def money(value: float | None) -> str:
    if value is None:
        return NONE
    if value >= 1 or value == 0:
        return f"${value:,.2f}"
    return f"${value:.7f}".rstrip("0") if value < 0.0001 else f"${float(f'{value:.3g}'):.6f}".rstrip("0")


def number(value: float | None) -> str:
    if value is None:
        return NONE
    if value == int(value) or value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def size(value: float | None) -> str:
    return NONE if value is None else f"{value / 2**20:,.0f} MiB"


_FORMS = {"s": span, "share": share, "USD": money, "B": size}


def spelled(unit: str, value: float | None) -> str:
    text = _FORMS.get(unit, number)(value)
    return f"{text} /s" if unit == "1/s" and value is not None else text


def titled(figure: Figure) -> str:
    """`latency p95`, `429s`."""
    return f"{figure.metric.title} {figure.statistic}".strip()


def read(entry: Mapping[str, Any], figure: str) -> float | None:
    """A figure by its name, from the document of a summary or an entry of its lists."""
    return figures()[figure].read(entry)


def figure_cell(entry: Mapping[str, Any], figure: Figure, most: float | None = None) -> str:
    """With a bar of its share of `most`, in the colour of trouble where lower is better and it is a rate."""
    value = figure.read(entry)
    if value is None:
        return UNDEFINED
    part = value / most if most else None
    text = number(value) if figure.metric.unit == "1/s" else spelled(figure.metric.unit, value)
    return cell(text, sort=value, share=part)
