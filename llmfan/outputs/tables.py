"""The summary table a run ends with: who answered how much, how fast, and why the others did not."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any, NamedTuple, cast

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from llmfan.measures.metrics import titles
from llmfan.outputs.clean import clean
from llmfan.outputs.lines import counted
from llmfan.outputs.scores import accuracy, gates_table, graded, paired_table
from llmfan.outputs.states import short_reason
from llmfan.outputs.steady import SteadyStream
from llmfan.units import dollars, spell

#: Columns in a pipe, where there is no screen to ask.
PIPE_WIDTH = 160
#: From here on columns have whole titles, and from here on two spaces between them.
TITLED, ROOMY = 120, 140
_UNDEFINED = "—"
_LIMITED = ("rate_limited", "quota_exhausted")
#: Below this efficiency the totals say where the time went.
LOST_FROM = 0.9
Entry = Mapping[str, Any]


class _Column(NamedTuple):
    """`short` is its title on a screen that has no room for `title`; on one narrower than `least` it is left out."""

    title: str
    short: str
    cell: Callable[[Entry], str]
    style: str = ""
    least: int = 0


def _column(
    cell: Callable[[Entry], str], name: str, statistic: str = "", style: str = "", least: int = 0, short: str = ""
) -> _Column:
    title, shorter = titles(name, statistic)
    return _Column(title, short or shorter, cell, style, least)


_COLUMNS = (
    _column(lambda e: _number(e["totals"]["ok"]), "ok"),
    _column(lambda e: _number(e["totals"]["failed"]), "failed", style="red"),
    _column(lambda e: _number(e["totals"]["attempts"]), "attempts", least=90),
    _column(lambda e: _number(e["totals"]["rate_limited"]), "rate_limited", style="yellow"),
    _column(lambda e: _success(e), "success_rate"),
    _column(lambda e: _time(e, "ttft_s", "p50"), "ttft_s", "p50", least=60, short="TTFT"),
    _column(lambda e: _time(e, "latency_s", "p50"), "latency_s", "p50"),
    _column(lambda e: _time(e, "latency_s", "p95"), "latency_s", "p95", least=60),
    _column(lambda e: _rate(e["totals"]["output_tokens_per_s"]), "output_tokens_per_s", least=90),
    _column(lambda e: _time(e, "wait_s", "p95"), "wait_s", "p95", least=90, short="wait"),
    _column(lambda e: _money(e["totals"]["cost_usd"], e["totals"]), "cost_usd", least=100),
)
#: Only where answers were graded: `91 % (89–93)`, or without its interval on a narrow screen.
_ACCURACY = _column(lambda e: accuracy(e["totals"]), "accuracy", least=TITLED)
_ACCURACY_SHORT = _column(lambda e: _percent(e["totals"].get("accuracy")), "accuracy")


def print_summary(summary: Entry, folder: str, console: Console | None = None) -> bool:
    """Prints to stdout, or where `console` does; False if nobody reads it any more."""
    console = console or summary_console(sys.stdout)
    if not isinstance(console.file, SteadyStream):
        console.file = cast("IO[str]", SteadyStream(console.file))
    with console.capture() as page:
        console.print(summary_table(summary, console.width))
        console.print(Text(f"results in {clean(folder, 2000)}"), soft_wrap=True)
    for line in page.get().rstrip("\n").split("\n"):
        console.file.write(line.rstrip(" ") + "\n")
    console.file.flush()
    return not cast("SteadyStream", console.file).gone


def summary_console(stream: IO[str]) -> Console:
    """As wide as the terminal; in a pipe always as wide, so that what reads it finds the same columns each time."""
    console = Console(file=cast("IO[str]", SteadyStream(stream)), highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    return console


def summary_table(summary: Entry, width: int = PIPE_WIDTH) -> RenderableType:
    """The document of `summary.json` as a table of providers, a line of totals, and the errors by kind."""
    parts: list[RenderableType] = [_title(summary), _providers(summary, width), _totals(summary)]
    parts += [part for part in (_errors(summary), paired_table(summary), gates_table(summary)) if part is not None]
    return Group(*parts)


def _title(summary: Entry) -> Text:
    text = Text("llmfan", style="bold")
    if summary.get("simulated"):
        text.append("  simulated fleet: no real provider was asked", style="bold yellow")
    return text


# ---------------------------------------------------------------- providers


def _providers(summary: Entry, width: int) -> Table:
    table = Table(box=None, padding=(0, 2 if width >= ROOMY else 1, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("provider", no_wrap=True, max_width=max(14, width // 6), overflow="ellipsis")
    shown = [column for column in _COLUMNS if width >= column.least]
    if graded(summary):
        shown.append(_ACCURACY if width >= _ACCURACY.least else _ACCURACY_SHORT)
    for column in shown:
        table.add_column(column.title if width >= TITLED else column.short, justify="right", no_wrap=True)
    table.add_column("why", overflow="fold", min_width=10)
    out = summary.get("out") or {}
    for entry in summary["providers"]:
        _add(table, shown, entry, Text(clean(entry["name"]), "bold"), _why(entry, out.get(entry["name"], ""), width))
        for key in _keys_of(entry, summary, out):
            label = Text(f"  {clean(key['name'])}", "dim")
            _add(table, shown, key, label, Text(_reason(out[key["name"]], width), "red"))
    return table


def _add(table: Table, shown: Sequence[_Column], entry: Entry, name: Text, why: Text) -> None:
    cells = []
    for column in shown:
        value = column.cell(entry)
        cells.append(Text(value, "dim" if value in ("0", _UNDEFINED) else column.style))
    table.add_row(name, *cells, why)


def _keys_of(entry: Entry, summary: Entry, out: Mapping[str, str]) -> list[Entry]:
    """The keys of a provider that are bad while it is not: the others' figures are in its row."""
    return [k for k in summary.get("keys", ()) if k["name"] in out and k["name"].rpartition("#")[0] == entry["name"]]


