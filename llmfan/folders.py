"""Where a run's folder is: a new one, or the newest of a prompt set."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path

from llmfan.errors import UserError
from llmfan.outputs.journal import RUN

RUNS = Path("runs")


def choose_folder(prompts: str, out: str | None, resume: bool) -> Path:
    """`--out`, else `runs/<UTC time>-<name>`; with `resume` the newest run of this prompt set."""
    if out is not None:
        folder = Path(out)
        if resume and not (folder / RUN).exists():
            raise UserError(f"{folder}: holds no run to resume")
        return folder
    name = _name(prompts)
    if not resume:
        now = dt.datetime.now(dt.UTC)
        folder = RUNS / f"{now:%Y%m%dT%H%M%SZ}-{name}"
        number = 2
        while folder.exists():
            folder = RUNS / f"{now:%Y%m%dT%H%M%SZ}-{name}-{number}"
            number += 1
        return folder
    own = re.compile(rf"\d{{8}}T\d{{6}}Z-{re.escape(name)}(-\d+)?")
    found = sorted(p.parent for p in RUNS.glob(f"*/{RUN}") if own.fullmatch(p.parent.name))
    if not found:
        raise UserError(f"no run of {prompts} under {RUNS}/ to resume (name its folder with --out)")
    return found[-1]


def _name(prompts: str) -> str:
    """The prompt set's name as part of a folder's: letters, digits, dots and dashes only."""
    stem = "stdin" if prompts == "-" else Path(prompts).name
    for ending in (".gz", ".jsonl", ".json"):
        stem = stem.removesuffix(ending)
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem)[:60].strip(".-") or "prompts"
