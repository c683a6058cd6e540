"""Where the providers file is wrong about a limit: what it declares, what was found instead, and the line to change."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from llmfan.settings import Fleet, LimitSet, Provider
from llmfan.status.figures import Figures, moment, plain
from llmfan.status.place import Block

#: Figures closer than this are taken to be the same.
ALIKE = 0.05
#: A measurement that is less sure of itself says nothing against the file.
SURE = 0.5


class Target(NamedTuple):
    """The limits of one model by one key."""

    provider: Provider
    key: str
    model: str
    figures: dict[str, Figures]


class Found(NamedTuple):
    """`figure`: what the file should say, by `source` (`reported` or `measured`)."""

    target: Target
    figures: Figures
    source: str
    figure: float


def differences(targets: Iterable[Target], fleet: Fleet, lines: Sequence[str]) -> list[dict[str, Any]]:
    """One for each counter, and one for all keys of a provider that differ alike. `lines`: the providers file's."""
    alike: dict[tuple[object, ...], list[Found]] = {}
    seen: set[tuple[str, str]] = set()
    owners: Counter[tuple[str, str]] = Counter()  # counters of each kind of limit that a provider's keys draw on
    for target in targets:
        for axis, figures in target.figures.items():
            if (figures.owner, axis) not in seen:
                seen.add((figures.owner, axis))
                owners[target.provider.name, axis] += 1
                if found := _differs(target, figures):
                    alike.setdefault(_sort(found), []).append(found)
    return [_document(group, fleet.file, lines, _alone(group, owners)) for group in alike.values()]


def _alone(group: Sequence[Found], owners: Counter[tuple[str, str]]) -> bool:
    """Whether it holds for single keys only: what was measured with some says little of the others."""
    first = group[0]
    if _limits(first).origin.get(first.figures.axis) == "key":
        return False  # its own line is the one to change
    others = owners[first.target.provider.name, first.figures.axis] > len(group)
    return first.source == "measured" and others and not any(found.figures.shared_with for found in group)


def _differs(target: Target, figures: Figures) -> Found | None:
    known, declared = figures.known, figures.declared
    if known is None or declared is None:
        return None
    if figures.reported is not None and _apart(declared, figures.reported):
        return Found(target, figures, "reported", figures.reported)
    if figures.measured is not None and known.confidence >= SURE and _apart(declared, figures.measured):
        return Found(target, figures, "measured", figures.measured)
    return None


def _apart(declared: float, other: float) -> bool:
    return abs(other - declared) > ALIKE * declared


def _sort(found: Found) -> tuple[object, ...]:
    """What has to be the same for two to be told as one."""
    limits, axis = _limits(found), found.figures.axis
    origin = limits.origin.get(axis, "preset")
    model = found.target.model if _by_model(limits, axis) else ""
    key = found.target.key if origin == "key" else ""
    return found.target.provider.name, axis, model, key, found.figures.declared, found.source, suggestion(found.figure)


def _document(group: Sequence[Found], file: str, lines: Sequence[str], alone: bool) -> dict[str, Any]:
    first = group[0]
    provider, axis, figures = first.target.provider, first.figures.axis, first.figures
    order = [key.label for key in provider.keys]
    drawn = {label for found in group for label in (found.target.key, *found.figures.shared_with)}
    keys = [label for label in order if label in drawn]
    line, change = _change(first, lines) if not alone else _change_of_keys(first, named(keys, order))
    at = moment(figures.known.at) if figures.known is not None and figures.known.at else None
    said = f"{named(keys, order)} {axis}: declared {_number(figures.declared)}, {first.source} {_number(first.figure)}"
    return {
        "key": keys[0], "keys": keys, "provider": provider.name, "model": first.target.model, "axis": axis,
        "declared": plain(figures.declared), "reported": plain(figures.reported), "measured": plain(figures.measured),
        "at": at, "line": line, "message": said + (f" on {at[:10]}" if at else ""),
        "change": f"{file}:{line}: {change}" if line else f"{file}: {change}",
    }  # fmt: skip


def _change(found: Found, lines: Sequence[str]) -> tuple[int, str]:
    """(the line, what it should say). A figure that comes from the preset stands nowhere yet: it has to be added."""
    provider, axis, limits = found.target.provider, found.figures.axis, _limits(found)
    block = Block(lines, provider.line)
    text = f"{axis}: {suggestion(found.figure)}"
    origin = limits.origin.get(axis, "preset")
    if origin != "preset":
        within = found.target.model if origin == "model" else ""
        line = block.figure(axis, found.figures.declared or 0.0, within)
        return line or block.limits() or provider.line, f"limits: {{{text}}}"
    several = len(provider.models) > 1 and _by_model(limits, axis)
    under = f"{provider.name}, model {found.target.model}" if several else provider.name
    line = 0 if several else block.limits()
    if line:
        return line, f"add {text} to the limits of {under}"
    return provider.line, f"add limits: {{{text}}} under {under}"


def _change_of_keys(found: Found, keys: str) -> tuple[int, str]:
    text = f"{found.figures.axis}: {suggestion(found.figure)}"
    return found.target.provider.line, f"keys: give {keys} limits: {{{text}}} of its own"


def _limits(found: Found) -> LimitSet:
    return found.target.provider.limits[found.target.key, found.target.model]


def _by_model(limits: LimitSet, axis: str) -> bool:
    return limits.per_model or limits.origin.get(axis) == "model"


def suggestion(figure: float) -> str:
    """What to write: a whole number, or three digits of a smaller one; never above what was found."""
    if figure >= 100 or figure == int(figure):
        return str(math.floor(figure))
    digits = 2 if figure < 10 else 1
    return f"{math.floor(figure * 10**digits) / 10**digits:g}"


def named(keys: Sequence[str], order: Sequence[str]) -> str:
    """`a#2`, `a#1..#3`, `a#1, a#3`: a row of neighbours by its ends."""
    runs: list[list[str]] = []
    for label in keys:
        at = order.index(label)
        if runs and at > 0 and runs[-1][-1] == order[at - 1]:
            runs[-1].append(label)
        else:
            runs.append([label])
    return ", ".join(_run(run) for run in runs)


def _run(labels: Sequence[str]) -> str:
    if len(labels) < 3:
        return ", ".join(labels)
    first, last = labels[0], labels[-1]
    name, mark, number = last.rpartition("#")
    return f"{first}..#{number}" if mark and first.startswith(f"{name}#") else f"{first}..{last}"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.0f}" if value >= 1000 else f"{value:.4g}"
