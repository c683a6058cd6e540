"""Whether two runs may be compared at all, and if not, what differs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from llmfan.comparing.arrays import Answers
from llmfan.comparing.side import Side
from llmfan.errors import UserError

#: Of run.json's "shaping": what makes other answers of the same prompts.
_SHAPES = (
    "--grade", "--system", "--max-tokens", "--temperature", "--param", "--template", "--prompt-field", "--expect-field",
)  # fmt: skip
_SHOWN = 60
#: From this share of ids in common on, another sha256 is a set that was edited or grew.
_LARGELY = 0.5


def check(base: Side, new: Side, anyway: bool) -> list[str]:
    """What differs; refused (2) unless `anyway`."""
    found = list(differences(base, new))
    if found and not anyway:
        said = f"{base.name} and {new.name} are not comparable: {'; '.join(found)}"
        raise UserError(f"{said} (to compare what is in common: --anyway)")
    return found


def differences(base: Side, new: Side) -> Iterator[str]:
    if base.simulated != new.simulated:
        words = ("real", "simulated")
        yield f"BASE is {words[base.simulated]}, NEW is {words[new.simulated]}"
    if base.mode != new.mode:
        yield f"--mode was {base.mode}, is {new.mode}"
    yield from _prompts(base, new)
    for option in _SHAPES:
        before, after = base.shaping.get(option), new.shaping.get(option)
        if before != after:
            yield f"{option} was {_said(before)}, is {_said(after)}"


def in_common(base: Answers, new: Answers) -> tuple[int, int, int]:
    """(prompts in both, in BASE, in NEW); repeats count apart."""
    before, after = np.unique(base.prompt), np.unique(new.prompt)
    return len(np.intersect1d(before, after, assume_unique=True)), len(before), len(after)


def _prompts(base: Side, new: Side) -> Iterator[str]:
    before, after = _sha(base.header), _sha(new.header)
    if before == after and before is not None:
        return
    if base.answers is None or new.answers is None:
        if before != after:
            yield "the prompt sets differ"
        return
    both, n_base, n_new = in_common(base.answers, new.answers)
    if both == n_base == n_new and (before is None or after is None):
        return
    largely = " (a set that was edited or grew?)" if both >= _LARGELY * min(n_base, n_new) and both else ""
    yield f"the prompt sets differ: {both:,} prompts in common of {n_base:,} and {n_new:,}{largely}"


def _sha(header: Mapping[str, Any]) -> str | None:
    return (header.get("prompts") or {}).get("sha256")


def _said(value: Any) -> str:
    text = "not set" if value in (None, {}) else str(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
