"""`llmfan`: the table of contents. Importing this must stay cheap: `--help` answers in a blink."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from llmfan.cli.compare import compare
from llmfan.cli.init import init
from llmfan.cli.plan import plan
from llmfan.cli.probe import probe
from llmfan.cli.report import report
from llmfan.cli.run import run
from llmfan.cli.serve import serve
from llmfan.cli.status import status
from llmfan.cli.version import show_version

app = typer.Typer(
    name="llmfan",
    help="Fan a prompt set out over LLM providers and keys, each under its own limits, and measure what they deliver.",
    epilog="First look, without any key: llmfan run samples/quickstart.jsonl --simulate",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command(epilog="Example: llmfan init --only NAME --yes")(init)
app.command(epilog="Example: llmfan probe NAME NAME#2; in CI: llmfan probe --require 3 --json")(probe)
app.command(epilog="Example: llmfan status --key NAME#2; while a run goes: llmfan status --watch")(status)
app.command(epilog="Example: llmfan plan prompts.jsonl -p providers.yaml --what-if NAME.keys=3")(plan)
app.command(epilog="Example: llmfan run prompts.jsonl -p providers.yaml --limit 100")(run)
app.command(epilog="Example: llmfan report runs/NAME; in CI: llmfan report RUN --md -")(report)
app.command(epilog="Example: llmfan compare BASE NEW --fail-if 'latency_p50 > +10%'")(compare)
app.command(epilog="Example: llmfan serve; first look, without any key: llmfan serve --simulate")(serve)


@app.callback(invoke_without_command=True)
def everything(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and end.", is_eager=True)] = False,
) -> None:
    if version:
        show_version()
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)


def main() -> None:
    """Runs the command line; every mistake of the user's becomes one message and its exit code."""
    import gc

    from llmfan.errors import UserError

    gc.disable()  # loading makes nothing but what stays, and most commands are short: those that last turn it on again
    try:
        app()
    except UserError as error:
        print(f"llmfan: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # `| head`: the reader has gone; results are in their files
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(0)