def _why(entry: Entry, out: str, width: int) -> Text:
    """Why a provider is bad; for one that served, what went wrong on the way; nothing where all went well."""
    totals, problems = entry["totals"], dict(entry.get("problems") or {})
    if out:
        return Text(_reason(out, width), "bold red" if not totals["ok"] else "red")
    if not totals["attempts"] and not totals["jobs"]:
        return Text("warm-up only" if totals.get("warmup") else "not used", "dim")
    if not totals["ok"]:
        return Text(_counts(problems or entry.get("errors") or {}), "bold red")
    return Text(_counts({kind: n for kind, n in problems.items() if kind not in _LIMITED}), "dim")


def _reason(why: str, width: int) -> str:
    """With the server's own words where the screen is wide."""
    return clean(why, 160) if width > TITLED else clean(_named(why), 60)


def _named(why: str) -> str:
    """`401 auth: Invalid key` → `401 auth`; `circuit open: timeout` as it is; a bare `429` says more with its kind."""
    head, _, rest = why.partition(":")
    if head == "circuit open":
        return f"{head}: {short_reason(rest.strip())}"
    return head


def _counts(kinds: Mapping[str, int]) -> str:
    found = sorted(kinds.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{clean(kind, 40)} ×{count}" for kind, count in found[:4])


# ---------------------------------------------------------------- totals, errors


def _totals(summary: Entry) -> Text:
    """`1,317 of 1,319 answered in 8 m 21 s · ideal 8 m 06 s · efficiency 97 %`, and beneath it what it took."""
    totals = summary["totals"]
    unsent = totals.get("unsent") or 0
    text = Text("\n")
    text.append(f"{totals['ok']:,} of {totals['jobs'] + unsent:,} answered in {spell(totals['duration_s'])}", "bold")
    if not (summary.get("client") or {}).get("asked_per_s"):  # else the arrivals say how long it takes
        text.append(f" · ideal {spell(totals.get('ideal_duration_s'))}")
        text.append(f" · efficiency {_percent(totals.get('efficiency'))}")
    text.append(_where(totals))
    if totals["failed"]:
        text.append(f" · {totals['failed']:,} failed", "bold red")
    if unsent:
        text.append(f" · {unsent:,} not done", "bold yellow")
    parts = [
        f"429s {totals['rate_limited']:,} of {counted(totals['attempts'], 'attempt')}",
        f"{_rate(totals['requests_per_s'])} requests/s",
        f"{_rate(totals['output_tokens_per_s'])} tokens/s{_estimated(totals)}",
        f"cost {_money(totals['cost_usd'], totals)}",
    ]
    if graded(summary):
        parts.append(f"accuracy {accuracy(totals)} of {totals['right'] + totals['wrong']:,}")
        if totals.get("ungraded"):
            parts.append(f"{totals['ungraded']:,} not graded")
        if totals.get("cost_per_right_usd"):
            parts.append(f"{_money(totals['cost_per_right_usd'])} a right answer")
    hedges = totals.get("hedges") or {}
    if hedges.get("attempts"):
        parts.append(
            f"{hedges['attempts']:,} sent twice, {hedges['won']:,} copies won (cost {_money(hedges['cost_usd'])})"
        )
    text.append("\n" + " · ".join(parts))
    client = summary.get("client") or {}
    if client.get("asked_per_s"):
        asked, achieved = _rate(client["asked_per_s"]), _rate(client.get("achieved_per_s"))
        text.append(f"\narrivals planned {asked}/s, sent {achieved}/s")
    if client.get("limited"):
        text.append(f"\nlimited: llmfan itself held the run back: {client.get('why') or 'it was too slow'}", "yellow")
    return text


def _where(totals: Entry) -> str:
    """` (stragglers 1.5 s, spacing 0.9 s)`: where most of the time beyond the ideal went, if it was much."""
    lost: Mapping[str, float] = totals.get("lost") or {}
    if not lost or (totals.get("efficiency") or 1.0) >= LOST_FROM:
        return ""
    whole = sum(lost.values())
    most = sorted(((s, name.removesuffix("_s")) for name, s in lost.items() if s >= 0.2 * whole), reverse=True)
    parts = ", ".join(f"{name} {spell(s)}" for s, name in most)
    return f" ({parts})" if parts else ""


def _errors(summary: Entry) -> RenderableType | None:
    """Failed jobs by kind, each with one message as an example."""
    errors: Mapping[str, int] = summary.get("errors") or {}
    if not errors:
        return None
    examples: Mapping[str, str] = summary.get("examples") or {}
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for kind, count in sorted(errors.items(), key=lambda item: (-item[1], item[0])):
        table.add_row(Text(f"{count:,}", "red"), Text(clean(kind, 40), "red"), Text(clean(examples.get(kind, ""))))
    return Group(Text("failed jobs by kind, with an example", style="dim"), Padding(table, (0, 0, 0, 2), expand=False))


# ---------------------------------------------------------------- words for figures


def _number(value: int) -> str:
    return f"{value:,}"


def _success(entry: Entry) -> str:
    """The share of its attempts that were answered: one whose every job went elsewhere has failed no job."""
    return _percent(entry["totals"].get("success_rate"))


def _percent(value: float | None) -> str:
    """One decimal where a whole per cent would round a failure away."""
    if value is None:
        return _UNDEFINED
    whole = round(value * 100)
    if whole == 100 and value < 1:
        return f"{min(value * 100, 99.9):.1f} %"
    return f"{whole} %"


def _time(entry: Entry, name: str, quantile: str) -> str:
    return spell((entry.get(name) or {}).get(quantile))


def _rate(value: float | None) -> str:
    if value is None:
        return _UNDEFINED
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _money(value: float | None, totals: Entry | None = None) -> str:
    """`$0.1200`; `≥ $0.1200` where the price of some answers is not known."""
    if value is None:
        return _UNDEFINED
    return ("≥ " if totals and totals.get("cost_unknown") else "") + dollars(value)


def _estimated(totals: Entry) -> str:
    number = totals.get("estimated_token_counts") or 0
    return f" ({number:,} counts estimated)" if number else ""
