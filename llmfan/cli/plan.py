"""`llmfan plan PROMPTS`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmfan.cli import given
from llmfan.cli.version import show_version

if TYPE_CHECKING:
    from llmfan.options import RunOptions
    from llmfan.ports import Archive
    from llmfan.settings import Fleet

_WHICH, _SETTINGS, _BOUNDS, _INPUT, _GENERAL = "Which prompts, where", "Request settings", "Bounds", "Input", "General"


# One option a line, so that it reads as a table.
# fmt: off
def plan(
    prompts: Annotated[str, typer.Argument(metavar="PROMPTS", help="A JSONL file, or - for stdin.")],
    what_if: Annotated[list[str] | None, typer.Option("--what-if", metavar="WISH", help="NAME.keys=3, NAME.limits.rpm=60 or NAME.priority=90. Repeatable.")] = None,
    mode: Annotated[str, typer.Option("--mode", metavar="spread|providers|models|keys", help="Each prompt once (spread), or to every provider, model or key.", rich_help_panel=_WHICH)] = "spread",
    only: Annotated[list[str] | None, typer.Option("--only", metavar="NAME", help="Use only this: NAME, NAME/MODEL or NAME#2. Repeatable.", rich_help_panel=_WHICH)] = None,
    exclude: Annotated[list[str] | None, typer.Option("--exclude", metavar="NAME", help="Leave this out. Repeatable.", rich_help_panel=_WHICH)] = None,
    limit: Annotated[int | None, typer.Option("--limit", metavar="N", min=1, help="The first N prompts.", rich_help_panel=_WHICH)] = None,
    repeat: Annotated[int, typer.Option("--repeat", metavar="N", min=1, help="Each prompt N times.", rich_help_panel=_WHICH)] = 1,
    shuffle: Annotated[bool, typer.Option("--shuffle", help="In a random order.", rich_help_panel=_WHICH)] = False,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Other answers are drawn for another seed.", rich_help_panel=_WHICH)] = 0,
    concurrency: Annotated[int, typer.Option("--concurrency", metavar="N", min=1, help="Requests in flight over all keys.", rich_help_panel=_WHICH)] = 64,
    system: Annotated[str | None, typer.Option("--system", metavar="TEXT", help="A system prompt for every prompt.", rich_help_panel=_SETTINGS)] = None,
    max_tokens: Annotated[int | None, typer.Option("--max-tokens", metavar="N", min=1, help="Longest answer.", rich_help_panel=_SETTINGS)] = None,
    max_cost: Annotated[float | None, typer.Option("--max-cost", metavar="USD", help="Stop before passing this cost.", rich_help_panel=_BOUNDS)] = None,
    deadline: Annotated[str | None, typer.Option("--deadline", metavar="T", help="Paid keys help as far as free ones would be later than this: 2h, 07:30.", rich_help_panel=_BOUNDS)] = None,
    hedge: Annotated[bool, typer.Option("--hedge", help="Send the last stragglers a second time elsewhere; the first answer counts.", rich_help_panel=_BOUNDS)] = False,
    prompt_field: Annotated[str | None, typer.Option("--prompt-field", metavar="NAME", help="The field that holds the prompt; may be a dotted path.", rich_help_panel=_INPUT)] = None,
    expect_field: Annotated[str | None, typer.Option("--expect-field", metavar="NAME", help="The field that holds the expected answer.", rich_help_panel=_INPUT)] = None,
    id_field: Annotated[str | None, typer.Option("--id-field", metavar="NAME", help="The field that holds the id.", rich_help_panel=_INPUT)] = None,
    template: Annotated[str | None, typer.Option("--template", metavar="TEXT|@FILE", help="Makes the prompt; {{name}} takes vars.name or the line's field.", rich_help_panel=_INPUT)] = None,
    providers: Annotated[str | None, typer.Option("--providers", "-p", metavar="FILE", envvar="LLMFAN_PROVIDERS", help="The providers file; default ./providers.yaml.", rich_help_panel=_GENERAL)] = None,
    env_file: Annotated[str | None, typer.Option("--env-file", metavar="FILE", help="Variables; default ./.env where there is one.", rich_help_panel=_GENERAL)] = None,
    state: Annotated[str | None, typer.Option("--state", metavar="FILE", envvar="LLMFAN_STATE", help="What earlier runs learned and spent.", rich_help_panel=_GENERAL)] = None,
    json_: Annotated[bool, typer.Option("--json", help="The forecast as JSON on stdout, and nothing else there.", rich_help_panel=_GENERAL)] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No notes.", rich_help_panel=_GENERAL)] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Every key, and what is taken for each model.", rich_help_panel=_GENERAL)] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version and end.", is_eager=True, callback=show_version, rich_help_panel=_GENERAL)] = False,
) -> None:
    # fmt: on
    """Forecast a run: how long it takes, who answers how much, which limit binds, what it costs. Sends nothing."""
    from llmfan.forecasting.fit import fit
    from llmfan.options import RunOptions

    options = RunOptions(
        mode=given.choice(mode), limit=limit, repeat=repeat, shuffle=shuffle, seed=seed, concurrency=concurrency,
        system=system, max_tokens=max_tokens, max_cost=given.positive(max_cost, "--max-cost"), hedge=hedge,
        deadline=None if deadline is None else given.until(deadline, "--deadline"),
        prompt_field=prompt_field, expect_field=expect_field, id_field=id_field, template=given.template(template),
    )  # fmt: skip
    fleet, usable = _fleets(given.providers_file(providers, packaged=True), env_file, only or [], exclude or [])
    given.check_prices(fleet, options)
    given.tell_notes(fleet, verbose, quiet)
    there = {key.label for p in usable.providers for key in p.keys if not key.missing} if usable else set()
    ledger = given.archive(state, usable or fleet)
    fleet, unfit = fit(fleet, ledger.known().states)
    given.tell_lines(unfit, quiet)
    document = _forecast(prompts, options, fleet, there, what_if or [], ledger)
    if json_:
        import msgspec

        sys.stdout.write(msgspec.json.encode(document).decode() + "\n")
        sys.stdout.flush()
    else:
        from llmfan.outputs.plan_table import print_plan

        print_plan(document, verbose=verbose)


def _fleets(path: str, env_file: str | None, only: list[str], exclude: list[str]) -> tuple[Fleet, Fleet | None]:
    """The fleet as if every key were set, and all of the file's that can be used."""
    from llmfan.errors import UserError
    from llmfan.inputs.config import load_fleet
    from llmfan.inputs.environment import environment

    env = environment(env_file, os.environ)
    fleet = load_fleet(path, env, simulate=True, only=only, exclude=exclude)
    try:
        return fleet, given.whole(load_fleet(path, env, only=only, exclude=exclude), env, only, exclude)
    except UserError:  # no key is set, or one is badly: a run will say so
        return fleet, None


def _forecast(
    path: str, options: RunOptions, fleet: Fleet, there: set[str], wishes: list[str], ledger: Archive
) -> dict[str, Any]:
    """Reads the prompts' lengths and plays the batch; with wishes, once more without them."""
    import datetime as dt

    from llmfan.forecasting.document import plan_document
    from llmfan.forecasting.forecast import Forecaster
    from llmfan.forecasting.outlines import Outlines
    from llmfan.forecasting.what_if import changed

    wished = changed(fleet, wishes)
    with given.prompt_set(path, options, None) as prompts:
        outlines = Outlines(prompts.prompts(options.limit, options.shuffle, options.seed))
    start = dt.datetime.now(dt.UTC)
    forecast = Forecaster(wished, outlines, options, ledger, start).forecast()
    instead_of = Forecaster(fleet, outlines, options, ledger, start).duration() if wishes else None
    return plan_document(forecast, start, there=there, what_if=wishes, instead_of=instead_of)
