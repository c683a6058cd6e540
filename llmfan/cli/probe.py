"""`llmfan probe`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from llmfan.cli import given
from llmfan.cli.version import show_version

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llmfan.ports import Ledger
    from llmfan.probing.course import Course, Watching
    from llmfan.probing.findings import Finding
    from llmfan.probing.prober import ProbeOptions, Prober
    from llmfan.probing.spending import Plan
    from llmfan.settings import Fleet

_WHICH, _MEASURE, _GENERAL = "Which keys", "Finding limits by spending requests", "General"
#: Requests that `--measure` may spend on one key.
MOST = 300


# One option a line, so that it reads as a table.
# fmt: off
def probe(
    keys: Annotated[list[str] | None, typer.Argument(metavar="KEYS", help="Only these: NAME, NAME/MODEL or NAME#2.")] = None,
    free: Annotated[bool, typer.Option("--free", help="Send nothing that is billed: key checks and models lists only.")] = False,
    all_models: Annotated[bool, typer.Option("--all-models", help="Ask every model of a key, not the first alone.")] = False,
    timeout: Annotated[str | None, typer.Option("--timeout", metavar="S", help="Seconds for one request; default 15.")] = None,
    require: Annotated[int | None, typer.Option("--require", metavar="N", min=1, help="End with 0 if at least N keys are ok.")] = None,
    any_: Annotated[bool, typer.Option("--any", help="End with 0 if one key is ok.")] = False,
    only: Annotated[list[str] | None, typer.Option("--only", metavar="NAME", help="As KEYS. Repeatable.", rich_help_panel=_WHICH)] = None,
    exclude: Annotated[list[str] | None, typer.Option("--exclude", metavar="NAME", help="Leave this out. Repeatable.", rich_help_panel=_WHICH)] = None,
    measure: Annotated[bool, typer.Option("--measure", help="Then find the real limit of each key that is ok, by sending until it is refused.", rich_help_panel=_MEASURE)] = False,
    max_requests: Annotated[int | None, typer.Option("--max-requests", metavar="N", min=1, help=f"Requests that --measure may send for one key; default {MOST}.", rich_help_panel=_MEASURE)] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before --measure spends.", rich_help_panel=_MEASURE)] = False,
    providers: Annotated[str | None, typer.Option("--providers", "-p", metavar="FILE", envvar="LLMFAN_PROVIDERS", help="The providers file; default ./providers.yaml.", rich_help_panel=_GENERAL)] = None,
    env_file: Annotated[str | None, typer.Option("--env-file", metavar="FILE", help="Variables; default ./.env where there is one.", rich_help_panel=_GENERAL)] = None,
    state: Annotated[str | None, typer.Option("--state", metavar="FILE", envvar="LLMFAN_STATE", help="The ledger, where status, plan and run find what was learned.", rich_help_panel=_GENERAL)] = None,
    json_: Annotated[bool, typer.Option("--json", help="What was found as JSON on stdout, and nothing else there.", rich_help_panel=_GENERAL)] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no notes.", rich_help_panel=_GENERAL)] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Everything that was found of each key.", rich_help_panel=_GENERAL)] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version and end.", is_eager=True, callback=show_version, rich_help_panel=_GENERAL)] = False,
) -> None:
    # fmt: on
    """Ask every key the cheapest question: which of them work, why the others do not, and what limits they report."""
    from llmfan.probing.prober import ProbeOptions

    seconds = None if timeout is None else given.duration(timeout, "--timeout")
    most = _checked(measure, free, yes, max_requests)
    fleet, env = _fleet(given.providers_file(providers, packaged=False), env_file, keys or [], only or [], exclude or [])
    given.tell_notes(fleet, verbose, quiet)
    try:
        ledger = given.ledger(state, given.whole(fleet, env, keys, only, exclude))
        try:
            course = _course(fleet, ledger, env, ProbeOptions(free=free, all_models=all_models, timeout=seconds), quiet)
            course.go(lambda findings: _watch(findings, quiet), None if most is None else lambda prober: _agreed(prober, most, yes))
            course.keep(ledger)
        finally:
            ledger.close()
        code = _end(course, fleet, json_, verbose, require or int(any_))
    except BrokenPipeError:
        raise
    except OSError as error:  # stdout is a file on a full disk
        print(f"llmfan: cannot write the output: {error.strerror or error}", file=sys.stderr)
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  (what is buffered cannot be written at exit either)
        code = 4
    raise typer.Exit(code)


def _fleet(
    path: str, env_file: str | None, keys: list[str], only: list[str], exclude: list[str]
) -> tuple[Fleet, dict[str, str]]:
    from llmfan.errors import InputFaults, UserError
    from llmfan.inputs.config import load_fleet
    from llmfan.inputs.environment import environment

    env = environment(env_file, os.environ)
    try:
        return load_fleet(path, env, every=True, only=[*keys, *only], exclude=exclude), env
    except InputFaults:
        raise
    except UserError as error:  # an argument without an option is not to be blamed on one
        said = str(error)
        for key in keys:
            said = said if key in only else said.replace(f"--only {key}: ", f"{key}: ")
        raise UserError(said, exit_code=error.exit_code) from None


def _checked(measure: bool, free: bool, yes: bool, most: int | None) -> int | None:
    """How many requests a key may be measured with; None: none."""
    from llmfan.errors import UserError

    if not measure:
        if most is not None:
            raise typer.BadParameter("bounds what --measure sends, and that was not asked for", param_hint="--max-requests")
        return None
    if free:
        raise typer.BadParameter("spends requests, and --free sends none", param_hint="--measure")
    if not yes and not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UserError("--measure spends requests, and nobody can be asked whether it may: say so with --yes")
    return MOST if most is None else most


def _course(fleet: Fleet, ledger: Ledger, env: dict[str, str], options: ProbeOptions, quiet: bool) -> Course:
    import time

    from llmfan.probing.clerk import Clerk
    from llmfan.probing.course import Course
    from llmfan.runfile import redactor

    say, clerk = _nothing if quiet else given.tell, Clerk(ledger, fleet, time.time)
    return Course(fleet, options, env=env, redact=redactor(fleet), say=say, clerk=clerk)


def _watch(findings: list[Finding], quiet: bool) -> Watching:
    from llmfan.outputs.probe_live import Watch

    return Watch(findings, quiet)


def _agreed(prober: Prober, most: int, yes: bool) -> list[Plan]:
    """What may be spent: said beforehand in any case, and asked for where somebody can answer."""
    from llmfan.probing.spending import announcement, plans

    found = plans(prober, most)
    if not found:
        given.tell("nothing to measure: no key is ok")
        return []
    print(announcement(found), file=sys.stderr)
    try:
        return found if yes or typer.confirm("Go on?", default=False, err=True) else []
    except typer.Abort:  # Ctrl-C at the question: what was found stands all the same
        return []


def _end(course: Course, fleet: Fleet, json_: bool, verbose: bool, require: int) -> int:
    """Prints what was found, and says whether it is enough."""
    import time

    from llmfan.probing.course import close_open

    close_open(course.findings)
    if json_:
        import msgspec

        from llmfan.probing.document import probe_document
        from llmfan.runfile import redactor

        document = probe_document(course.findings, fleet, redactor(fleet).document)
        sys.stdout.write(msgspec.json.encode(document).decode() + "\n")
        sys.stdout.flush()
    else:
        from llmfan.outputs.probe_table import print_probe

        print_probe(course.findings, verbose=verbose, now=time.time())
    return 128 + course.signal if course.signal else _code(course.findings, require)


def _code(findings: Sequence[Finding], require: int) -> int:
    """4: no key is there; 0: enough are ok, or, where no number was asked for, all that are there."""
    there = {f.key for f in findings if f.state != "missing" and (f.mask or f.state != "retired")}
    if not there:
        return 4
    if require:
        return 0 if len({f.key for f in findings if f.state == "ok"}) >= require else 1
    return 0 if all(f.state in ("ok", "missing") for f in findings if f.key in there) else 1


def _nothing(text: str) -> None:
    """For those who want no notes."""
