"""A report's document, from the folders of the runs it is about."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

from msgspec.structs import replace

from llmfan import __version__
from llmfan.outputs.html.page import Page, Row, RunPage
from llmfan.reporting.asked import Asked, asked
from llmfan.reporting.counting import summary_of
from llmfan.reporting.definitions import definitions
from llmfan.reporting.failures import Failures
from llmfan.reporting.folder import RunFolder, open_runs
from llmfan.reporting.histograms import Histograms
from llmfan.reporting.key_use import Keys
from llmfan.reporting.lines import CUT, Attempt, Result, attempt_line, result_line
from llmfan.reporting.rows import ROWS, Listed, Picker
from llmfan.reporting.texts import BUDGET, cost, cut, level
from llmfan.reporting.timeline import Course
from llmfan.reporting.verdict import verdict
from llmfan.runfile import stamp

#: However many runs share a page, each lists so many results.
FEWEST = 50


def page_of(folders: Sequence[Path], now: dt.datetime) -> Page:
    """Reads each journal once, line by line; `now` is when the page is made (UTC)."""
    return page_of_runs(open_runs(folders), now)


def page_of_runs(runs: Sequence[RunFolder], now: dt.datetime) -> Page:
    names = [run.name for run in runs]
    pages = [
        run_page(run, run.name if names.count(run.name) == 1 else str(run.path), share=len(runs)) for run in runs
    ]  # fmt: skip
    title = names[0] if len(names) == 1 else f"{len(names)} runs"
    return Page(
        title=title, made_at=stamp(now.replace(microsecond=0)), version=__version__, runs=pages,
        definitions=definitions(),
    )  # fmt: skip


def run_page(run: RunFolder, name: str, share: int = 1) -> RunPage:
    """`share`: how many runs divide the page's rows and bytes among them."""
    survey = Survey(run, max(FEWEST, ROWS // share))
    survey.read(run)
    summary = summary_of(run)
    listed = survey.picker.listed()
    texts = asked(run, {each.line.index for each in listed})
    rows = [_row(each, texts) for each in listed]
    long = any(row.cut for row in rows)
    rows, most = _within(rows, BUDGET // share)
    notes = [
        *_about_the_run(run, summary, survey),
        survey.picker.note(listed),
        texts.note,
        _of_cuts(long, most),
    ]
    return RunPage(
        name=name, verdict=verdict(summary, run.ended, bool(survey.warmup)), summary=summary,
        header={k: v for k, v in run.header.items() if k != "fleet"},
        histograms=survey.histograms.all(), timeline=survey.course.timeline(), keys=survey.keys.uses(summary),
        failures=survey.failures.kinds(), rows=rows, results=survey.results, notes=[note for note in notes if note],
        warmed=survey.warmed(),
    )  # fmt: skip


class Survey:
    """One pass over a run's results and one over its attempts. Warm-up is counted and left out of everything else."""

    def __init__(self, run: RunFolder, room: int):
        seed = f"report:{run.header.get('started_at')}"  # the same run makes the same page
        self.picker = Picker(room, Random(seed))
        self.histograms, self.course, self.keys, self.failures = Histograms(), Course(), Keys(), Failures()
        self.results = self.warmup = self.warmup_failed = 0
        self._warmed: set[str] = set()
        self._asked: set[str] = set()

    def read(self, run: RunFolder) -> None:
        for result in run.results(result_line):
            self._result(result)
        for attempt in run.attempts(attempt_line):
            (self._warmed if attempt.warmup else self._asked).update(_names(attempt))
            if not attempt.warmup:
                self.course.attempt(attempt)
                self.keys.add(attempt)
                self.failures.attempt(attempt)

    def warmed(self) -> list[str]:
        """Who was asked in the warm-up and not after it."""
        return sorted(self._warmed - self._asked)

    def _result(self, line: Result) -> None:
        if line.warmup:
            self.warmup += 1
            self.warmup_failed += line.status != "ok"
            return
        self.results += 1
        self.failures.result(line)
        self.course.result(line)
        if line.status == "ok":
            self.histograms.add(line)
        self.picker.add(line)  # last: it cuts what it keeps


def _names(attempt: Attempt) -> tuple[str, str, str]:
    """As the provider, the model and the key stand in a summary."""
    return attempt.provider, f"{attempt.provider}/{attempt.model}", attempt.key


def _of_cuts(long: bool, most: int | None) -> str:
    how = [f"to {CUT:,} characters"] * long + ([f"to {most:,} bytes each"] if most else [])
    return f"long texts are cut so that the page stays small: {', and '.join(how)}" if how else ""


def _about_the_run(run: RunFolder, summary: Mapping[str, Any], survey: Survey) -> Iterator[str]:
    totals = summary.get("totals") or {}
    if not run.ended:
        yield "the run has not ended: the figures are those of what its journal holds so far"
    elif run.summary is None:
        yield "there is no summary.json of the last session: the figures were counted from the journal"
    elif totals.get("jobs") != survey.results:
        jobs = int(totals.get("jobs") or 0)
        yield f"summary.json counts {jobs:,} results, results.jsonl holds {survey.results:,}: one of them was changed"
    if survey.warmup:
        failed = f" ({survey.warmup_failed:,} of them failed)" if survey.warmup_failed else ""
        what = "results are" if survey.warmup > 1 else "result is"
        yield f"{survey.warmup:,} warm-up {what} in no figure, chart or list{failed}"
    if estimated := int(totals.get("estimated_token_counts") or 0):
        yield f"the token counts of {estimated:,} answers are estimates, and so is every figure made of them"
    if unknown := int(totals.get("cost_unknown") or 0):
        yield f"the price of {unknown:,} answers is not known: no cost counts them"
    if (run.path / "retrying.jsonl").exists():
        yield "failed results that are being tried again (retrying.jsonl) are not counted"


def _row(each: Listed, texts: Asked) -> Row:
    line = each.line
    prompt = texts.text(line.index, line.id)
    long = prompt is not None and len(prompt) > CUT
    error = f"{line.error.kind}: {line.error.message}" if line.error else None
    return Row(
        id=line.id, index=line.index, repeat=line.repeat, why=each.why, status=line.status, provider=line.provider,
        model=line.model, key=line.key, prompt=prompt[:CUT] if prompt is not None else None, text=line.text,
        expect=line.expect, score=line.score, error=error, wait_s=line.wait_s, retry_s=line.retry_s,
        ttft_s=line.ttft_s, latency_s=line.latency_s, total_s=line.total_s,
        output_tokens=line.usage.output_tokens if line.usage else None, cost_usd=line.cost_usd,
        attempts=line.attempts, cut=line.shortened or long,
    )  # fmt: skip


def _within(rows: list[Row], budget: int) -> tuple[list[Row], int | None]:
    """The rows with their texts cut to what the page has room for, and to how many bytes; None: they all fit."""
    most = level([text for row in rows for text in _texts(row).values()], budget)
    if most is None:
        return rows, None
    return [_cut_row(row, most) for row in rows], most


def _cut_row(row: Row, most: int) -> Row:
    shorter = {name: cut(text, most) for name, text in _texts(row).items() if cost(text) > most}
    return replace(row, **shorter, cut=True) if shorter else row


def _texts(row: Row) -> dict[str, str]:
    found = {"prompt": row.prompt, "text": row.text, "expect": row.expect, "error": row.error}
    return {name: text for name, text in found.items() if text is not None}
