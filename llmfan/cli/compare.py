"""`llmfan compare BASE NEW…`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmfan.cli import given
from llmfan.cli.version import show_version

if TYPE_CHECKING:
    from llmfan.comparing.joining import By
    from llmfan.comparing.side import Side
    from llmfan.measures.gates import Gate
    from llmfan.reporting.folder import RunFolder

_WHAT, _FORMS, _GENERAL = "What is compared", "Beside the table", "General"


# One option a line, so that it reads as a table.
# fmt: off
def compare(
    base: Annotated[str, typer.Argument(metavar="BASE", help="The run to compare with: its folder, or its summary.json alone (then figures only, untested).")],
    new: Annotated[list[str], typer.Argument(metavar="NEW", help="One run or several, each compared with BASE.")],
    by: Annotated[str, typer.Option("--by", metavar="provider|model|key", help="What is looked at beside the whole run.", rich_help_panel=_WHAT)] = "provider",
    fail_if: Annotated[list[str] | None, typer.Option("--fail-if", metavar="EXPR", help="A change that must not be, such as 'latency_p50 > +10%' or 'accuracy[NAME] < -2%'; fails on a significant one only. Repeatable.", rich_help_panel=_WHAT)] = None,
    min_effect: Annotated[str, typer.Option("--min-effect", metavar="SHARE", help="Below this a change is none.", rich_help_panel=_WHAT)] = "3%",
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Of the bootstrap.", rich_help_panel=_WHAT)] = 0,
    anyway: Annotated[bool, typer.Option("--anyway", help="Compare what is in common of runs that are not comparable.", rich_help_panel=_WHAT)] = False,
    md: Annotated[str | None, typer.Option("--md", metavar="FILE|-", help="As Markdown.", rich_help_panel=_FORMS)] = None,
    html: Annotated[str | None, typer.Option("--html", metavar="FILE", help="As a page that opens offline.", rich_help_panel=_FORMS)] = None,
    providers: Annotated[str | None, typer.Option("--providers", "-p", metavar="FILE", envvar="LLMFAN_PROVIDERS", help="Not used here: a run's folder says what its fleet was.", hidden=True)] = None,
    env_file: Annotated[str | None, typer.Option("--env-file", metavar="FILE", help="Not used here.", hidden=True)] = None,
    state: Annotated[str | None, typer.Option("--state", metavar="FILE", envvar="LLMFAN_STATE", help="Not used here.", hidden=True)] = None,
    json_: Annotated[bool, typer.Option("--json", help="The comparison as JSON on stdout (of several NEW: a list under \"comparisons\"), and nothing else there.", rich_help_panel=_GENERAL)] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No notes.", rich_help_panel=_GENERAL)] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Every figure, changed or not.", rich_help_panel=_GENERAL)] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version and end.", is_eager=True, callback=show_version, rich_help_panel=_GENERAL)] = False,
) -> None:
    # fmt: on
    """Compare runs with a base: what changed, by how much, and whether that is more than noise. Sends nothing."""
    from llmfan.comparing.analysis import require

    kind = _by(by)
    least = _share(min_effect)
    _check_outputs(json_, md, html)
    _check_places([base, *new], [each for each in (md, html) if each not in (None, "-")])
    require()
    refused: list[dict[str, Any]] = []
    try:
        documents = _compared(base, new, fail_if or [], kind, least, seed, anyway, refused)
    finally:
        if json_ and refused:
            _print_json(refused)
    _write_files(documents, md, html, verbose, quiet)
    if json_:
        _print_json(documents)
    elif md != "-":
        from llmfan.outputs.compare_table import print_comparisons

        print_comparisons(documents, verbose=verbose)
    if not all(gate["held"] for document in documents for gate in document["gates"]):
        raise typer.Exit(3)


def _compared(
    base: str, new: Sequence[str], exprs: Sequence[str], by: By, min_effect: float, seed: int, anyway: bool,
    refused: list[dict[str, Any]],
) -> list[dict[str, Any]]:  # fmt: skip
    """One NEW after the other: BASE and one NEW are in memory at a time. All are looked at before one is compared."""
    from llmfan.comparing.document import compare as compared

    before, gates, only = _looked_at(base, new, exprs, anyway, refused)
    return [
        compared(before, after, gates=gates, by=by, min_effect=min_effect, seed=seed, anyway=anyway)
        for after in ([only] if only else map(_loaded, new))
    ]


def _looked_at(
    base: str, new: Sequence[str], exprs: Sequence[str], anyway: bool, refused: list[dict[str, Any]]
) -> tuple[Side, list[Gate], Side | None]:
    """(BASE, the gates, the one NEW). All that is wrong with any side is told at once; `refused` takes a document for
    each that cannot be compared.
    """
    from llmfan.comparing import alike
    from llmfan.comparing.document import names
    from llmfan.comparing.gating import parse_all
    from llmfan.errors import UserError

    before, faults, known = None, [], set()
    for number, path in enumerate([base, *new]):
        try:
            side = _loaded(path)
        except UserError as error:
            faults.append(str(error))
            continue
        before = side if not number else before
        known |= names([side])
        differences = list(alike.differences(before, side)) if before and number and not anyway else []
        if before and differences:
            nothing: dict[str, Any] = {"notes": [], "metrics": [], "figures": [], "gates": []}
            refused.append({"comparable": False, "why": differences, "base": base, "new": path, **nothing})
            faults.append(f"{alike.refusal(before, side, differences)} (to compare what is in common: --anyway)")
    if before is None or faults:
        raise UserError("\n".join(dict.fromkeys(faults)))
    return before, parse_all(exprs, known), side if len(new) == 1 else None


def _loaded(path: str) -> Side:
    from llmfan.comparing.side import load

    return load(Path(path))


def _by(text: str) -> By:
    from llmfan.errors import near

    match text:
        case "provider" | "model" | "key":
            return text
    known = ("provider", "model", "key")
    raise typer.BadParameter(f"expected one of {', '.join(known)}, got {text!r}{near(text, known)}", param_hint="--by")


def _share(text: str) -> float:
    """`3%` or `0.03`."""
    bare = text.strip()
    try:
        value = float(bare.removesuffix("%")) / (100 if bare.endswith("%") else 1)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise typer.BadParameter(f"expected a share such as 3% or 0.03, got {text!r}", param_hint="--min-effect")
    return value


def _check_outputs(json_: bool, md: str | None, html: str | None) -> None:
    from llmfan.errors import UserError

    if json_ and md == "-":
        raise UserError("--json and --md - cannot share stdout")
    if html == "-":
        raise UserError("--html takes a file: a page on a terminal is of no use")


def _check_places(sides: Sequence[str], places: Sequence[str | None]) -> None:
    """Before anything is computed: a place that can be written to, and that is no part of a run compared."""
    from llmfan.errors import UserError
    from llmfan.reporting.placing import check_place

    taken: list[Path] = []
    for path in [Path(place) for place in places if place is not None]:
        try:
            for side in map(Path, sides):
                check_place(path, [_run_of(side)], page=False)
                if path.exists() and side.is_file() and path.samefile(side):
                    raise UserError(f"{path}: is one of the runs that are compared; name another file")
            if not os.access(path if path.exists() else path.parent, os.W_OK):
                raise UserError(f"{path}: cannot be written: no permission")
            if path.resolve() in taken:
                raise UserError(f"--md and --html cannot both be written to {path}")
            taken.append(path.resolve())
        except OSError as error:
            raise UserError(f"{path}: cannot be written: {error.strerror or error}") from None


def _run_of(side: Path) -> RunFolder:
    """As far as it can be read: what is wrong with it is told when it is loaded."""
    from llmfan.errors import UserError
    from llmfan.outputs.journal import RUN, SUMMARY
    from llmfan.reporting.documents import Header, Summary, read_document
    from llmfan.reporting.folder import RunFolder

    folder = side if side.is_dir() else side.parent
    summary = side if side.is_file() else side / SUMMARY
    try:
        header = read_document(folder / RUN, Header) if side.is_dir() else None
        header = header or (read_document(summary, Summary) or {}).get("run") or {}
    except UserError:
        header = {}
    return RunFolder(path=folder, header=header, summary=None)


def _write_files(documents: list[dict[str, Any]], md: str | None, html: str | None, verbose: bool, quiet: bool) -> None:
    from llmfan.outputs.files import write_file

    if md is not None:
        from llmfan.outputs.compare_markdown import comparisons_markdown

        text = comparisons_markdown(documents, verbose=verbose)
        if md == "-":
            sys.stdout.write(text)
            sys.stdout.flush()
        else:
            write_file(Path(md), [text])
    if html is not None:
        from llmfan.outputs.compare_page import comparison_page

        write_file(Path(html), comparison_page(documents))
    written = [path for path in (md, html) if path not in (None, "-")]
    given.tell_lines([f"written: {path}" for path in written], quiet)


def _print_json(documents: list[dict[str, Any]]) -> None:
    import msgspec

    document = documents[0] if len(documents) == 1 else {"comparisons": documents}
    sys.stdout.write(msgspec.json.encode(document).decode() + "\n")
    sys.stdout.flush()
