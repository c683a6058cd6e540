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
    "--simulate-speed",
)  # fmt: skip
_SHOWN = 60
#: Of an option that the run did not note.
_UNKNOWN = "not known"
#: From this share of ids in common on, another sha256 is a set that was edited or grew.
_LARGELY = 0.5


def check(base: Side, new: Side, anyway: bool) -> list[str]:
    """What differs; refused (2) unless `anyway`."""
    found = list(differences(base, new))
    if found and not anyway:
        raise UserError(f"{refusal(base, new, found)} (to compare what is in common: --anyway)")
    return found


def refusal(base: Side, new: Side, found: list[str]) -> str:
    return f"{base.name} and {new.name} are not comparable: {'; '.join(found)}"


def differences(base: Side, new: Side) -> Iterator[str]:
    if base.simulated != new.simulated:
        words = {None: "not known to be real or simulated", False: "real", True: "simulated"}
        yield f"BASE is {words[base.simulated]}, NEW is {words[new.simulated]}"
    if base.shaping_known and new.shaping_known:
        yield from _options(base, new)
    elif base.shaping_known or new.shaping_known:
        yield f"with which options {'NEW' if base.shaping_known else 'BASE'} was run is not known"
    yield from _prompts(base, new)


def _options(base: Side, new: Side) -> Iterator[str]:
    if base.mode != new.mode:
        yield f"--mode was {base.mode}, is {new.mode}"
    for option in _SHAPES:
        before, after = base.shaping.get(option, _UNKNOWN), new.shaping.get(option, _UNKNOWN)
        if _set(before) != _set(after):
            yield f"{option} was {_said(before)}, is {_said(after)}"


def _set(value: Any) -> Any:
    """An older run did not note an option that it did not have; nothing set is none, however it is written."""
    return None if value in (_UNKNOWN, {}) else value


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
    text = _UNKNOWN if value == _UNKNOWN else "not set" if value in (None, {}) else str(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
