"""What a run is scored by, as given on the command line: load, grader, gates, and the files for CI systems."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llmfan.measures.gates import Gate
    from llmfan.options import Rate, RunOptions
    from llmfan.records import ResultLine
    from llmfan.session import Grade
    from llmfan.settings import Fleet


class Files(Struct, frozen=True, kw_only=True):
    """`--junit` and `--summary-md`."""

    junit: str | None = None
    summary_md: str | None = None

    def check(self) -> None:
        """Before anything is sent: hours later is too late to learn that a folder is missing."""
        from llmfan.errors import UserError

        for option, name in (("--junit", self.junit), ("--summary-md", self.summary_md)):
            if name is None:
                continue
            if Path(name).is_dir():
                raise UserError(f"{option} {name}: is a folder; name a file in it")
            if not Path(name).parent.is_dir():
                raise UserError(f"{option} {name}: there is no folder {Path(name).parent}")
            if not os.access(Path(name).parent, os.W_OK):
                raise UserError(f"{option} {name}: the folder {Path(name).parent} cannot be written to")

    def write(self, summary: dict[str, Any], folder: Path) -> None:
        if self.junit is not None:
            from llmfan.outputs.junit import write_junit

            write_junit(Path(self.junit), summary, _failed(folder))
        if self.summary_md is not None:
            from llmfan.outputs.files import write_file
            from llmfan.outputs.markdown import markdown

            write_file(Path(self.summary_md), [markdown(summary)])


def rate(text: str | None, over: str | None, arrival: str) -> Rate | None:
    from llmfan.cli.given import duration
    from llmfan.errors import near
    from llmfan.scheduling.arrivals import parse_rate

    known = ("constant", "poisson")
    if arrival not in known:
        what = f"expected constant or poisson, got {arrival!r}{near(arrival, known)}"
        raise typer.BadParameter(what, param_hint="--arrival")
    if text is None:
        if over is not None or arrival != "constant":
            raise typer.BadParameter("goes with --rate", param_hint="--arrival" if over is None else "--over")
        return None
    try:
        return parse_rate(text, None if over is None else duration(over, "--over"), arrival)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--rate") from None


def gates(fleet: Fleet, options: RunOptions) -> tuple[list[Gate], list[Gate]]:
    """(of --fail-if, of --abort-if), every name in them checked."""
    from llmfan.measures.gates import parse, refuse_early

    names = {p.name for p in fleet.providers}
    names |= {f"{p.name}/{m.name}" for p in fleet.providers for m in p.models}
    names |= {k.label for p in fleet.providers for k in p.keys}
    fails = [parse(text, names) for text in options.fail_if]
    aborts = [parse(text, names) for text in options.abort_if]
    for gate in aborts:
        refuse_early(gate)
    return fails, aborts


def grader(options: RunOptions) -> Grade:
    from llmfan.inputs.grader_choice import chosen

    return chosen(options.grade)


def tell_faults(grade: Grade) -> None:
    """What a grader of the user's own could not judge: once for each kind of fault."""
    from llmfan.cli.given import tell
    from llmfan.inputs.own_grader import OwnGrader

    if isinstance(grade, OwnGrader):
        for line in grade.told():
            tell(line)


def _failed(folder: Path) -> Iterator[ResultLine]:
    from llmfan.replay import failed_results

    return failed_results(folder)
