"""A forecast as the document that `llmfan plan --json` prints, and that its table is made of."""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter
from collections.abc import Container, Sequence
from typing import Any

from llmfan.forecasting.course import Ran
from llmfan.forecasting.forecast import Forecast
from llmfan.forecasting.holds import UNDECLARED
from llmfan.forecasting.priors import SUPPOSED
from llmfan.runfile import stamp
from llmfan.units import spell

#: Binding limits that would gain less than this share of what the first one would are not named.
WORTH_NAMING = 0.01


def plan_document(
    forecast: Forecast,
    start: dt.datetime,
    *,
    there: Container[str],
    what_if: Sequence[str] = (),
    instead_of: float | None = None,
) -> dict[str, Any]:
    """`start`: when the run would begin. `there`: the labels of the keys that a run could use now.

    `instead_of`: the duration without the wishes of `--what-if`.
    """
    ran, finished = forecast.ran, forecast.duration
    gains = [{"name": g.name, "duration_s": _round(g.duration), "how": g.how} for g in forecast.gains]
    return {
        "duration_s": _round(finished),
        "low_s": _round(forecast.low),
        "high_s": _round(forecast.high),
        "interval": forecast.how,
        "jobs": forecast.jobs,
        "finishes": finished is not None and ran.stops is None,
        "finishes_at": None if finished is None else _moment(start, finished),
        "ending": ran.ending,
        "deadline_s": _round(forecast.deadline),
        "meets_deadline": None if forecast.deadline is None else _meets(finished, forecast.deadline),
        "stops": _stops(ran, start),
        "refused": ran.refused,
        "unservable": {"jobs": ran.unservable, "why": ran.why},
        "requests_per_minute": _round(ran.progress.sustained()),
        "ideal_duration_s": _round(forecast.ideal),
        "binding": [
            {
                "key": bound.key,
                "limit": bound.limit,
                "shared_with": bound.shared_with,
                "doubled_gains_jobs": round(bound.gain),
            }
            for bound in ran.binding
            if bound.gain > WORTH_NAMING * ran.binding[0].gain
        ],
        "cost_usd": None if ran.cost is None else round(ran.cost, 6),
        "providers": _providers(forecast),
        "keys": _keys(forecast, there),
        "one_more_key": gains,
        "priors": _priors(forecast),
        "what_if": list(what_if),
        "instead_of_s": _round(instead_of),
        "assumptions": _assumptions(forecast, there),
    }


def _meets(finished: float | None, deadline: float) -> bool:
    return finished is not None and finished <= deadline


def _stops(ran: Ran, start: dt.datetime) -> dict[str, Any] | None:
    """Where a run that does not wait for the resets of quotas would end."""
    if ran.stops is None:
        return None
    return {"after_s": _round(ran.stops), "at": _moment(start, ran.stops), "jobs": ran.before}


def _providers(forecast: Forecast) -> list[dict[str, Any]]:
    """Shares are of the jobs that are answered. `binding`: the first of the binding limits that is one of its keys'."""
    jobs: Counter[str] = Counter()
    keys: dict[str, set[str]] = {}
    owner: dict[str | None, str] = {}
    for lane, answered in zip(forecast.lanes, forecast.ran.answered, strict=True):
        target = lane.target
        jobs[target.provider] += answered
        keys.setdefault(target.provider, set()).add(target.key)
        owner[target.key] = target.provider
    first: dict[str, str] = {}
    for bound in forecast.ran.binding:
        if bound.key in owner:
            first.setdefault(owner[bound.key], bound.limit)
    total, minutes = max(1, jobs.total()), forecast.ran.duration / 60
    return [
        {
            "name": name, "jobs": jobs[name], "share": round(jobs[name] / total, 4), "keys": len(own),
            "requests_per_minute": _round(jobs[name] / minutes) if minutes else None, "binding": first.get(name),
            "quota_left": {axis: _round(n) for axis, n in forecast.quota_together[name].items()},
        }
        for name, own in keys.items()
    ]  # fmt: skip


def _keys(forecast: Forecast, there: Container[str]) -> list[dict[str, Any]]:
    jobs: Counter[str] = Counter()
    for lane, answered in zip(forecast.lanes, forecast.ran.answered, strict=True):
        jobs[lane.target.key] += answered
    return [
        {
            "key": key, "jobs": jobs[key], "quota_left": {axis: _round(n) for axis, n in left.items()},
            "there": key in there,
        }
        for key, left in forecast.quota_left.items()
    ]  # fmt: skip


def _priors(forecast: Forecast) -> list[dict[str, Any]]:
    """What each target's answers were taken to be like; `source`: `learned` (from so many answers), or `prior`."""
    found = {lane.target.name: answers for lane, answers in zip(forecast.lanes, forecast.answers, strict=True)}
    return [
        {
            "target": name, "source": "prior" if answers.known is None else "learned",
            "answers": 0 if answers.known is None else answers.known.n, "service_s": _round(answers.service_s),
            "output_tokens": _round(answers.output_tokens),
        }
        for name, answers in found.items()
    ]  # fmt: skip


def _assumptions(forecast: Forecast, there: Container[str]) -> list[str]:
    said = ["limits are as they are known, nothing fails, and nobody else uses these keys"]
    missing = sum(key not in there for key in forecast.quota_left)
    if missing:
        said.append(
            f"{missing:,} of {_of(len(forecast.quota_left), 'key')} not set yet; the forecast is for when they are"
        )
    supposed = {lane.target.name for lane, a in zip(forecast.lanes, forecast.answers, strict=True) if a.known is None}
    if supposed:
        means = f"{spell(SUPPOSED.first_s + SUPPOSED.gap_s * (SUPPOSED.output_tokens - 1))} and about "
        means += f"{SUPPOSED.output_tokens:.0f} tokens an answer"
        said.append(f"{means} (give or take two fifths) are taken for {_of(len(supposed), 'model')} not heard of yet")
    unknown = {bound.key for bound in forecast.ran.binding if bound.limit == UNDECLARED}
    if unknown:
        said.append(f"no limit is declared for {_of(len(unknown), 'key')}: taken to be found by trying, and never met")
    if forecast.how == "bound":
        said.append("the interval is that of the least time the limits permit, under other answers")
    else:
        said.append("the interval is that of the same batch played again with other answers")
    if any(gain.how == "read" for gain in forecast.gains):
        said.append("one more key is taken to be as busy as one of its provider's keys")
    return said


def _of(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def _moment(start: dt.datetime, after: float) -> str:
    return stamp(start + dt.timedelta(seconds=after))


def _round(value: float | None) -> float | None:
    return None if value is None or math.isinf(value) else round(value, 3)
