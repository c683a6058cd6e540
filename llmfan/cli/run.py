"""`llmfan run PROMPTS`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llmfan.cli import given, scores
from llmfan.cli.version import show_version

if TYPE_CHECKING:
    from llmfan.inputs.prompts import PromptSet
    from llmfan.options import RunOptions
    from llmfan.session import Beside
    from llmfan.settings import Fleet

_SETTINGS, _WHICH, _BOUNDS, _INPUT, _GENERAL = "Request settings", "Which prompts, where", "Bounds", "Input", "General"
_LOAD, _SCORE = "Load", "Scores and gates"


# One option a line, so that it reads as a table.
# fmt: off
def run(
    prompts: Annotated[str, typer.Argument(metavar="PROMPTS", help="A JSONL file, or - for stdin.")],
    out: Annotated[str | None, typer.Option("--out", "-o", metavar="DIR", help="The run's folder; default runs/TIME-NAME.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out, or the newest of this prompt set.")] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="With --resume: send failed prompts again.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the first request for each target, key masked; send nothing.")] = False,
    simulate: Annotated[bool, typer.Option("--simulate", help="The simulated fleet on loopback instead of the network; needs no key.")] = False,
    simulate_speed: Annotated[float, typer.Option("--simulate-speed", metavar="X", help="Its clocks run X times faster than real ones.")] = 1.0,
    mode: Annotated[str, typer.Option("--mode", metavar="spread|providers|models|keys", help="Each prompt once (spread), or to every provider, model or key.", rich_help_panel=_WHICH)] = "spread",
    only: Annotated[list[str] | None, typer.Option("--only", metavar="NAME", help="Use only this: NAME, NAME/MODEL or NAME#2. Repeatable.", rich_help_panel=_WHICH)] = None,
    exclude: Annotated[list[str] | None, typer.Option("--exclude", metavar="NAME", help="Leave this out. Repeatable.", rich_help_panel=_WHICH)] = None,
    limit: Annotated[int | None, typer.Option("--limit", metavar="N", min=1, help="The first N prompts.", rich_help_panel=_WHICH)] = None,
    repeat: Annotated[int, typer.Option("--repeat", metavar="N", min=1, help="Each prompt N times.", rich_help_panel=_WHICH)] = 1,
    shuffle: Annotated[bool, typer.Option("--shuffle", help="In a random order.", rich_help_panel=_WHICH)] = False,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Makes a shuffled order, or a simulated fleet, the same again.", rich_help_panel=_WHICH)] = 0,
    warmup: Annotated[int, typer.Option("--warmup", metavar="N", min=0, help="Leave the first N requests of each provider out of the figures.", rich_help_panel=_WHICH)] = 0,
    concurrency: Annotated[int, typer.Option("--concurrency", metavar="N", min=1, help="Requests in flight over all keys.", rich_help_panel=_WHICH)] = 64,
    rate: Annotated[str | None, typer.Option("--rate", metavar="N/s|A/s..B/s", help="Open loop: prompts arrive at this rate, whether answers come or not; A..B rises or falls evenly.", rich_help_panel=_LOAD)] = None,
    over: Annotated[str | None, typer.Option("--over", metavar="T", help="With --rate A/s..B/s: in so long; then it stays at B.", rich_help_panel=_LOAD)] = None,
    arrival: Annotated[str, typer.Option("--arrival", metavar="constant|poisson", help="With --rate: evenly spaced, or at random as independent callers come.", rich_help_panel=_LOAD)] = "constant",
    grade: Annotated[str | None, typer.Option("--grade", metavar="NAME", help="How expected answers are compared: exact, contains, regex, number, choice, json, or python:module:function; default: by what is expected.", rich_help_panel=_SCORE)] = None,
    fail_if: Annotated[list[str] | None, typer.Option("--fail-if", metavar="EXPR", help="End with 3 if this is so: 'latency_p95 > 2s', 'accuracy[NAME] < 0.9'. Repeatable.", rich_help_panel=_SCORE)] = None,
    abort_if: Annotated[list[str] | None, typer.Option("--abort-if", metavar="EXPR", help="Stop as soon as this is so on 20 or more: 'failed_rate > 20%'. Repeatable.", rich_help_panel=_SCORE)] = None,
    junit: Annotated[str | None, typer.Option("--junit", metavar="FILE", help="Gates and failed prompts as JUnit XML.", rich_help_panel=_SCORE)] = None,
    summary_md: Annotated[str | None, typer.Option("--summary-md", metavar="FILE", help="The summary as Markdown, for a job's page.", rich_help_panel=_SCORE)] = None,
    system: Annotated[str | None, typer.Option("--system", metavar="TEXT", help="A system prompt for every prompt.", rich_help_panel=_SETTINGS)] = None,
    max_tokens: Annotated[int | None, typer.Option("--max-tokens", metavar="N", min=1, help="Longest answer.", rich_help_panel=_SETTINGS)] = None,
    temperature: Annotated[float | None, typer.Option("--temperature", metavar="T", min=0.0, help="Sampling temperature.", rich_help_panel=_SETTINGS)] = None,
    param: Annotated[list[str] | None, typer.Option("--param", metavar="K=V", help="Any other request field; V is JSON or text. Repeatable.", rich_help_panel=_SETTINGS)] = None,
    stream: Annotated[bool | None, typer.Option("--stream/--no-stream", help="Streamed answers (the default; TTFT needs them).", rich_help_panel=_SETTINGS)] = None,
    timeout: Annotated[str | None, typer.Option("--timeout", metavar="S", help="Seconds for one request, first byte to last included; default 60.", rich_help_panel=_SETTINGS)] = None,
    max_attempts: Annotated[int, typer.Option("--max-attempts", metavar="N", min=1, help="Attempts a prompt may fail; refusals before processing do not count.", rich_help_panel=_BOUNDS)] = 4,
    max_ambiguous: Annotated[int, typer.Option("--max-ambiguous", metavar="N", min=0, help="How often to send again what was never answered and may have been billed.", rich_help_panel=_BOUNDS)] = 1,
    max_stall: Annotated[str, typer.Option("--max-stall", metavar="T", help="End with 4 when nothing has ended for so long.", rich_help_panel=_BOUNDS)] = "10m",
    max_cost: Annotated[float | None, typer.Option("--max-cost", metavar="USD", help="Stop before passing this cost.", rich_help_panel=_BOUNDS)] = None,
    deadline: Annotated[str | None, typer.Option("--deadline", metavar="T", help="Paid keys help as far as free ones would be later than this: 2h, 07:30.", rich_help_panel=_BOUNDS)] = None,
    wait: Annotated[bool, typer.Option("--wait", help="When every quota is spent, sleep until one resets instead of ending with 4.", rich_help_panel=_BOUNDS)] = False,
    hedge: Annotated[bool, typer.Option("--hedge", help="Send the last stragglers a second time elsewhere; the first answer counts.", rich_help_panel=_BOUNDS)] = False,
    sticky: Annotated[str | None, typer.Option("--sticky", metavar="prefix|N|user", help="Keep prompts that begin alike (with the same N characters), or have one user, on one key.", rich_help_panel=_BOUNDS)] = None,
    max_duration: Annotated[str | None, typer.Option("--max-duration", metavar="T", help="Stop after so long: 90s, 10m, 2h.", rich_help_panel=_BOUNDS)] = None,
    prompt_field: Annotated[str | None, typer.Option("--prompt-field", metavar="NAME", help="The field that holds the prompt; may be a dotted path.", rich_help_panel=_INPUT)] = None,
    expect_field: Annotated[str | None, typer.Option("--expect-field", metavar="NAME", help="The field that holds the expected answer.", rich_help_panel=_INPUT)] = None,
    id_field: Annotated[str | None, typer.Option("--id-field", metavar="NAME", help="The field that holds the id.", rich_help_panel=_INPUT)] = None,
    template: Annotated[str | None, typer.Option("--template", metavar="TEXT|@FILE", help="Makes the prompt; {{name}} takes vars.name or the line's field.", rich_help_panel=_INPUT)] = None,
    dashboard: Annotated[bool, typer.Option("--dashboard", help="A page on loopback that shows the run while it goes on.", rich_help_panel=_GENERAL)] = False,
    dashboard_port: Annotated[int, typer.Option("--dashboard-port", metavar="N", min=0, max=65535, help="Its port, or the next one that is free; 0: any.", rich_help_panel=_GENERAL)] = 8765,
    providers: Annotated[str | None, typer.Option("--providers", "-p", metavar="FILE", envvar="LLMFAN_PROVIDERS", help="The providers file; default ./providers.yaml.", rich_help_panel=_GENERAL)] = None,
    env_file: Annotated[str | None, typer.Option("--env-file", metavar="FILE", help="Variables; default ./.env where there is one.", rich_help_panel=_GENERAL)] = None,
    state: Annotated[str | None, typer.Option("--state", metavar="FILE", envvar="LLMFAN_STATE", help="The ledger: what earlier runs learned and spent; default in your state folder.", rich_help_panel=_GENERAL)] = None,
    json_: Annotated[bool, typer.Option("--json", help="The summary as JSON on stdout, and nothing else there.", rich_help_panel=_GENERAL)] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.", rich_help_panel=_GENERAL)] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version and end.", is_eager=True, callback=show_version, rich_help_panel=_GENERAL)] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say which providers are left out, and why.", rich_help_panel=_GENERAL)] = False,
) -> None:
    # fmt: on
    """Send a prompt set to the fleet and write the results, a live table and a summary."""
    from llmfan.options import RunOptions

    options = RunOptions(
        mode=given.choice(mode), limit=limit, repeat=repeat, shuffle=shuffle, seed=seed, warmup=warmup,
        concurrency=concurrency, system=system, max_tokens=max_tokens, temperature=temperature, params=given.params(param),
        stream=stream, timeout=None if timeout is None else given.duration(timeout, "--timeout"), max_attempts=max_attempts, max_ambiguous=max_ambiguous,
        max_stall=given.duration(max_stall, "--max-stall"),
        max_duration=None if max_duration is None else given.duration(max_duration, "--max-duration"),
        deadline=None if deadline is None else given.until(deadline, "--deadline"), wait=wait, hedge=hedge, sticky=_sticky(sticky),
        max_cost=given.positive(max_cost, "--max-cost"), simulate=simulate,
        speed=given.positive(simulate_speed, "--simulate-speed") or 1.0, retry_failed=retry_failed,
        prompt_field=prompt_field, expect_field=expect_field, id_field=id_field, template=given.template(template),
        rate=scores.rate(rate, over, arrival), grade=grade, fail_if=fail_if or [], abort_if=abort_if or [],
    )  # fmt: skip
    if simulate_speed != 1.0 and not simulate:
        raise typer.BadParameter("goes with --simulate", param_hint="--simulate-speed")
    if retry_failed and not resume:
        raise typer.BadParameter("goes with --resume", param_hint="--retry-failed")
    try:
        code = _execute(
            prompts, options, out, resume, dry_run, providers, env_file, state, only, exclude, json_, quiet, verbose,
            scores.Files(junit=junit, summary_md=summary_md), dashboard_port if dashboard else None,
        )  # fmt: skip
    except BrokenPipeError:
        raise
    except OSError as error:  # stdout is a file on a full disk; the run's own folder says so itself
        print(f"llmfan: cannot write the output: {error.strerror or error}", file=sys.stderr)
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  (what is buffered cannot be written at exit either)
        code = 4
    except KeyboardInterrupt:  # while the inputs were being checked: nothing was sent
        code = 130
    raise typer.Exit(code)


def _execute(
    path: str, options: RunOptions, out: str | None, resume: bool, dry_run: bool, providers: str | None,
    env_file: str | None, state: str | None, only: list[str] | None, exclude: list[str] | None, json_: bool, quiet: bool, verbose: bool,
    files: scores.Files, dashboard: int | None,
) -> int:  # fmt: skip
    """Load, check, run, print."""
    from llmfan.folders import choose_folder
    from llmfan.inputs.config import load_fleet
    from llmfan.inputs.environment import environment
    from llmfan.outputs.journal import refuse_other_run
    from llmfan.session import Session

    env = environment(env_file, os.environ)
    fleet = load_fleet(
        given.providers_file(providers, options.simulate), env, simulate=options.simulate, only=only or [], exclude=exclude or []
    )
    given.check_prices(fleet, options)
    gates, aborts = scores.gates(fleet, options)
    grade = scores.grader(options)
    given.tell_notes(fleet, verbose, quiet)
    if dry_run:
        with given.prompt_set(path, options, None) as prompts:
            _print_requests(fleet, prompts, options)
        return 0
    folder = choose_folder(path, out, resume)
    files.check(folder, None if path == "-" else path, fleet.file, env_file)
    if not resume:
        refuse_other_run(folder)
    source = str(folder / "prompts.jsonl") if path == "-" and resume else path
    with given.prompt_set(source, options, folder) as prompts, _shown(dashboard) as beside:
        ledger = None if options.simulate else given.ledger(state, given.whole(fleet, env, only, exclude))
        session = Session(
            fleet, prompts, options, folder, env=env, resume=resume, quiet=quiet, args=sys.argv[1:], ledger=ledger,
            gates=gates, aborts=aborts, grade=grade, beside=beside,
        )  # fmt: skip
        outcome = session.execute()
    scores.tell_faults(grade)
    if outcome.why:
        print(f"llmfan: stopped: {outcome.why}", file=sys.stderr)
    if json_:
        import msgspec

        sys.stdout.write(msgspec.json.encode(outcome.summary).decode() + "\n")
        sys.stdout.flush()
    else:
        from llmfan.outputs.tables import print_summary

        print_summary(outcome.summary, str(folder))
    if outcome.summary["totals"]["unsent"] and not quiet:
        print(f"{outcome.summary['totals']['unsent']} prompts are left; go on with: {_resume_command(folder)}", file=sys.stderr)
    return scores.written(files, outcome, folder)


@contextmanager
def _shown(port: int | None) -> Iterator[Beside | None]:
    """`--dashboard`: its port is taken before the run begins, and told."""
    if port is None:
        yield None
        return
    from llmfan.server.watching import Place

    place = Place(port)
    try:
        taken = f" (port {port} is in use)" if port not in (0, place.port) else ""
        print(f"dashboard: {place.url}{taken}", file=sys.stderr, flush=True)
        yield lambda overview: place.shows(overview, given.tell)
    finally:
        place.close()


def _print_requests(fleet: Fleet, prompts: PromptSet, options: RunOptions) -> None:
    """`--dry-run`: what would be sent first to each target, key masked."""
    from llmfan.preview import first_requests

    for text in first_requests(fleet, prompts, options):
        sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _resume_command(folder: Path) -> str:
    """The command as given, on this folder; without a gate that has stopped the run and would do so again at once."""
    import shlex

    keep, words = [], iter(sys.argv[1:])
    for word in words:
        if word in ("-o", "--out", "--abort-if"):
            next(words, None)
        elif word != "--resume" and not word.startswith(("--out=", "--abort-if=")):
            keep.append(word)
    return shlex.join(["llmfan", *keep, "--out", str(folder), "--resume"])


def _sticky(text: str | None) -> str | None:
    if text is not None and text not in ("prefix", "user") and not (text.isascii() and text.isdigit() and int(text) > 0):
        raise typer.BadParameter(f"expected prefix, a number of characters, or user, got {text!r}", param_hint="--sticky")
    return text
