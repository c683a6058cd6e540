"""What one side lacks, and what makes a side doubtful: said in words, for what is missing changes no figure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from llmfan.comparing.findings import figure
from llmfan.comparing.joining import By, mask_of, names_by
from llmfan.comparing.side import Side
from llmfan.measures.metrics import figures

_SHOWN = 6
_RATES = ("failed_rate", "rate_limited_rate")
_LISTS = {"provider": "providers", "model": "models", "key": "keys"}


@dataclass(frozen=True)
class Part:
    """What one provider, model or key did in one run: counts of all of it, whatever has its counterpart."""

    jobs: int = 0
    ok: int = 0
    attempts: int = 0
    limited: int = 0

    @property
    def took_part(self) -> bool:
        return self.jobs > 0 or self.attempts > 0

    def rate(self, metric: str) -> float | None:
        whole, part = (
            (self.jobs, self.jobs - self.ok) if metric == "failed_rate" else (self.attempts, self.limited)
        )  # fmt: skip
        return part / whole if whole else None


Parts = dict[str, tuple[Part, Part]]


def parts_of(base: Side, new: Side, by: By) -> Parts:
    """Of every name that either run has, BASE's first."""
    ours, theirs = _parts(base, by), _parts(new, by)
    return {name: (ours.get(name, Part()), theirs.get(name, Part())) for name in [*ours, *theirs]}


def _parts(side: Side, by: By) -> dict[str, Part]:
    if side.answers is None or side.requests is None:
        return {name: _of_totals(entry.get("totals") or {}) for name, entry in entries_of(side.summary, by).items()}
    answers, requests = side.answers, side.requests
    found = {}
    for name in names_by([*answers.targets, *requests.targets], by):
        mine = mask_of(answers.target, answers.targets, name, by)
        sent = mask_of(requests.target, requests.targets, name, by)
        counts = mine, answers.ok & mine, sent, requests.limited & sent
        found[name] = Part(*(int(np.count_nonzero(each)) for each in counts))
    return found


def entries_of(summary: Mapping[str, Any], by: By) -> dict[str, Mapping[str, Any]]:
    """Those of a summary.json."""
    return {str(entry["name"]): entry for entry in summary.get(_LISTS[by]) or ()}


def _of_totals(totals: Mapping[str, Any]) -> Part:
    return Part(*(int(totals.get(name) or 0) for name in ("jobs", "ok", "attempts", "rate_limited")))


# ---------------------------------------------------------------- of entries


def absent(parts: Parts) -> list[str]:
    """`b answered nothing in NEW`, `c is not in NEW`: what comes first, for no figure shows it."""
    said = []
    for at, word in ((1, "NEW"), (0, "BASE")):
        gone = [name for name, sides in parts.items() if not sides[at].took_part and sides[1 - at].took_part]
        mute = [name for name, sides in parts.items() if sides[at].took_part and not sides[at].ok]
        if mute and not any(sides[at].ok for sides in parts.values()):
            said.append(f"nothing was answered in {word}")
        elif mute:
            said.append(f"{listed(mute)} answered nothing in {word}")
        if gone:
            said.append(f"{listed(gone)} {'is' if len(gone) == 1 else 'are'} not in {word}")
    return said


def unjoined_rates(parts: Parts, known: Collection[str]) -> list[dict[str, Any]]:
    """The rates of those of which there is nothing to test, so that nobody drops out of the list."""
    found = []
    for name, (base, new) in parts.items():
        for metric in _RATES:
            values = base.rate(metric), new.rate(metric)
            if values != (None, None) and f"{metric}[{name}]" not in known:
                found.append(figure(f"{metric}[{name}]", *values))
    return found


def lacking(found: Iterable[Mapping[str, Any]], parts: Parts) -> list[str]:
    """Figures that one side has and the other has not, in a line a side; of those that are `absent` it is said."""
    silent = {name for name, sides in parts.items() if not (sides[0].ok and sides[1].ok)}
    said = []
    for side, word in (("new", "NEW"), ("base", "BASE")):
        other = "base" if side == "new" else "new"
        names = [each["metric"] for each in found if each[side] is None and each[other] is not None]
        whole = {name for name in names if "[" not in name}
        names = [name for name in names if name in whole or _news(name, whole, silent)]
        if names:
            said.append(f"{word} has no {listed(names)}")
    return said


def _news(name: str, whole: Collection[str], silent: Collection[str]) -> bool:
    metric, _, entry = name.partition("[")
    return metric not in (*whole, *_RATES) and entry.removesuffix("]") not in silent


def listed(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more:,} more" if more > 0 else "")


# ---------------------------------------------------------------- of a side


def of_side(word: str, side: Side) -> Iterator[str]:
    run = side.summary.get("run") or {}
    if "ended_at" in side.header and side.header["ended_at"] is None:
        yield f"{word} has not ended: what it has so far is compared"
    elif run.get("ending") not in (None, "", "done"):
        yield f"{word} stopped early: {run.get('why') or run['ending']}"
    if side.answers is not None:
        yield from _of_files(word, side)
    client = side.summary.get("client") or {}
    if client.get("limited"):
        yield f"{word}: llmfan itself held that run back ({client.get('why') or 'it was too slow'})"


def _of_files(word: str, side: Side) -> Iterator[str]:
    assert side.answers is not None and side.requests is not None
    jobs = figures()["jobs"].read(side.summary) or 0
    if len(side.answers) < jobs:
        yield f"{word}: results.jsonl holds {len(side.answers):,} of the {jobs:,.0f} jobs that its summary.json counts"
    if len(side.answers) and not len(side.requests.job):
        yield f"{word} has no attempts.jsonl, or an empty one: nothing is said of its 429s and its throughput"
