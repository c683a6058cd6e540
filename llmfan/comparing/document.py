"""The document of `llmfan compare --json`: what is compared, what changed, and which gates held."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from llmfan.comparing import alike, gaps, gating, significance
from llmfan.comparing.findings import Findings, Row, figure, find
from llmfan.comparing.joining import By, entries, join, known_names
from llmfan.comparing.side import Side
from llmfan.errors import UserError
from llmfan.measures.gates import Gate
from llmfan.measures.metrics import figures

#: Below this a change is none, whatever the tests say.
MIN_EFFECT = 0.03
#: No independent samples: how long a request waited hangs on those before it. They stand side by side, untested.
_QUEUED = ("wait_p50", "wait_p95", "retry_mean", "total_p50", "total_p95", "itl_p50", "itl_p95")
_OF_THE_RUN = ("jobs", "duration_s", "ideal_duration_s", "efficiency", "cost_per_right_usd")
#: Where no answers are at hand, these too.
_TESTED_ELSE = (
    "latency_p50", "latency_p95", "ttft_p50", "ttft_p95", "ttfo_p50", "tpot_p50", "failed_rate", "rate_limited_rate",
    "accuracy", "requests_per_s", "output_tokens_per_s", "cost_usd",
)  # fmt: skip
_ORDER = {name: place for place, name in enumerate((
    "accuracy", "failed_rate", "rate_limited_rate", "latency_p50", "latency_p95", "ttft_p50", "ttft_p95", "ttfo_p50",
    "ttfo_p95", "tpot_p50", "tpot_p95", "requests_per_s", "output_tokens_per_s", "output_tokens", "cost_usd",
))}  # fmt: skip


def compare(
    base: Side,
    new: Side,
    *,
    gates: Sequence[Gate] = (),
    by: By = "provider",
    min_effect: float = MIN_EFFECT,
    seed: int = 0,
    anyway: bool = False,
) -> dict[str, Any]:
    """NEW against BASE. Refuses what is not comparable, unless `anyway`."""
    why = alike.check(base, new, anyway)
    document: dict[str, Any] = {
        "comparable": not why, "why": why, "base": base.name, "new": new.name,
        "simulated": bool(base.simulated or new.simulated), "min_effect": min_effect, "alpha": significance.ALPHA,
    }  # fmt: skip
    if base.answers is None or new.answers is None:
        return document | _side_by_side(base, new, gates, by)
    with np.errstate(over="ignore", invalid="ignore"):  # figures that no clock ever gave are no reason to warn
        return document | _tested(base, new, gates, by, min_effect, seed)


def _tested(base: Side, new: Side, gates: Sequence[Gate], by: By, min_effect: float, seed: int) -> dict[str, Any]:
    joined = join(base, new)
    asked = [gate.name for gate in gates if gate.name]
    paces = {gate.name for gate in gates if gate.figure.metric.name in gating.PACES}
    found = find(joined, entries(joined, by, asked), np.random.default_rng(seed), paces)
    metrics = sorted(_judged(found, min_effect), key=lambda each: _place(each["metric"]))
    known = {each["metric"] for each in (*metrics, *found.figures)}
    parts = gaps.parts_of(base, new, by)
    beside = _figures(base, new, (*(name for name in gating.PACES if name not in known), *_OF_THE_RUN, *_QUEUED))
    untested = [*found.figures, *gaps.unjoined_rates(parts, known), *beside]
    absent = gaps.absent(parts)
    missing = gaps.lacking(untested if base.summary and new.summary else found.figures, parts)
    return {
        "absent": absent,
        "notes": [*absent, *joined.notes, *missing, *found.notes, *_notes(base, new)],
        "tests": len(found.tests),
        "questions": len({test.question for test in found.tests}),
        "metrics": metrics,
        "figures": untested,
        "gates": [gating.judged(gate, metrics, [*metrics, *untested]) for gate in gates],
    }


def names(sides: Iterable[Side]) -> set[str]:
    """What a gate may name in brackets."""
    return set().union(*(known_names(side) for side in sides))


# ---------------------------------------------------------------- verdicts


def _judged(found: Findings, min_effect: float) -> list[dict[str, Any]]:
    p = significance.adjusted(found.tests)
    return [_metric(row, min((p[n] for n in row.tests), default=1.0), min_effect) for row in found.rows]


def _metric(row: Row, p: float, min_effect: float) -> dict[str, Any]:
    """`significant` leaves the minimum effect out: a gate brings its own.

    Beside its test a figure needs its own interval to exclude 0: that its distribution changed is not yet that this
    part of it did. A median needs its one-sided 95 % bound only, and not even that where the rank test is `SURE`: it
    is what these tests are about, and they see more than the few answers around it.
    """
    change = row.new / row.base - 1 if row.base > 0 else None
    low, high = row.interval if row.base > 0 else (None, None)
    significant = p < significance.ALPHA and row.new != row.base
    if row.one_sided is None or p >= significance.SURE:
        significant = significant and _excludes_none(change, *(row.one_sided or (low, high)))
    verdict = "no change"
    if significant and (change is None or abs(change) >= min_effect):
        verdict = "better" if (row.new > row.base) is row.higher else "worse"
    return {
        "metric": row.name, "base": _short(row.base), "new": _short(row.new), "change": _short(change),
        "low": _short(low), "high": _short(high), "p_value": float(f"{p:.4g}"), "verdict": verdict,
        "significant": significant, "n_base": row.n_base, "n_new": row.n_new, "paired": row.paired,
    }  # fmt: skip


def _excludes_none(change: float | None, low: float | None, high: float | None) -> bool:
    """Whether the interval lies on the change's side of 0 altogether; an end that is missing is as far as can be."""
    if change is None:  # from nothing: there is no relative change, and the test alone speaks
        return True
    return (low is not None and low > 0) if change > 0 else (high is not None and high < 0)


