"""The table that `llmfan plan` prints: how long, by whom, what holds it back, what would change it."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any, NamedTuple, cast

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from llmfan.outputs.cells import short_number
from llmfan.outputs.clean import clean
from llmfan.outputs.lines import counted
from llmfan.outputs.steady import SteadyStream
from llmfan.outputs.tables import PIPE_WIDTH, ROOMY, TITLED, summary_console
from llmfan.units import spell

_UNDEFINED = "—"
#: Binding limits in the headline.
NAMED = 3
#: What one more key gains is shown from this share of the duration on.
WORTH = 0.005
Entry = Mapping[str, Any]


class _Column(NamedTuple):
    """`short` is its title on a screen that has no room for `title`; on one narrower than `least` it is left out."""

    title: str
    short: str
    cell: Callable[[Entry], str]
    least: int = 0


_COLUMNS = (
    _Column("keys", "keys", lambda p: f"{p['keys']:,}"),
    _Column("jobs", "jobs", lambda p: f"{p['jobs']:,}"),
    _Column("share", "share", lambda p: f"{p['share'] * 100:.1f} %"),
    _Column("a minute", "/min", lambda p: _rate(p["requests_per_minute"]), 60),
    _Column("bound by", "bound by", lambda p: _limit(p["binding"])),
    _Column("one more key", "+1 key", lambda p: p["gain"]),
)


def print_plan(plan: Entry, console: Console | None = None, *, verbose: bool = False) -> bool:
    """Prints to stdout, or where `console` does; False if nobody reads it any more."""
    console = console or summary_console(sys.stdout)
    if not isinstance(console.file, SteadyStream):
        console.file = cast("IO[str]", SteadyStream(console.file))
    with console.capture() as page:
        console.print(plan_table(plan, console.width, verbose=verbose))
    for line in page.get().rstrip("\n").split("\n"):
        console.file.write(line.rstrip(" ") + "\n")
    console.file.flush()
    return not cast("SteadyStream", console.file).gone


def plan_table(plan: Entry, width: int = PIPE_WIDTH, *, verbose: bool = False) -> RenderableType:
    """The document of `plan --json` as a headline, a table of providers, and what it rests on."""
    parts: list[RenderableType] = [_headline(plan), *_warnings(plan), Text(), _providers(plan, width)]
    if verbose:
        parts += [Text(), _keys(plan, width), Text(), _targets(plan, width)]
    return Group(*parts, Text(), _closing(plan))


# ---------------------------------------------------------------- the headline


def _headline(plan: Entry) -> Text:
    """`1,319 prompts in about 4 m 10 s (3 m 58 s to 4 m 31 s), finishes at 15:42 UTC`, and what it is bound by."""
    text = Text()
    jobs = counted(plan["jobs"], "prompt")
    if plan["duration_s"] is None:
        why = "--max-cost would be passed" if plan["ending"] == "cost" else "no key can serve what is left"
        text.append(f"{jobs}: never done, {why}", "bold red")
    else:
        text.append(f"{jobs} in about {spell(plan['duration_s'])}", "bold")
        text.append(f" ({spell(plan['low_s'])} to {spell(plan['high_s'])})")
        text.append(f", finishes {_clock(plan['finishes_at'])}")
    text.append(f"\n{_bound(plan)}")
    if plan["what_if"] and plan["instead_of_s"] is not None:
        text.append(f"\nif {', '.join(clean(wish) for wish in plan['what_if'])}; ", "cyan")
        text.append(f"as it stands: {spell(plan['instead_of_s'])}", "cyan")
    return text


def _bound(plan: Entry) -> str:
    """Keys of one provider that are bound alike are counted, not listed, and matter as much as all of them do."""
    alike: dict[tuple[str, str], list[Entry]] = {}
    for bound in plan["binding"]:
        provider = (bound["key"] or "").rpartition("#")[0] or bound["key"] or ""
        alike.setdefault((provider, bound["limit"]), []).append(bound)
    if not alike:
        return "held back by no limit"
    order = sorted(alike, key=lambda group: -sum(bound["doubled_gains_jobs"] for bound in alike[group]))
    named = [
        _named(*group, [key for bound in alike[group] for key in (bound["key"] or "", *bound["shared_with"])])
        for group in order[:NAMED]
    ]
    more = len(order) - len(named)
    return f"held back by {', '.join(named)}" + (f" and {more} more" if more > 0 else "")


def _named(provider: str, limit: str, keys: Sequence[str]) -> str:
    if not provider:  # an option of the run's own
        return limit
    who = clean(keys[0]) if len(keys) == 1 else f"{clean(provider)} ({len(keys)} keys)"
    return f"{who} {_limit(limit)}"


def _warnings(plan: Entry) -> list[Text]:
    said = []
    if plan["meets_deadline"] is False:
        said.append(f"the deadline, in {spell(plan['deadline_s'])}, would be missed")
    stops = plan["stops"]
    if stops is not None:
        said.append(
            f"quotas forbid it in one go: after {spell(stops['after_s'])} ({_clock(stops['at'])}) {stops['jobs']:,} "
            "are answered and every quota is spent; with --wait the run goes on after each reset"
        )
    if plan["unservable"]["jobs"]:
        said.append(f"{counted(plan['unservable']['jobs'], 'prompt')} cannot be served: {plan['unservable']['why']}")
    return [Text(clean(line, 400), "yellow") for line in said]


# ---------------------------------------------------------------- tables


def _providers(plan: Entry, width: int) -> Table:
    table = _table(width)
    table.add_column("provider", no_wrap=True, max_width=max(14, width // 6), overflow="ellipsis")
    shown = [column for column in _COLUMNS if width >= column.least]
    for column in shown:
        left = column.title == "bound by"
        title = column.title if width >= TITLED else column.short
        table.add_column(title, justify="left" if left else "right", no_wrap=True)
    table.add_column("quota left", overflow="fold", min_width=10)
    gains = {gain["name"]: _gain(gain["duration_s"], plan) for gain in plan["one_more_key"]}
    for entry in plan["providers"]:
        row = {**entry, "gain": gains.get(entry["name"], _UNDEFINED)}
        cells = [column.cell(row) for column in shown]
        style = "" if entry["jobs"] else "dim"
        dimmed = [Text(cell, "dim" if cell in ("0", "0.0 %", _UNDEFINED) else style) for cell in cells]
        table.add_row(Text(clean(entry["name"]), "bold"), *dimmed, Text(_quota(entry["quota_left"]), style))
    return table


def _keys(plan: Entry, width: int) -> Table:
    table = _table(width)
    table.add_column("key", no_wrap=True)
    table.add_column("jobs", justify="right", no_wrap=True)
    table.add_column("quota left", overflow="fold")
    for key in plan["keys"]:
        table.add_row(clean(key["key"]), f"{key['jobs']:,}", _quota(key["quota_left"]))
    return table


def _targets(plan: Entry, width: int) -> Table:
    """What answers were taken to be like: `prior` until some were seen."""
    table = _table(width)
    table.add_column("model", overflow="fold")
    for title in ("answer takes", "tokens", "known from"):
        table.add_column(title, justify="right", no_wrap=True)
    for each in plan["priors"]:
        source = counted(each["answers"], "answer") if each["source"] == "learned" else "prior"
        table.add_row(clean(each["target"]), spell(each["service_s"]), f"{each['output_tokens']:,.0f}", source)
    return table


def _table(width: int) -> Table:
    return Table(box=None, padding=(0, 2 if width >= ROOMY else 1, 0, 0), pad_edge=False, header_style="dim")


def _closing(plan: Entry) -> Text:
    cost = plan["cost_usd"]
    parts = [
        f"{_rate(plan['requests_per_minute'])} a minute sustained",
        f"ideal {spell(plan['ideal_duration_s'])}",
        "cost " + (_UNDEFINED if cost is None else f"${cost:.4f}"),
    ]
    text = Text(" · ".join(parts))
    for line in plan["assumptions"]:
        text.append(f"\n{clean(line, 400)}", "dim")
    return text


# ---------------------------------------------------------------- words for figures


def _gain(duration: float | None, plan: Entry) -> str:
    """`−32 s`: by how much sooner with one more key."""
    if duration is None or plan["duration_s"] is None:
        return _UNDEFINED
    saved = plan["duration_s"] - duration
    return f"−{spell(saved)}" if saved > WORTH * plan["duration_s"] else _UNDEFINED


def _limit(limit: str | None) -> str:
    return _UNDEFINED if limit is None else clean(limit).replace("_", " ")


def _quota(left: Mapping[str, float]) -> str:
    return ", ".join(f"{_limit(axis)} {short_number(n)}" for axis, n in left.items()) or _UNDEFINED


def _rate(value: float | None) -> str:
    return _UNDEFINED if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _clock(moment: str) -> str:
    """`15:42 UTC`, with the day where it is another one than today's."""
    then = dt.datetime.fromisoformat(moment)
    return f"at {then:%H:%M} UTC" if then.date() == dt.datetime.now(dt.UTC).date() else f"on {then:%Y-%m-%d %H:%M} UTC"
