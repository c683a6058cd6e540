"""A gate, `METRIC[NAME] OP VALUE`, read and checked before anything is sent."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from msgspec import Struct

from llmfan.errors import UserError, near
from llmfan.measures.gate_values import change_of, value_of
from llmfan.measures.metrics import Figure, figures

COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip
#: What people write instead.
_INSTEAD = {"=": "==", "===": "==", "=>": ">=", "=<": "<=", "<>": "!=", "!": "!=", "≥": ">=", "≤": "<=", "≠": "!="}
_METRIC = re.compile(r"\s*([\w.\-]+)\s*")
_OPERATOR = re.compile(r"[<>=!~≥≤≠]+")
#: How much of what was written, and how many of the names, a message repeats.
_SHOWN, _LISTED = 200, 8


class Gate(Struct, frozen=True, kw_only=True):
    """What must not be: `value` of `figure`, of the run as a whole or of one provider, model or key (`name`).

    With `change` it is the relative change from one run to another.
    """

    expr: str
    figure: Figure
    op: str
    value: float
    name: str = ""
    change: bool = False

    def entry(self, summary: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Where in the document of `summary.json` its figure stands; None where that has nothing of this name."""
        if not self.name:
            return summary
        for kind in ("providers", "models", "keys"):
            for entry in summary.get(kind) or ():
                if entry.get("name") == self.name:
                    found: Mapping[str, Any] = entry
                    return found
        return None

    def read(self, summary: Mapping[str, Any]) -> float | None:
        entry = self.entry(summary)
        return None if entry is None else self.figure.read(entry)

    def holds(self, value: float | None) -> bool:
        """An undefined figure holds nothing: a gate that could not look must not let a run through."""
        return value is not None and value == value and not COMPARE[self.op](value, self.value)


def parse(expr: str, names: Collection[str], *, change: bool = False) -> Gate:
    """`names`: every provider, `provider/model` and key label that may stand in brackets; `change`: `OP +10%` only."""
    metric, name, op, text = _split(expr)
    known = figures()
    figure = known.get(metric)
    if figure is None:
        raise _wrong(expr, f'there is no figure "{_cut(metric)}"{_meant(metric.lower(), known)}')
    if name is not None:
        _check_name(expr, figure, name, names)
    value = change_of(text) if change else value_of(text, figure)
    if isinstance(value, str):
        raise _wrong(expr, value)
    if not change and figure.metric.unit == "share" and (op, text) == (">", "1"):
        raise _wrong(expr, f'a share is never over 1 (did you mean "{metric} > 1%"?)')
    return Gate(expr=expr.strip(), figure=figure, name=name or "", op=op, value=value, change=change)


def figure_of(expr: str) -> Figure | None:
    """The figure of a gate that stands in a file, perhaps one of another version."""
    found = _METRIC.match(expr)
    return figures().get(found[1]) if found else None


def _meant(metric: str, known: Collection[str]) -> str:
    """`latency` alone is as near to all of its percentiles."""
    usual = f"{metric.removesuffix('_s')}_p95"
    return f' (did you mean "{usual}"?)' if usual in known else near(metric, known)


def _split(expr: str) -> tuple[str, str | None, str, str]:
    """(metric; name, None without brackets; operator; value), all but the operator unchecked."""
    found = _METRIC.match(expr)
    if found is None:
        raise _wrong(expr, "a gate is METRIC[NAME] OP VALUE, the part in brackets optional, such as latency_p95 > 2s")
    metric, rest, name = found[1], expr[found.end() :], None
    if rest.startswith("["):
        inside, closed, after = rest[1:].rpartition("]")  # the last one: a model's name may hold brackets itself
        if not closed:
            raise _wrong(expr, "the bracket is not closed")
        name, rest = inside.strip(), after.lstrip()
    written = _OPERATOR.match(rest)
    if written is None or written[0] not in COMPARE:
        raise _wrong(expr, _operator_wanted(written[0] if written else rest.strip()))
    text = rest[written.end() :].strip()
    if not text:
        raise _wrong(expr, f'there is no value after "{written[0]}"')
    return metric, name, written[0], text


def _operator_wanted(text: str) -> str:
    meant = f' (did you mean "{_INSTEAD[text]}"?)' if text in _INSTEAD else ""
    got = f'"{_cut(text, 40)}"{meant}' if text else "nothing"
    return f"expected one of {' '.join(COMPARE)} after the figure, got {got}"


def _check_name(expr: str, figure: Figure, name: str, names: Collection[str]) -> None:
    if figure.whole_run:
        raise _wrong(expr, f"{figure.name} is of the run as a whole: no provider, model or key has one of its own")
    if not name:
        raise _wrong(expr, "the brackets are empty: a provider, a provider/model or a key's label goes there")
    if name not in names:
        meant = near(name, names)
        raise _wrong(expr, f'there is no provider, model or key "{_cut(name)}"{meant or _listed(names)}')


def _listed(names: Collection[str]) -> str:
    if not names:
        return ""
    shown = sorted(names)[:_LISTED]
    return f" (there is {', '.join(shown)}{' …' if len(names) > _LISTED else ''})"


def _wrong(expr: str, what: str) -> UserError:
    return UserError(f'gate "{_cut(expr.strip())}": {what}')


def _cut(text: str, limit: int = _SHOWN) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
