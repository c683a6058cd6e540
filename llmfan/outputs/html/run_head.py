"""What stands first of a run: what ran and when, the verdict in one line, what to know before trusting it, gates."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from llmfan.measures.gate_grammar import figure_of
from llmfan.outputs.html.markup import Column, name, row, table, text, words
from llmfan.outputs.html.page import RunPage
from llmfan.outputs.html.spelling import money, number, read, share, span, spelled


def facts(run: RunPage) -> Iterator[str]:
    yield '<dl class="facts">\n'
    for term, value in _facts(run):
        yield f"<div><dt>{term}</dt><dd>{value}</dd></div>\n"
    yield "</dl>\n"


def _facts(run: RunPage) -> Iterator[tuple[str, str]]:
    header, summary = run.header, run.summary
    prompts = header.get("prompts") or {}
    if prompts.get("path"):
        digest = str(prompts.get("sha256") or "")[:12]
        yield (
            "prompt set",
            (name(prompts["path"], 200) if prompts["path"] != "-" else "stdin")
            + (f' <code class="soft">{text(digest)}</code>' if digest else ""),
        )
    yield "results", number(run.results)
    mode = (header.get("shaping") or {}).get("--mode")
    if mode:
        yield "mode", text(mode)
    yield "fleet", _fleet(summary)
    if header.get("started_at"):
        ended = header.get("ended_at")
        yield "started", _moment(header["started_at"]) + (f", ended {_moment(ended)}" if ended else "")
    yield "duration", span(read(summary, "duration_s"))
    version = (header.get("versions") or {}).get("llmfan")
    if version:
        yield "run with", f"llmfan {text(version)}"
    yield "folder", name(run.name, 200)


def _fleet(summary: Mapping[str, Any]) -> str:
    counts = [(len(summary.get(key) or ()), word) for key, word in (("providers", "provider"), ("keys", "key"))]
    return ", ".join(f"{number(n)} {word}{'' if n == 1 else 's'}" for n, word in counts)


def _moment(stamp: object) -> str:
    """`2026-11-21T20:57:25.730Z` to the second, still in UTC."""
    said = str(stamp)
    return text(said[:10] + " " + said[11:19] + " UTC" if said.endswith("Z") and len(said) >= 20 else said)


def badge(run: RunPage) -> str:
    """That nothing of it is real is said beside the name, where nobody can miss it."""
    if not (run.summary.get("simulated") or run.header.get("simulated")):
        return ""
    return ' <span class="badge" title="A simulated fleet answered; no provider was asked">simulated</span>'


def verdict(run: RunPage) -> str:
    gates = run.summary.get("gates") or []
    broken = any(gate.get("held") is False for gate in gates)
    bad = broken or not (read(run.summary, "ok") or 0.0)
    good = not bad and not (read(run.summary, "failed") or 0.0) and not read(run.summary, "unsent")
    return f'<p class="verdict{" bad" if bad else " good" if good else ""}">{text(run.verdict, 1000)}</p>\n'


def notes(run: RunPage) -> Iterator[str]:
    lines = [*_warnings(run), *(("", text(note, 1000)) for note in run.notes)]
    if lines:
        yield '<ul class="notes">\n'
        for style, line in lines:
            yield f'<li class="{style}">{line}</li>\n' if style else f"<li>{line}</li>\n"
        yield "</ul>\n"


def _warnings(run: RunPage) -> Iterator[tuple[str, str]]:
    """What the document's own notes do not say already."""
    said = " ".join([run.verdict, *run.notes]).lower()
    client = run.summary.get("client") or {}
    if (run.summary.get("simulated") or run.header.get("simulated")) and "simulated" not in said:
        yield "warn", "Simulated: no provider was asked; a simulated fleet answered, and its texts are invented."
    if client.get("limited") and "llmfan itself" not in said:
        why = f": {text(client['why'])}" if client.get("why") else ""
        yield "warn", f"Limited: llmfan itself held this run back{why}; the providers may be faster than this."
    estimated, unpriced = read(run.summary, "estimated_token_counts"), read(run.summary, "cost_unknown")
    if estimated and "estimate" not in said:
        yield "", f"Token counts of {number(estimated)} answers are estimates, and so is what is made of them."
    if unpriced and "price" not in said:
        yield "", f"The price of {number(unpriced)} answers is not known; they are not in the cost."
    for target, why in list((run.summary.get("out") or {}).items())[:20]:
        yield "warn", f"{name(target)}: {text(why)}"


def gates(run: RunPage, level: int) -> Iterator[str]:
    found = run.summary.get("gates") or []
    if not found:
        return
    yield f"<h{level}>Gates</h{level}>\n"
    columns = [Column("must not be"), Column("value", True), Column("verdict"), Column("why")]
    yield from table("What the run was to keep to, and whether it did", columns, map(_gate, found), sortable=False)


def _gate(gate: Mapping[str, Any]) -> str:
    value = gate.get("value")
    held = gate.get("held")
    judged = ("good", "held") if held else ("bad", "not held") if held is False else ("undef", "not judged")
    figure = figure_of(str(gate.get("expr") or ""))
    unit = figure.metric.unit if figure else ""
    shown = spelled(unit, value) if isinstance(value, int | float) else "—" if value is None else text(value)
    cells = [words(shown, "n"), words(judged[1], judged[0]), words(text(gate.get("why") or "", 500))]
    return row(f"<code>{text(gate.get('expr', ''))}</code>", cells)


def tiles(run: RunPage) -> Iterator[str]:
    yield '<dl class="tiles">\n'
    for term, value, small in _tiles(run.summary):
        yield f"<div><dt>{term}</dt><dd>{value}{f'<small>{small}</small>' if small else ''}</dd></div>\n"
    yield "</dl>\n"


def _tiles(summary: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    def get(figure: str) -> float | None:
        return read(summary, figure)

    yield "answered", number(get("ok")), _unanswered(get)
    yield "429s", share(get("rate_limited_rate")), f"{number(get('rate_limited'))} of {number(get('attempts'))} tries"
    yield "latency p50", span(get("latency_p50")), f"p95 {span(get('latency_p95'))}"
    yield "TTFT p50", span(get("ttft_p50")), f"p95 {span(get('ttft_p95'))}"
    yield "tokens a second", number(get("output_tokens_per_s")), f"{number(get('requests_per_s'))} answers a second"
    yield "duration", span(get("duration_s")), _ideal(get("efficiency"), get("ideal_duration_s"))
    if get("accuracy") is not None:
        low, high = get("accuracy_low"), get("accuracy_high")
        yield "accuracy", share(get("accuracy")), f"{share(low)} to {share(high)} (95 %)" if low is not None else ""
    else:
        yield "accuracy", "—", "nothing was graded"
    yield "cost", money(get("cost_usd")), _unpriced(get("cost_usd"), get("cost_unknown"))


def _unanswered(get: Callable[[str], float | None]) -> str:
    """What is missing of all, and why."""
    unsent = get("unsent")
    failed = f"of {number((get('jobs') or 0) + (unsent or 0))}, {number(get('failed'))} failed"
    rate = f" ({share(get('failed_rate'))})" if get("failed") else ""
    return failed + rate + (f", {number(unsent)} not done" if unsent else "")


def _ideal(efficiency: float | None, ideal: float | None) -> str:
    return f"the limits permit {span(ideal)}: {share(efficiency)}" if efficiency is not None else ""


def _unpriced(cost: float | None, unknown: float | None) -> str:
    if not unknown:
        return ""
    return f"{number(unknown)} answers unpriced" if cost is not None else "prices are not known"
