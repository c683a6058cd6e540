"""What is kept of a run to compare it: a column of numbers for each figure of its results and attempts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Values = np.ndarray[Any, np.dtype[np.float64]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]
Numbers = np.ndarray[Any, np.dtype[np.int64]]
#: (provider, model, key).
Target = tuple[str, str, str]


@dataclass(frozen=True)
class Answers:
    """A column each for results: `job` is unlike for unlike jobs, `target` counts into `targets`.

    Undefined figures are NaN; all of a failed job's are. `line`: where it stands among the results, by when it ended.
    """

    job: Numbers
    prompt: Numbers
    target: Numbers
    ok: Mask
    line: Numbers
    columns: dict[str, Values]
    targets: list[Target]

    def __len__(self) -> int:
        return len(self.job)

    def take(self, rows: Numbers) -> Answers:
        columns = {name: values[rows] for name, values in self.columns.items()}
        return Answers(
            self.job[rows], self.prompt[rows], self.target[rows], self.ok[rows], self.line[rows], columns, self.targets
        )


@dataclass(frozen=True)
class Requests:
    """A column each for attempts. `end` is NaN but for the answered."""

    job: Numbers
    target: Numbers
    limited: Mask
    sent: Values
    end: Values
    targets: list[Target]
