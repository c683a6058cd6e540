"""The values of gates: `1%`, `2s`, `500/s`, `$1.50`, `64MB` in, and figures out in the few words a sentence has."""

from __future__ import annotations

import math
import re

from llmfan.measures.metrics import Figure
from llmfan.units import seconds, spell

_NUMBER = re.compile(r"(?:\d+(?:_\d+)*(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_CHANGE = re.compile(r"([+\-−])\s*(.*?)\s*%")
_SIZE = re.compile(r"(.*?)\s*([kKMGT]i?)?B", re.DOTALL)
_SCALE = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_SCALE |= {f"{letter}i": 1024**power for power, letter in enumerate("KMGT", 1)} | {"ki": 1024}

#: Unit of a figure → what it is, and how its values are written.
_KINDS = {
    "s": ("a time", "2s, 300ms, 10m or 1h30m"),
    "share": ("a share", "1% or 0.01"),
    "1/s": ("a rate", "500 or 500/s"),
    "USD": ("an amount of money", "1.50 or $1.50"),
    "B": ("a size", "64MB or 64MiB"),
    "": ("a number", "500"),
}


def value_of(text: str, figure: Figure) -> float | str:
    """What `text` is as a value of `figure`, or what is wrong with it."""
    unit, value = _read(text)
    name, wanted = figure.name, figure.metric.unit
    kind, written = _KINDS[wanted]
    if value is None or not math.isfinite(value):
        if _CHANGE.fullmatch(text):
            return f'"{_cut(text)}" is a change, and nothing is compared here: {name} is {kind}, such as {written}'
        return f'"{_cut(text)}" is no value: {name} is {kind}, such as {written}'
    if unit not in ("", wanted):
        return f'{name} is {kind}, such as {written}, and "{_cut(text)}" is {_KINDS[unit][0]}'
    if wanted == "share" and name != "cpu_share" and value > 1:
        return f'{name} is a share of at most 1, and "{_cut(text)}" is more{_per_cent(unit, value)}'
    return value


def change_of(text: str) -> float | str:
    """A relative change, `+10%` as 0.1, or what is wrong with it."""
    found = _CHANGE.fullmatch(text)
    size = None if found is None else _number(found[2])
    if found is None or size is None or not math.isfinite(size):
        return f'"{_cut(text)}" is no change: it has a sign and is relative, such as +10% or -2%'
    return size / 100 if found[1] == "+" else -size / 100


def spelled(value: float, unit: str, digits: int = 3) -> str:
    """`2.41 s`, `300 ms`, `10 m 00 s`, `1.2 %`, `500/s`, `$1.50`, `64 MB`, `1,319`, to so many significant digits."""
    match unit:
        case "s" if value < 1:
            return f"{_significant(value * 1000, digits)} ms" if value else "0 s"
        case "s":
            return spell(value) if value >= 60 and digits <= 3 else f"{_significant(value, digits)} s"
        case "share":
            return f"{_significant(value * 100, digits)} %"
        case "1/s":
            return f"{_significant(value, digits)}/s"
        case "USD":
            return f"${_significant(value, digits, least=2)}"
        case "B":
            return f"{_significant(value / 1e6, digits)} MB"
    return f"{value:,.0f}" if value == round(value) else _significant(value, digits)


def spelled_change(value: float, digits: int = 3) -> str:
    """`+12 %`."""
    return f"{'-' if value < 0 else '+'}{_significant(abs(value) * 100, digits)} %"


def _read(text: str) -> tuple[str, float | None]:
    """(the unit that a value carries, "" for a bare number; the value)."""
    if (value := _number(text)) is not None:
        return "", value
    if text.endswith("%"):
        value = _number(text[:-1].rstrip())
        return "share", None if value is None else value / 100
    if text.endswith("/s"):
        return "1/s", _number(text[:-2].rstrip())
    if text.startswith("$"):
        return "USD", _number(text[1:].lstrip())
    if text.upper().endswith("USD"):
        return "USD", _number(text[:-3].rstrip())
    if size := _SIZE.fullmatch(text):
        value = _number(size[1])
        return "B", None if value is None else value * _SCALE[size[2] or ""]
    return "s", seconds(text) if text[:1] in "0123456789." else None


def _number(text: str) -> float | None:
    return float(text) if _NUMBER.fullmatch(text) else None


def _per_cent(unit: str, value: float) -> str:
    return f' (did you mean "{value:g}%"?)' if not unit and value <= 100 else ""


def _significant(value: float, digits: int, least: int = 0) -> str:
    """With no zeros at its end beyond the `least` decimals, and never fewer digits than stand before the point."""
    shown = digits - 1 - math.floor(math.log10(abs(value))) if value else 0
    text = f"{value:,.{max(least, shown)}f}"
    whole, _, decimals = text.partition(".")
    decimals = decimals[:least] + decimals[least:].rstrip("0")
    return f"{whole}.{decimals}" if decimals else whole


def _cut(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "…"
