"""What was given on the command line, read and checked: numbers, times, fields, and the files it names."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llmfan.inputs.prompts import PromptSet
    from llmfan.options import RunOptions
    from llmfan.ports import Archive, Ledger
    from llmfan.settings import Fleet

#: Request fields with a place of their own.
_OURS = {"model": "the providers file", "messages": "the prompt set", "stream": "--stream/--no-stream"}


def choice(mode: str) -> Any:
    from llmfan.errors import near

    known = ("spread", "providers", "models", "keys")
    if mode not in known:
        raise typer.BadParameter(
            f"expected one of {', '.join(known)}, got {mode!r}{near(mode, known)}", param_hint="--mode"
        )
    return mode


def duration(text: str, name: str) -> float:
    from llmfan.units import seconds

    value = seconds(text)
    if value is None or value <= 0:
        raise typer.BadParameter(f"expected a time such as 90s, 10m or 2h, got {text!r}", param_hint=name)
    return value


def until(text: str, name: str) -> float:
    """Seconds from now: a duration, a time of day of this place, or a date and time."""
    import datetime as dt

    from llmfan.cli.moments import seconds_until

    return seconds_until(text, name, dt.datetime.now().astimezone())


def positive(value: float | None, name: str) -> float | None:
    if value is not None and not 0 < value < float("inf"):
        raise typer.BadParameter(f"expected a positive number, got {value:g}", param_hint=name)
    return value


def params(pairs: list[str] | None) -> dict[str, Any]:
    import json

    found: dict[str, Any] = {}
    for pair in pairs or []:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"expected NAME=VALUE, got {pair!r}", param_hint="--param")
        if name in _OURS:
            raise typer.BadParameter(f"{name} is set by {_OURS[name]}", param_hint="--param")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


def template(text: str | None) -> str | None:
    from llmfan.errors import UserError

    if text is None or not text.startswith("@"):
        return text
    try:
        return Path(text[1:]).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "not UTF-8"
        raise UserError(f"{text[1:]}: cannot be read as a template: {why}") from None


def providers_file(named: str | None, packaged: bool, trial: str = "run PROMPTS --simulate") -> str:
    """`packaged`: whether the packaged fleet will do where there is no file. `trial`: the command that needs none."""
    from llmfan.errors import UserError
    from llmfan.inputs.catalogue_files import packaged_providers

    if named is not None:
        return named
    if Path("providers.yaml").exists():
        return "providers.yaml"
    if packaged:
        return packaged_providers()
    raise UserError(
        "no providers file: there is no ./providers.yaml and none was named with -p; write one with: llmfan init "
        f"(or try without any key: llmfan {trial})"
    )


def whole(fleet: Fleet, env: Mapping[str, str], *cuts: list[str] | None) -> Fleet:
    """The whole file's fleet for the ledger: who shares an account with whom must not depend on --only."""
    return everything(fleet, env) if any(cuts) else fleet


def everything(fleet: Fleet, env: Mapping[str, str], simulate: bool = False) -> Fleet:
    """The file's fleet with keys that are not set and providers that are closed."""
    from llmfan.errors import UserError
    from llmfan.inputs.config import load_fleet

    try:
        return load_fleet(fleet.file, env, simulate=simulate, every=True)
    except UserError:  # a fault of what was not asked for
        return fleet


def ledger(state: str | None, fleet: Fleet) -> Ledger:
    """What earlier runs learned and spent, and what others are spending now."""
    from llmfan.ledgers.opening import open_ledger

    return open_ledger(state, fleet, tell)


def archive(state: str | None, fleet: Fleet) -> Archive:
    """The same, to be read only."""
    from llmfan.ledgers.opening import open_archive

    return open_archive(state, fleet, tell)


def tell(text: str) -> None:
    """What has to be known even where notes are not wanted: a figure that cannot be kept."""
    print(f"llmfan: {text}", file=sys.stderr)


def prompt_set(path: str, options: RunOptions, folder: Path | None) -> PromptSet:
    """The prompt set, checked whole; stdin is kept in `folder`, or in a nameless file."""
    from llmfan.inputs.prompts import ReadOptions, check_prompts

    reading = ReadOptions(
        prompt_field=options.prompt_field, expect_field=options.expect_field, id_field=options.id_field,
        template=options.template, system=options.system, grade=options.grade,
    )  # fmt: skip
    spool = None
    if path == "-" and folder is not None:
        from llmfan.outputs.journal import make_private

        make_private(folder)
        spool = str(folder)
    return check_prompts(path, reading, shuffle=options.shuffle, spool_dir=spool, stdin=sys.stdin.buffer)


def check_prices(fleet: Fleet, options: RunOptions) -> None:
    from llmfan.errors import UserError

    if options.max_cost is None:
        return
    unknown = [f"{p.name}/{m.name}" for p in fleet.providers if p.paid for m in p.models if m.price is None]
    if unknown:
        raise UserError(
            f"--max-cost needs a price for every paid model; none is known for {', '.join(unknown)} "
            "(add price: {input: …, output: …} in USD per million tokens)"
        )


def tell_lines(lines: list[str], quiet: bool) -> None:
    for line in () if quiet else lines:
        print(line, file=sys.stderr)


def tell_notes(fleet: Fleet, verbose: bool, quiet: bool) -> None:
    if quiet or not fleet.notes:
        return
    if verbose or len(fleet.notes) <= 3:
        for note in fleet.notes:
            print(note, file=sys.stderr)
    else:
        names = ", ".join(note.partition(":")[0] for note in fleet.notes)
        print(f"left out or worth a look ({len(fleet.notes)}): {names} (-v says why)", file=sys.stderr)
