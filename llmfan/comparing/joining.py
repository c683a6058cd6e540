"""Two sides brought together: jobs that ended in both, line by line, and the entries they are looked at by."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from llmfan.comparing.arrays import Answers, Mask, Numbers, Requests, Target
from llmfan.comparing.side import Side

By = Literal["provider", "model", "key"]
#: Below this share of jobs in common, throughput is of other work and says nothing.
NEARLY_ALL = 0.95


@dataclass(frozen=True)
class Joined:
    """`aligned`: row n of `base` and row n of `new` are the same job."""

    base: Answers
    new: Answers
    base_requests: Requests
    new_requests: Requests
    aligned: bool
    whole: bool  # (nearly) all of what both runs did
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Entry:
    """The whole run (`name` ""), or one provider, model or key; what of each side is its."""

    name: str
    base: Mask
    new: Mask
    base_requests: Mask
    new_requests: Mask
    same_as_whole: bool = False


def join(base: Side, new: Side) -> Joined:
    """By id and repeat, and by provider, model or key where every one of these got every prompt."""
    assert base.answers is not None and new.answers is not None
    assert base.requests is not None and new.requests is not None
    if base.mode == new.mode:
        both, at_base, at_new = np.intersect1d(base.answers.job, new.answers.job, return_indices=True)
        if len(both):
            order = np.argsort(at_base)  # as BASE answered them: hashes come in another order each time
            return _aligned(base, new, at_base[order], at_new[order])
    common = np.intersect1d(base.answers.prompt, new.answers.prompt)
    if len(common):
        rows = [np.flatnonzero(np.isin(a.prompt, common)) for a in (base.answers, new.answers)]
        said = ["other modes: answers are compared as two heaps, not prompt by prompt"]
        return _pair(base, new, base.answers.take(rows[0]), new.answers.take(rows[1]), False, said)
    said = ["no prompt in common: all answers of each run are compared as two heaps"]
    return _pair(base, new, base.answers, new.answers, False, said)


def _aligned(base: Side, new: Side, at_base: Numbers, at_new: Numbers) -> Joined:
    assert base.answers is not None and new.answers is not None
    lost = [len(base.answers) - len(at_base), len(new.answers) - len(at_new)]
    said = []
    if any(lost):
        left_out = f"left out: {lost[0]:,} of BASE, {lost[1]:,} of NEW"
        said.append(f"{len(at_base):,} jobs ended in both runs and are compared; {left_out}")
    return _pair(base, new, base.answers.take(at_base), new.answers.take(at_new), True, said)


def _pair(base: Side, new: Side, a: Answers, b: Answers, aligned: bool, notes: list[str]) -> Joined:
    assert base.answers is not None and new.answers is not None
    assert base.requests is not None and new.requests is not None
    shares = [len(kept) / max(1, len(all_)) for kept, all_ in ((a, base.answers), (b, new.answers))]
    whole = min(shares) >= NEARLY_ALL
    ours, theirs = base.requests, new.requests
    if not whole:
        ours, theirs = _only(ours, a), _only(theirs, b)
    return Joined(a, b, ours, theirs, aligned, whole, notes)


def _only(requests: Requests, answers: Answers) -> Requests:
    kept = np.isin(requests.job, answers.job)
    return Requests(
        requests.job[kept], requests.target[kept], requests.limited[kept], requests.sent[kept], requests.end[kept],
        requests.targets,
    )  # fmt: skip


# ---------------------------------------------------------------- entries


def entries(joined: Joined, by: By, named: Iterable[str] = ()) -> list[Entry]:
    """The whole run, each that had a job or an attempt in either by `by`, and those that a gate names.

    One that only failed in NEW is what there is to be said of NEW.
    """
    named = list(dict.fromkeys(named))
    found = [_entry(joined, "", None)]
    kinds: dict[str, By] = dict.fromkeys(names_by(_targets(joined), by), by)
    for name in named:
        if name not in kinds and (kind := _kind(joined, name)):
            kinds[name] = kind
    for name, kind in kinds.items():
        entry = _entry(joined, name, kind)
        if name in named or any(
            mask.any() for mask in (entry.base, entry.new, entry.base_requests, entry.new_requests)
        ):
            found.append(entry)
    return found


def _targets(joined: Joined) -> list[Target]:
    """BASE's first, so that they come in the same order whatever NEW is."""
    sides = joined.base, joined.new, joined.base_requests, joined.new_requests
    return [target for side in sides for target in side.targets]


def known_names(side: Side) -> set[str]:
    """Every provider, `provider/model` and key label that this side has a line of."""
    if side.answers is None or side.requests is None:
        return set()
    targets = [*side.answers.targets, *side.requests.targets]
    kinds: tuple[By, ...] = ("provider", "model", "key")
    return {name for kind in kinds for name in names_by(targets, kind)}


def names_by(targets: Iterable[Target], by: By) -> list[str]:
    return [name for name in dict.fromkeys(_named(target, by) for target in targets) if name]


def _named(target: Target, by: By) -> str:
    provider, model, key = target
    if by == "model":
        return f"{provider}/{model}" if model else ""
    return provider if by == "provider" else key


def _kind(joined: Joined, name: str) -> By | None:
    """None: another of several NEW has it."""
    kinds: tuple[By, ...] = ("provider", "model", "key")
    return next((kind for kind in kinds if name in names_by(_targets(joined), kind)), None)


def _entry(joined: Joined, name: str, by: By | None) -> Entry:
    base, new = (mask_of(answers.target, answers.targets, name, by) for answers in (joined.base, joined.new))
    sent, resent = (
        mask_of(requests.target, requests.targets, name, by) for requests in (joined.base_requests, joined.new_requests)
    )
    alone = by is not None and all(mask.all() for mask in (base, new, sent, resent))
    return Entry(name, base, new, sent, resent, same_as_whole=alone)


def mask_of(target: Numbers, targets: list[Target], name: str, by: By | None) -> Mask:
    if by is None:
        return np.ones(len(target), dtype=bool)
    chosen = np.array([_named(each, by) == name for each in targets], dtype=bool)
    return chosen[target] if len(target) else np.zeros(0, dtype=bool)
