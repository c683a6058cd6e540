"""What a run is scored by, as given on the command line: load, grader, gates, and the files for CI systems."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llmfan.measures.gates import Gate
    from llmfan.options import Rate, RunOptions
    from llmfan.records import ResultLine
    from llmfan.session import Grade, Outcome
    from llmfan.settings import Fleet


class Files(NamedTuple):
    """`--junit` and `--summary-md`."""

    junit: str | None = None
    summary_md: str | None = None

    def check(self, folder: Path, *inputs: str | None) -> None:
        """Before anything is sent: hours later is too late to learn that a folder is missing. `folder`: the run's;
        `inputs`: files it reads, which must not be written over.
        """
        from llmfan.errors import UserError
        from llmfan.outputs.files import is_stream
        from llmfan.outputs.journal import ATTEMPTS, RESULTS, RUN, SUMMARY

        journal = (ATTEMPTS, RESULTS, RUN, SUMMARY)
        given = {option: Path(name) for option, name in self._named().items()}
        for option, path in given.items():
            if is_stream(path):
                continue
            if any(name is not None and path.resolve() == Path(name).resolve() for name in inputs):
                raise UserError(f"{option} {path}: this run reads it; name another file")
            if path.name in journal and (path.parent == folder or (path.parent / RUN).exists()):
                raise UserError(f"{option} {path}: is a run's own file; name another")
            if path.parent == folder:
                continue  # it is there by then
            if path.is_dir():
                raise UserError(f"{option} {path}: is a folder; name a file in it")
            if not path.parent.is_dir():
                raise UserError(f"{option} {path}: there is no folder {path.parent}")
            if not os.access(path.parent, os.W_OK):
                raise UserError(f"{option} {path}: the folder {path.parent} cannot be written to")
        if len({path.absolute() for path in given.values()}) < len(given):
            raise UserError("--junit and --summary-md name the same file")

    def _named(self) -> dict[str, str]:
        both = {"--junit": self.junit, "--summary-md": self.summary_md}
        return {option: name for option, name in both.items() if name is not None}

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
    from llmfan.errors import UserError
    from llmfan.measures.gates import parse, refuse_early

    names = {p.name for p in fleet.providers}
    names |= {f"{p.name}/{m.name}" for p in fleet.providers for m in p.models}
    names |= {k.label for p in fleet.providers for k in p.keys}
    faults: list[str] = []
    found: tuple[list[Gate], list[Gate]] = ([], [])
    for text, early in [*((t, False) for t in options.fail_if), *((t, True) for t in options.abort_if)]:
        try:
            gate = parse(text, names)
            _refuse_unknowable(gate, options)
            if early:
                refuse_early(gate)
            found[early].append(gate)
        except UserError as error:  # a name may be of the file, and left out
            faults.append(str(error))
            faults += [note for note in fleet.notes if f'"{note.partition(":")[0]}"' in str(error)]
    if faults:
        raise UserError("\n".join(faults))
    return found


def _refuse_unknowable(gate: Gate, options: RunOptions) -> None:
    """A gate that this run can never judge would end it with 3 in any case."""
    from llmfan.errors import UserError

    name = gate.figure.metric.name
    if options.rate is not None and name in ("ideal_duration_s", "efficiency"):
        raise UserError(f'gate "{gate.expr}": with --rate it is the arrivals that say how long a run takes')
    if options.rate is None and name in ("asked_per_s", "achieved_per_s"):
        raise UserError(f'gate "{gate.expr}": there is such a rate with --rate only')


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


def written(files: Files, outcome: Outcome, folder: Path) -> int:
    """Writes the files for CI systems, once all else is told, and gives the run's exit code."""
    from llmfan.cli.given import tell
    from llmfan.errors import UserError

    try:
        files.write(outcome.summary, folder)
    except UserError as error:
        tell(str(error))
        return outcome.exit_code if outcome.exit_code > error.exit_code else error.exit_code
    return outcome.exit_code


def _failed(folder: Path) -> Iterator[ResultLine]:
    from llmfan.replay import failed_results

    return failed_results(folder)