def _place(name: str) -> tuple[bool, str, int, str]:
    """The whole run first; in an entry what matters most first."""
    metric, _, entry = name.partition("[")
    return bool(entry), entry, _ORDER.get(metric, len(_ORDER)), metric


# ---------------------------------------------------------------- what is not tested


def _side_by_side(base: Side, new: Side, gates: Sequence[Gate], by: By) -> dict[str, Any]:
    less = [(word, side.name) for word, side in (("BASE", base), ("NEW", new)) if side.answers is None]
    if gates:
        names = " and ".join(name for _, name in less)
        raise UserError(f"a gate on a change needs the answers of both runs, and of {names} there is a summary alone")
    parts = gaps.parts_of(base, new, by)
    found = _figures(base, new, (*_TESTED_ELSE, *_OF_THE_RUN, *_QUEUED))
    both = gaps.entries_of(base.summary, by), gaps.entries_of(new.summary, by)
    for name in dict.fromkeys([*both[0], *both[1]]):
        for known in _TESTED_ELSE:
            values = [figures()[known].read(entries.get(name) or {}) for entries in both]
            if values != [None, None]:
                found.append(figure(f"{known}[{name}]", *values))
    absent = gaps.absent(parts)
    missing = gaps.lacking(found, parts) if base.summary and new.summary else []
    said = f"of {' and '.join(word for word, _ in less)} there is a summary alone"
    return {
        "tests": 0, "questions": 0, "metrics": [], "figures": found, "gates": [], "untested": said, "absent": absent,
        "notes": [*absent, f"{said}: figures side by side, with no test of what they mean", *missing,
                  *_notes(base, new)],
    }  # fmt: skip


def _figures(base: Side, new: Side, wanted: Iterable[str]) -> list[dict[str, Any]]:
    known = figures()
    found = []
    for name in wanted:
        values = known[name].read(base.summary), known[name].read(new.summary)
        if values != (None, None):
            found.append(figure(name, *values))
    return found


def _notes(base: Side, new: Side) -> list[str]:
    notes = []
    began = [(side.summary.get("run") or {}).get("started_at") for side in (base, new)]
    if began[0] is not None and began[0] == began[1]:
        notes.append("BASE and NEW are one and the same run: nothing can differ")
    if counts := base.estimated + new.estimated:
        notes.append(f"{counts:,} of the token counts are estimates, and so is what is made of them")
    for word, side in (("BASE", base), ("NEW", new)):
        notes += gaps.of_side(word, side)
        if not side.summary and (base.summary or new.summary):
            notes.append(f"{word} has no summary.json: no figure of the run as a whole stands beside the other's")
    return notes


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")
