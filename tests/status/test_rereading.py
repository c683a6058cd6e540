"""The ledger's past, read once and added to: the same figures as if it were read again each second."""

from __future__ import annotations

import datetime as dt
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmfan.entries import Tally
from llmfan.ledgers.memory import MemoryLedger
from llmfan.settings import Fleet
from llmfan.status.document import status_document
from llmfan.status.past import Past
from llmfan.status.rereading import AGAIN_S, FINE, Rereading, summed
from llmfan.units import DAY, HOUR
from tests.status.knowing import NOON, fleet, provider

PART = DAY / 3
#: A day in a month, its last one and its first one.
DAYS = (NOON, dt.datetime(2026, 10, 31, 12, 0, tzinfo=dt.UTC), dt.datetime(2026, 12, 1, 0, 5, tzinfo=dt.UTC))


def history(seed: int, reset: str, at: dt.datetime = NOON) -> tuple[Fleet, list[Tally]]:
    """Of a year: minutes of the last hour, hours of the last day, parts of the days before; no two of a key overlap."""
    rng = random.Random(seed)
    now = at.timestamp()
    starts = [now // FINE * FINE - FINE * n for n in range(1, 12)]
    starts += [(now - HOUR) // HOUR * HOUR - HOUR * n for n in range(1, 26)]
    starts += [now // DAY * DAY - DAY - PART * n for n in range(1, 175)]
    spans = [FINE] * 11 + [HOUR] * 25 + [PART] * 174
    tallies = []
    for start, span in zip(starts, spans, strict=True):
        for key, model in (("a#1", "m"), ("a#1", "n"), ("a#2", "m")):
            if rng.random() < 0.4:
                ok = rng.randrange(30)
                spread = {rng.randrange(-50, 90): 1 for _ in range(ok)}
                tallies.append(
                    Tally(
                        key=key, model=model, at=start, span=span, sent=ok + 2, ok=ok, refused=1, failed=1,
                        input_tokens=ok * 7, output_tokens=ok * 9, latency_s=ok * 1.5, latencies=spread,
                    )
                )  # fmt: skip
    return fleet(provider("a", 2, {"rpd": 1000.0}, models=("m", "n"), reset=reset)), tallies


def figures(of: Fleet, tallies: list[Tally], at: dt.datetime) -> list[dict[str, Any]]:
    """All that rests on tallies alone. Medians of all time come from the newest of what may be kept as one sum."""
    found = status_document(of, Past(tallies=sorted(tallies, key=lambda each: each.at)), at)
    keys = found["quota_status"]["a"]["keys"]
    for key in keys:
        for name in ("p50_latency_s", "p95_latency_s"):
            del key["all"][name]
    return list(keys)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10_000),
    st.sampled_from(["utc", "America/Los_Angeles", "Asia/Tokyo", "rolling"]),
    st.floats(0.0, 6 * HOUR),
    st.sampled_from(DAYS),
)
def test_fewer_entries_make_the_same_figures_now_and_hours_later(
    seed: int, reset: str, later: float, day: dt.datetime
) -> None:
    """What is summed up must never be asked for apart again: a day's calls would show in the wrong day."""
    of, tallies = history(seed, reset, day)
    fewer = summed(tallies, of, day)
    assert len(fewer) <= len(tallies)
    at = day + dt.timedelta(seconds=later)
    assert figures(of, fewer, at) == figures(of, tallies, at)


def test_a_year_becomes_few_entries() -> None:
    """They are gone through every second."""
    of, tallies = history(1, "utc")
    assert len(summed(tallies * 3, of, NOON)) < len(tallies * 3) / 2 + 10


def test_the_sums_themselves_stay_as_they_were() -> None:
    """They are the ledger's own: what is added to them would be counted again at each reading."""
    of, tallies = history(2, "utc")
    before = sum(each.sent for each in tallies)
    summed(tallies, of, NOON)
    assert sum(each.sent for each in tallies) == before


class Book(MemoryLedger):
    """Of which others write as well: `changed` says so."""

    changed = read = 0

    def version(self) -> int:
        return self.changed

    def tallied(self, since: float) -> list[Tally]:
        self.read += 1
        return super().tallied(since)


def one(at: dt.datetime) -> Tally:
    return Tally(key="a#1", model="m", at=at.timestamp() // 60 * 60, sent=1, ok=1, latency_s=1.0)


def sent(past: Past) -> int:
    return sum(each.sent for each in past.tallies)


def test_its_own_sums_are_added_without_reading() -> None:
    """Each is written once and told once: read and told together it would count double."""
    ledger, at = Book(), NOON
    again = Rereading(ledger, fleet(provider()))
    for n in range(500):
        assert sent(again.past(at)) == n
        ledger.tally([one(at)])
        again.told([one(at)])
        at += dt.timedelta(seconds=47)
    assert ledger.read == 2, "once at first, once more after six hours"
    assert len(again._own) < 30


def test_others_are_read_when_they_have_written_but_not_all_the_time() -> None:
    """A batch beside it writes twice a second, and reading may take tens of milliseconds."""
    ledger, at = Book(), NOON
    again = Rereading(ledger, fleet(provider()))
    again.past(at)
    for _ in range(60):
        at += dt.timedelta(seconds=1)
        ledger.tally([one(at)])
        ledger.changed += 1
        again.past(at)
    assert ledger.read == pytest.approx(1 + 60 / AGAIN_S, abs=1)
    assert sent(again.past(at + dt.timedelta(seconds=AGAIN_S))) == 60


def test_nothing_is_kept_where_nobody_asks() -> None:
    """A server that nobody watches for a year must not keep its year in memory for that."""
    ledger, at = Book(), NOON
    again = Rereading(ledger, fleet(provider()))
    again.past(at)
    for _ in range(100):
        at += dt.timedelta(hours=1)
        ledger.tally([one(at)])
        again.told([one(at)])
    assert len(again._own) <= 1
    assert sent(again.past(at)) == 100
