"""`llmfan serve`."""

# ruff: noqa: E501  (a table of options, one a line)

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmfan.cli import given
from llmfan.cli.version import show_version

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from llmfan.engine import Engine
    from llmfan.options import RunOptions
    from llmfan.server.terms import Terms

#: A week: timers of longer ones do not fit everywhere.
_LONGEST_S = 7 * 86400.0
#: Characters of a token that can be found by trying.
_SHORT = 16
#: Addresses that mean all of this machine's → the one to be used on it.
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}
_WHERE, _BOUNDS, _WHICH, _GENERAL = "Where, for whom", "Bounds", "Which keys", "General"


# One option a line, so that it reads as a table.
# fmt: off
def serve(
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS", help="Where to listen. Anything but loopback needs --token.", rich_help_panel=_WHERE)] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", metavar="N", min=0, max=65535, help="0 is any free one; it is told.", rich_help_panel=_WHERE)] = 8765,
    token: Annotated[str | None, typer.Option("--token", metavar="TEXT", help="What callers have to show as their API key. Better set as LLMFAN_TOKEN, here or in .env: other users of this machine can see a command line.", rich_help_panel=_WHERE)] = None,
    max_wait: Annotated[str, typer.Option("--max-wait", metavar="T", help="How long a call may wait for a permit, unless it says so itself (x-llmfan-max-wait).", rich_help_panel=_BOUNDS)] = "600",
    concurrency: Annotated[int, typer.Option("--concurrency", metavar="N", min=1, help="Requests in flight over all keys.", rich_help_panel=_BOUNDS)] = 1024,
    queue: Annotated[int, typer.Option("--queue", metavar="N", min=1, help="Calls that may wait, interactive and batch ones apart; more are refused.", rich_help_panel=_BOUNDS)] = 10_000,
    max_body: Annotated[str, typer.Option("--max-body", metavar="SIZE", help="Longest request body: 500k, 32m.", rich_help_panel=_BOUNDS)] = "32m",
    timeout: Annotated[str | None, typer.Option("--timeout", metavar="S", help="Seconds for one request to a provider; default: what the file says, else 600.", rich_help_panel=_BOUNDS)] = None,
    drain: Annotated[str, typer.Option("--drain", metavar="T", help="When it is to end: how long calls in flight and in the queue may take yet.", rich_help_panel=_BOUNDS)] = "30s",
    max_cost: Annotated[float | None, typer.Option("--max-cost", metavar="USD", help="Refuse what would pass this cost.", rich_help_panel=_BOUNDS)] = None,
    only: Annotated[list[str] | None, typer.Option("--only", metavar="NAME", help="Use only this: NAME, NAME/MODEL or NAME#2. Repeatable.", rich_help_panel=_WHICH)] = None,
    exclude: Annotated[list[str] | None, typer.Option("--exclude", metavar="NAME", help="Leave this out. Repeatable.", rich_help_panel=_WHICH)] = None,
    simulate: Annotated[bool, typer.Option("--simulate", help="The simulated fleet on loopback instead of the network; needs no key.", rich_help_panel=_WHICH)] = False,
    simulate_speed: Annotated[float, typer.Option("--simulate-speed", metavar="X", help="Its clocks run X times faster than real ones.", rich_help_panel=_WHICH)] = 1.0,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Makes a simulated fleet the same again.", rich_help_panel=_WHICH)] = 0,
    providers: Annotated[str | None, typer.Option("--providers", "-p", metavar="FILE", envvar="LLMFAN_PROVIDERS", help="The providers file; default ./providers.yaml.", rich_help_panel=_GENERAL)] = None,
    env_file: Annotated[str | None, typer.Option("--env-file", metavar="FILE", help="Variables; default ./.env where there is one.", rich_help_panel=_GENERAL)] = None,
    state: Annotated[str | None, typer.Option("--state", metavar="FILE", envvar="LLMFAN_STATE", help="The ledger: what earlier runs learned and spent; default in your state folder.", rich_help_panel=_GENERAL)] = None,
    json_: Annotated[bool, typer.Option("--json", help="When it is ready: one line of JSON on stdout, and nothing else there.", rich_help_panel=_GENERAL)] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Log failures only.", rich_help_panel=_GENERAL)] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say which providers are left out, and why.", rich_help_panel=_GENERAL)] = False,
    dashboard: Annotated[bool, typer.Option("--dashboard", help="It is always there, at /.", hidden=True)] = True,
    version: Annotated[bool, typer.Option("--version", help="Print the version and end.", is_eager=True, callback=show_version, rich_help_panel=_GENERAL)] = False,
) -> None:
    # fmt: on
    """Serve the fleet to programs: chat completions over HTTP on loopback, and a live dashboard."""
    from llmfan.inputs.environment import environment
    from llmfan.options import RunOptions

    if simulate_speed != 1.0 and not simulate:
        raise typer.BadParameter("goes with --simulate", param_hint="--simulate-speed")
    options = RunOptions(
        seed=seed, concurrency=concurrency, timeout=None if timeout is None else given.duration(timeout, "--timeout"),
        max_cost=given.positive(max_cost, "--max-cost"), simulate=simulate,
        speed=given.positive(simulate_speed, "--simulate-speed") or 1.0,
    )  # fmt: skip
    bounds = {"max_wait": _time(max_wait, "--max-wait"), "max_body": _size(max_body), "drain": _time(drain, "--drain")}
    env = environment(env_file, os.environ)
    terms = _terms(host, port, env.get("LLMFAN_TOKEN") if token is None else token, bounds)
    try:
        code = _serve(options, terms, providers, env, state, only, exclude, queue, json_, quiet, verbose)
    except KeyboardInterrupt:  # before anything was served
        code = 130
    raise typer.Exit(code)


