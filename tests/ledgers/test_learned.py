"""What was learned stays until somebody knows better, and that it changed can be read later."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmfan.entries import Change, KeyState
from llmfan.records import Known, KnownLimit
from llmfan.units import DAY, HOUR
from tests.ledgers.books import NOON, Time, opened


def limit(at: float = NOON, **said: object) -> KnownLimit:
    return KnownLimit(owner="p#1", axis="rpm", at=at, **said)  # type: ignore[arg-type]


def kept(path: Path, *limits: KnownLimit) -> tuple[KnownLimit, list[Change]]:
    """After these were kept one after the other and the file was opened again."""
    ledger = opened(path)
    for each in limits:
        ledger.keep(Known(limits=[each]))
    ledger.close()
    again = opened(path)
    found, changes = again.known().limits, again.changes(0)
    again.close()
    assert len(found) == 1
    return found[0], changes


def test_silence_wipes_nothing(tmp_path: Path) -> None:
    """A run that saw no header would make the next one begin without the limit an earlier one was told."""
    full = limit(
        reported=60.0, measured=55.0, kind="paced", guard_s=2.0, confidence=0.7, counts="sliding", declared=30.0
    )
    found, _ = kept(tmp_path / "l", full, limit(NOON + 1))
    assert found == limit(
        NOON + 1,
        reported=60.0,
        measured=55.0,
        kind="paced",
        guard_s=2.0,
        confidence=0.7,
        counts="sliding",
        declared=30.0,
    )


MEASURED = {"measured": 50.0, "confidence": 0.95, "counts": "fixed", "kind": "window"}


@pytest.mark.parametrize(
    ("later", "said", "stands"),
    [
        (HOUR, {"measured": 80.0, "confidence": 0.5}, True),
        (HOUR, {"measured": 80.0, "confidence": 0.97, "counts": "sliding"}, False),
        (DAY + 1, {"measured": 80.0, "confidence": 0.5}, False),
    ],
)
def test_what_was_measured_by_spending_stands_for_a_day(
    tmp_path: Path, later: float, said: dict[str, object], stands: bool
) -> None:
    """Requests were paid for it; a run's guess from its own traffic would throw that away within the minute."""
    found, _ = kept(tmp_path / "l", limit(**MEASURED), limit(NOON + later, **said))
    assert found.measured == (50.0 if stands else 80.0)
    assert found.kind == "window"
    if stands:
        assert (found.confidence, found.counts) == (0.95, "fixed")


def test_repeating_what_stands_does_not_make_it_stand_for_ever(tmp_path: Path) -> None:
    """A run keeps what it knows every few seconds; each of them must not begin the day anew."""
    guesses = [limit(NOON + n * HOUR, measured=80.0, confidence=0.5) for n in range(1, 26)]
    found, _ = kept(tmp_path / "l", limit(**MEASURED), *guesses)
    assert found.measured == 80.0


def test_a_figure_that_becomes_another_is_written_down(tmp_path: Path) -> None:
    """`status --history` lists when limits changed; and a declared one only where it had been another."""
    said = [
        limit(NOON, declared=30.0, reported=60.0),
        limit(NOON + 1, declared=30.0, reported=60.0),
        limit(NOON + 2, declared=40.0, reported=20.0),
        limit(NOON + 3, measured=19.0),
    ]
    _, changes = kept(tmp_path / "l", *said)
    assert [(c.source, c.before, c.after, c.at - NOON) for c in changes] == [
        ("reported", None, 60.0, 0),
        ("reported", 60.0, 20.0, 2),
        ("declared", 30.0, 40.0, 2),
        ("measured", None, 19.0, 3),
    ]


def test_a_wobble_is_no_change_and_a_slow_drift_is(tmp_path: Path) -> None:
    """Each run measures a little otherwise: a hundred lines of history that say nothing, or a drift nobody sees."""
    drift = [limit(NOON + n, measured=100.0 * 1.008**n) for n in range(7)]
    _, changes = kept(tmp_path / "l", *drift)
    assert [(change.at - NOON, round(change.after or 0)) for change in changes] == [(0, 100), (3, 102), (6, 105)]


def test_a_key_that_is_well_is_well_at_every_model(tmp_path: Path) -> None:
    """A refusal of last week at one model would be shown beside the proof that the key works."""
    ledger = opened(tmp_path / "l")
    ledger.keep(Known(states=[KeyState(key="p#1", model="m", state="exhausted", until=NOON + 9, why="quota", at=NOON)]))
    ledger.keep(Known(states=[KeyState(key="p#2", model="m", state="no_model", at=NOON)]))
    ledger.keep(Known(states=[KeyState(key="p#1", state="ok", source="probe", at=NOON + 1)]))
    assert {(s.key, s.model, s.state) for s in ledger.known().states} == {("p#1", "", "ok"), ("p#2", "m", "no_model")}


def test_what_is_forgotten_is_gone_and_what_was_spent_is_not(tmp_path: Path) -> None:
    """`--reset` lifts a cooldown; handing the day's quota back with it would get the key refused."""
    from tests.ledgers.books import spend, sums

    ledger = opened(tmp_path / "l", time=Time(NOON + 5))
    spend(ledger, "p#1", "rpd", 9)
    ledger.keep(Known(limits=[limit(reported=60.0)], shared=[("p#1", "p#2")], states=[
        KeyState(key="p#1", state="invalid", at=NOON), KeyState(key="p#2", state="ok", at=NOON)]))  # fmt: skip
    assert ledger.forget(["p#1"], ["p#1"]) == 3
    known = ledger.known()
    assert (known.limits, known.shared, [s.key for s in known.states]) == ([], [], ["p#2"])
    assert ledger.changes(NOON + 1)[-1] == Change(
        owner="p#1", axis="rpm", source="reported", before=60.0, after=None, at=NOON + 5
    )
    assert sums(ledger.booked(0)) == {("p#1", "rpd"): 9}
    assert ledger.forget(["p#1"], ["p#1"]) == 0


def test_a_key_quoted_in_a_message_is_cut_out(tmp_path: Path) -> None:
    """Servers quote keys in their errors; the file would hold them for a year."""
    ledger = opened(tmp_path / "l")
    ledger.keep(Known(states=[KeyState(key="p#1", state="invalid", why="no such key: secret-of-key-1", at=NOON)]))
    ledger.close()
    assert b"secret-of-key" not in (tmp_path / "l").read_bytes()
    assert opened(tmp_path / "l").known().states[0].why == "no such key: [key]"
