"""`llmfan status`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmfan.cli import given
from llmfan.cli.version import show_version

if TYPE_CHECKING:
    from llmfan.ports import Archive
    from llmfan.settings import Fleet
    from llmfan.status.forgetting import Reset

_WHICH, _GENERAL = "Which keys", "General"
#: Between two documents of `--watch --json`.
EVERY_S = 2.0


# One option a line, so that it reads as a table.
# fmt: off
def status(
    provider: Annotated[list[str] | None, typer.Option("--provider", metavar="NAME", help="Only this provider. Repeatable.", rich_help_panel=_WHICH)] = None,
    key: Annotated[list[str] | None, typer.Option("--key", metavar="LABEL", help="Only this key, with all its limits. Repeatable.", rich_help_panel=_WHICH)] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Look again every two seconds, until q or Ctrl-C. Only reads.")] = False,
    history: Annotated[bool, typer.Option("--history", help="When limits changed, the newest first.")] = False,
    reset: Annotated[list[str] | None, typer.Option("--reset", metavar="NAME", help="Lift cooldowns and forget what was learned of a provider, PROVIDER/MODEL, a key's label, or all. What was spent stays spent. Repeatable.")] = None,
    providers: Annotated[str | None, typer.Option("--providers", "-p", metavar="FILE", envvar="LLMFAN_PROVIDERS", help="The providers file; default ./providers.yaml.", rich_help_panel=_GENERAL)] = None,
    env_file: Annotated[str | None, typer.Option("--env-file", metavar="FILE", help="Variables; default ./.env where there is one.", rich_help_panel=_GENERAL)] = None,
    state: Annotated[str | None, typer.Option("--state", metavar="FILE", envvar="LLMFAN_STATE", help="What earlier runs and probes learned and spent.", rich_help_panel=_GENERAL)] = None,
    json_: Annotated[bool, typer.Option("--json", help="The document as JSON on stdout, and nothing else there.", rich_help_panel=_GENERAL)] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No notes.", rich_help_panel=_GENERAL)] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Every limit of every key.", rich_help_panel=_GENERAL)] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version and end.", is_eager=True, callback=show_version, rich_help_panel=_GENERAL)] = False,
) -> None:
    # fmt: on
    """What is known of every key, from earlier runs and probes: limits, usage, health. Sends nothing."""
    fleet = _fleet(given.providers_file(providers, packaged=False), env_file)
    names, labels = provider or [], key or []
    _check_names(fleet, names, labels)
    view = _View(fleet, names, labels, state, _once())
    if verbose:
        given.tell_notes(fleet, verbose, quiet)
    if reset:
        raise typer.Exit(_reset(view, reset, json_))
    if history:
        _history(view, json_)
    elif watch:
        _watch(view, json_, verbose or bool(labels))
    elif json_:
        _write(view.document())
    else:
        from llmfan.outputs.status_table import print_status

        print_status(view.document(), details=verbose or bool(labels))


class _View:
    """The fleet, what of it is wanted, and where its ledger is. The ledger is opened anew for each look."""

    def __init__(
        self,
        fleet: Fleet,
        providers: Sequence[str],
        keys: Sequence[str],
        state: str | None,
        say: Callable[[str], None],
    ):
        from llmfan.runfile import redactor

        self.fleet, self.providers, self.keys, self.state, self.say = fleet, providers, keys, state, say
        self.redacted = redactor(fleet).document

    def archive(self) -> Archive:
        from llmfan.ledgers.opening import open_archive

        return open_archive(self.state, self.fleet, self.say)

    def document(self) -> dict[str, Any]:
        import datetime as dt

        from llmfan.status.document import status_document
        from llmfan.status.past import read_past

        now = dt.datetime.now(dt.UTC)
        past = read_past(self.archive(), self.fleet, now)
        lines = _lines(self.fleet.file)
        found = status_document(self.fleet, past, now, providers=self.providers, keys=self.keys, lines=lines)
        return self.redacted(found)


# ---------------------------------------------------------------- what is asked


def _reset(view: _View, names: list[str], as_json: bool) -> int:
    """4 where the ledger cannot be written: then it has forgotten nothing of that name, nor of those after it."""
    from llmfan.errors import UserError, near
    from llmfan.outputs.status_table import reset_line
    from llmfan.status.forgetting import names_of, resets_of, still

    resets, unknown = resets_of(names, view.fleet)
    if unknown:
        known = names_of(view.fleet)
        said = [f"--reset {name}: no such provider, model or key{near(name, known)}" for name in unknown]
        raise UserError("\n".join(said))
    gone, failed = _forgotten(view, resets)
    now = view.document() if gone else {}
    done = [{**each, "still": still(reset, now)} for reset, each in zip(resets, gone, strict=False)]
    if as_json:
        _write(view.redacted({"reset": done, **({"failed": failed} if failed else {})}))
    else:
        for each in done:
            print(reset_line(each))
    if failed:
        given.tell(failed)
    return 4 if failed else 0


def _forgotten(view: _View, resets: Sequence[Reset]) -> tuple[list[dict[str, Any]], str]:
    """What was forgotten of each, as far as it went; and why it went no further."""
    from llmfan.ledgers.opening import open_ledger
    from llmfan.status.forgetting import forget

    said: list[str] = []
    done: list[dict[str, Any]] = []
    ledger = open_ledger(view.state, view.fleet, said.append)
    try:
        for reset in resets:
            gone = forget(ledger, reset, view.fleet)
            if gone is None:
                return done, f"{reset.name}: nothing was forgotten: {said[0] if said else 'the ledger is in use'}"
            done.append(gone)
    finally:
        ledger.close()
    for text in said:
        view.say(text)
    return done, ""


def _history(view: _View, as_json: bool) -> None:
    from llmfan.status.history import history

    changes = history(view.archive().changes(0.0), view.fleet, view.providers, view.keys)
    if as_json:
        _write(view.redacted({"changes": changes}))
    else:
        from llmfan.outputs.status_table import print_history

        print_history(changes)


def _watch(view: _View, as_json: bool, details: bool) -> None:
    """Ctrl-C is how one leaves it, so it ends with 0."""
    import gc
    import time

    gc.enable()

    try:
        if as_json:
            while _write(view.document()):
                time.sleep(EVERY_S)
            return
        from llmfan.errors import UserError
        from llmfan.outputs.status_watch import can_watch, watch

        if not can_watch():
            raise UserError(
                "--watch draws on a terminal, and this is none; with --json it writes a document a line every "
                f"{EVERY_S:g} s"
            )
        watch(view.document, details=details)
    except KeyboardInterrupt:
        pass


# ---------------------------------------------------------------- what is given


def _fleet(path: str, env_file: str | None) -> Fleet:
    """Every key of the file, set or not. Nothing is looked up on the network: no name of a host either."""
    import os

    from llmfan.inputs.config import load_fleet
    from llmfan.inputs.environment import environment

    return load_fleet(path, environment(env_file, os.environ), every=True, resolve=_nowhere)


def _nowhere(host: str, port: int) -> list[tuple[Any, ...]]:
    """In place of a look-up: nothing is sent there, so any private address will do."""
    return [(0, 0, 0, "", ("10.0.0.1", port))]


def _check_names(fleet: Fleet, providers: list[str], keys: list[str]) -> None:
    from llmfan.errors import UserError, near

    names = [p.name for p in fleet.providers]
    labels = [k.label for p in fleet.providers for k in p.keys]
    said = [f"--provider {n}: no such provider{near(n, names)}" for n in providers if n not in names]
    said += [f"--key {n}: no such key{near(n, labels)}" for n in keys if n not in labels]
    if said:
        raise UserError("\n".join(said))


def _once() -> Callable[[str], None]:
    """Tells each thing once: `--watch` opens the ledger again and again."""
    said: set[str] = set()

    def tell(text: str) -> None:
        if text not in said:
            said.add(text)
            given.tell(text)

    return tell


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8-sig") as file:
            return file.read().splitlines()
    except (OSError, UnicodeDecodeError):  # gone since it was read: then without the lines
        return []


def _write(document: dict[str, Any]) -> bool:
    """False if nobody reads it any more."""
    import msgspec

    from llmfan.outputs.steady import SteadyStream

    stream = SteadyStream(sys.stdout)
    stream.write(msgspec.json.encode(document).decode() + "\n")
    stream.flush()
    return not stream.gone