def _serve(
    options: RunOptions, terms: Terms, providers: str | None, env: Mapping[str, str], state: str | None,
    only: list[str] | None, exclude: list[str] | None, queue: int, json_: bool, quiet: bool, verbose: bool,
) -> int:  # fmt: skip
    from llmfan.inputs.config import load_fleet
    from llmfan.server.service import serve as serve_fleet

    fleet = load_fleet(
        given.providers_file(providers, options.simulate, "serve --simulate"), env, simulate=options.simulate, only=only or [], exclude=exclude or []
    )
    given.check_prices(fleet, options)
    given.tell_notes(fleet, verbose, quiet)
    whole = given.everything(fleet, env, options.simulate)
    ledger = None if options.simulate else given.ledger(state, whole)
    _warn_of_short_token(terms)
    return serve_fleet(
        fleet, options, terms, env=env, whole=whole, ledger=ledger, queue=queue, quiet=quiet, ready=_ready(terms, json_, quiet)
    )


def _terms(host: str, port: int, token: str | None, bounds: Mapping[str, Any]) -> Terms:
    from llmfan.errors import UserError
    from llmfan.secret import Secret
    from llmfan.server.guard import is_loopback
    from llmfan.server.terms import Terms

    if token is not None and (not token.strip() or token != token.strip() or not token.isprintable()):
        raise UserError("--token, or LLMFAN_TOKEN: expected printable text without blanks around it; make one with: openssl rand -hex 24")
    if token is None and not is_loopback(host):
        raise UserError(
            f"--host {host}: whoever reaches this address could use your keys, so it needs a token: set the variable "
            "LLMFAN_TOKEN (make one with: openssl rand -hex 24), or stay with --host 127.0.0.1"
        )
    return Terms(host=host, port=port, token=None if token is None else Secret(token), **bounds)


def _warn_of_short_token(terms: Terms) -> None:
    from llmfan.server.guard import is_loopback

    if terms.token is not None and len(terms.token.reveal()) < _SHORT and not is_loopback(terms.host):
        given.tell(
            f"the token has fewer than {_SHORT} characters: others can reach {terms.host} and try many a second; make one "
            "with: openssl rand -hex 24"
        )


def _ready(terms: Terms, json_: bool, quiet: bool) -> Callable[[str, Engine], None]:
    """Says where it listens: a line of JSON for programs, some lines for a person."""

    def ready(url: str, engine: Engine) -> None:
        if json_:
            import msgspec

            from llmfan.server.guard import in_address

            here = url.replace(in_address(terms.host), _EVERYWHERE.get(terms.host, in_address(terms.host)))
            sys.stdout.write(msgspec.json.encode({"url": here, "pid": os.getpid()}).decode() + "\n")
            sys.stdout.flush()
        if quiet:
            return
        if terms.host in _EVERYWHERE:
            url = f"http://<this machine's address>:{url.rpartition(':')[2]}"
        print(_words(url, engine, terms), file=sys.stderr, flush=True)

    return ready


def _words(url: str, engine: Engine, terms: Terms) -> str:
    from importlib.resources import files

    text = (files("llmfan.server") / "ready.txt").read_text("utf-8").rstrip()
    targets, speed = [lane.target for lane in engine.lanes], engine.options.speed
    simulated = "\nSIMULATED: no provider is asked" if engine.options.simulate else ""
    return text.format(
        url=url, keys=_count({t.key for t in targets}, "key"), providers=_count({t.provider for t in targets}, "provider"),
        simulated=simulated + (f"; its clocks run {speed:g} times faster" if speed != 1 else ""),
        key="any text will do" if terms.token is None else "the token",
    )  # fmt: skip


def _count(names: set[str], word: str) -> str:
    return f"{len(names)} {word}{'' if len(names) == 1 else 's'}"


def _time(text: str, name: str) -> float:
    """As elsewhere, but 0 is a time as well: not to wait at all."""
    from llmfan.units import seconds

    value = 0.0 if seconds(text) == 0 else given.duration(text, name)
    if value > _LONGEST_S:
        raise typer.BadParameter(f"expected a week at most, got {text!r}", param_hint=name)
    return value


def _size(text: str) -> int:
    """Bytes, of `32m`, `500k` or a plain number."""
    import re

    found = re.fullmatch(r"([0-9]{1,12})([kmg]?)(?:i?b)?", text.strip().lower())
    size = int(found[1]) << {"": 0, "k": 10, "m": 20, "g": 30}[found[2]] if found else 0
    if not size:
        raise typer.BadParameter(f"expected a size such as 500k or 32m, got {text!r}", param_hint="--max-body")
    return size
