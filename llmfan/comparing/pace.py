"""Throughput over the course of a run: completions and tokens a second, in equal slices of its time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from llmfan.comparing.arrays import Answers, Mask, Requests, Values

SLICES = 20
#: Fewer completions than this make no rates worth testing.
LEAST = 5 * SLICES


@dataclass(frozen=True)
class Pace:
    """`requests` and `tokens` a second, a value a slice; `n`: completions. The mean of slices is the run's rate."""

    requests: Values
    tokens: Values
    n: int


def of(answers: Answers, requests: Requests, chosen: Mask) -> Pace | None:
    """From the first request sent to the last byte of a success; a job is done by its last request's end."""
    ok = answers.ok
    jobs = answers.job[ok]
    tokens = np.nan_to_num(answers.columns["output_tokens"][ok])
    done = chosen & np.isfinite(requests.end) & np.isin(requests.job, jobs)
    if done.sum() < LEAST:
        return None
    job, end = requests.job[done], requests.end[done]
    order = np.lexsort((end, job))
    job, end = job[order], end[order]
    last = np.append(job[1:] != job[:-1], True)
    job, end = job[last], end[last]
    start = requests.sent[chosen].min()
    span = end.max() - start
    if span <= 0 or len(job) < LEAST:
        return None
    by_job = np.argsort(jobs)
    each = tokens[by_job[np.searchsorted(jobs, job, sorter=by_job)]]
    slot = np.minimum(((end - start) / span * SLICES).astype(np.int64), SLICES - 1)
    width = span / SLICES
    counts = np.bincount(slot, minlength=SLICES) / width
    return Pace(counts, np.bincount(slot, weights=each, minlength=SLICES) / width, len(job))
