"""What a user can get wrong. Everything here ends with exit code 2 (or 4) and one clear message, never a traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One mistake in one place of a user's file. `line` counts from 1; 0 means the file as a whole."""

    file: str
    line: int
    message: str
    field: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.field}: {self.message}" if self.field else f"{place}: {self.message}"


class UserError(Exception):
    """Something the user can mend; carries its exit code (2: unusable input, 4: cannot go on for now)."""

    exit_code = 2

    def __init__(self, message: str, *, exit_code: int = 2):
        super().__init__(message)
        self.exit_code = exit_code


class InputFaults(UserError):
    """All faults of a file at once, in the order of its lines."""

    SHOWN = 20

    def __init__(self, faults: Iterable[Fault], advice: str = ""):
        self.faults = sorted(faults)
        lines = [str(f) for f in self.faults[: self.SHOWN]]
        if len(self.faults) > self.SHOWN:
            lines.append(f"… and {len(self.faults) - self.SHOWN} more faults")
        if advice:
            lines.append(advice)
        super().__init__("\n".join(lines))


def near(word: str, known: Iterable[str]) -> str:
    """` (did you mean "x"?)` for a near miss, else nothing."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f' (did you mean "{close[0]}"?)' if close else ""
