"""Another llmfan process on the same keys: what it sends counts here, and nobody takes the same place."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from llmfan.conduct.bookkeeper import Bookkeeper
from llmfan.entries import Elsewhere
from llmfan.ledgers.memory import MemoryLedger
from llmfan.limits.gauge import Gauge
from llmfan.limits.slots import Slots
from llmfan.limits.tokens import TokenWindow
from llmfan.limits.window import Meter, WindowLog
from llmfan.records import Booking
from llmfan.scheduling.dispatcher import Dispatcher
from llmfan.scheduling.estimate import Estimator
from llmfan.scheduling.failover import Policy
from llmfan.scheduling.jobs import Feed, Waiting
from llmfan.scheduling.neighbours import Neighbours
from llmfan.scheduling.purse import Purse
from tests.scheduling.test_dispatcher import NOW, jobs, lane, proven

OWNER = "k"


def meters() -> list[Meter]:
    return [
        Gauge("rpm", OWNER, 10.0, 60.0, rng=Random(1)), WindowLog("rpd", 0, OWNER, 12, 86400.0, 1.0),
        WindowLog("tpm", 1, OWNER, 2000.0, 60.0, 1.0), Slots(OWNER, 8),
    ]  # fmt: skip


def one_key(found: list[Meter], prompts: int = 20) -> Dispatcher:
    return Dispatcher(
        [lane(0, proven("p"), found)], Waiting({"": Feed(iter(jobs(prompts)))}, prompts), Estimator({}),
        concurrency=64, policy=Policy(), purse=Purse(), rng=Random(1), max_tokens=lambda job, lane: 100,
    )  # fmt: skip


def net(d: Dispatcher) -> dict[str, float]:
    """What the ledger would be told, summed up."""
    sums: dict[str, float] = {}
    for meter, amount in d.unbooked:
        sums[meter.axis] = sums.get(meter.axis, 0.0) + amount
    return sums


@given(
    st.dictionaries(st.sampled_from(["rpm", "rpd", "tpm"]), st.integers(0, 15).map(float), max_size=3),
    st.integers(0, 10),
)
def test_what_others_took_is_given_way_to_exactly(taken: dict[str, float], held: int) -> None:
    """Two processes that each keep to a limit pass it together; and a claim given back too many is time lost."""
    found = meters()
    d = one_key(found)
    before = d.waiting.left
    claims = d.match(NOW)
    taken = {axis: amount * (100 if axis == "tpm" else 1) for axis, amount in taken.items()}
    neighbours = Neighbours(d)
    booked = [(OWNER, axis, amount) for axis, amount in taken.items()]
    fuller = neighbours.heed(Elsewhere(booked=booked, in_flight={OWNER: float(held)}), NOW)
    back = neighbours.give_way(claims, fuller, NOW)
    kept = [claim for claim in claims if claim not in back]
    assert d.in_flight == len(kept)
    assert d.waiting.left == before - len(kept)
    for meter in found:
        assert not kept or not meter.over(NOW)
    told = net(d)
    assert [told.get(axis, 0.0) for axis in ("rpm", "rpd", "concurrency")] == [len(kept)] * 3
    if back:  # one more would have been too many
        assert any(
            m.used(NOW) + getattr(m, "elsewhere", 0) + (claims[0].cost[m.unit] if m.unit else 1) > m.limit
            for m in found
        )


def test_what_was_given_back_is_taken_again_when_there_is_room() -> None:
    """A prompt whose claim gave way must not be lost, nor wait for anything but the limit."""
    found: list[Meter] = [Gauge("rpm", OWNER, 10.0, 60.0, rng=Random(1))]
    d = one_key(found, 5)
    neighbours = Neighbours(d)
    claims = d.match(NOW)
    neighbours.give_way(claims, neighbours.heed(Elsewhere(booked=[(OWNER, "rpm", 9.0)]), NOW), NOW)
    assert (d.in_flight, d.waiting.left) == (1, 4)
    assert d.match(NOW + 1.0) == []
    later = d.match(NOW + 62.0)
    assert (d.in_flight, d.waiting.left, len(later)) == (5, 0, 4)


def test_a_correction_of_anothers_is_set_off_against_what_it_takes_next() -> None:
    """Tokens are reserved high and settled lower: a window must neither go below nothing nor count the first word."""
    window = TokenWindow("tpm", 1, OWNER, 2000.0, 60.0, 1.0)
    neighbours = Neighbours(one_key([window]))
    neighbours.heed(Elsewhere(booked=[(OWNER, "tpm", -300.0)]), NOW)
    assert window.used(NOW) == 0
    neighbours.heed(Elsewhere(booked=[(OWNER, "tpm", 500.0)]), NOW)
    assert window.used(NOW) == 200


def test_even_spacing_is_wider_for_each_other_process() -> None:
    """A server that takes one every six seconds refuses every other one of two processes that each keep to that."""
    gauge = Gauge("rpm", OWNER, 10.0, 60.0, rng=Random(1))
    gauge.expect(1000)
    _, alone = gauge.spec() or (0.0, 0.0)
    gauge.sharers = 1
    _, shared = gauge.spec() or (0.0, 0.0)
    assert shared == alone / 2


def test_places_that_others_leave_are_taken_at_once() -> None:
    """Nothing of ours may end for minutes: a parked key would sleep beside a free place."""
    slots = Slots(OWNER, 2)
    d = one_key([slots], 5)
    neighbours = Neighbours(d)
    neighbours.heed(Elsewhere(in_flight={OWNER: 2.0}), NOW)
    assert d.match(NOW) == []
    neighbours.heed(Elsewhere(in_flight={OWNER: 1.0}), NOW)
    assert len(d.match(NOW)) == 1


class Book(MemoryLedger):
    """What others did is heard while one writes, and not before."""

    def __init__(self, *heard: Elsewhere):
        super().__init__()
        self._heard = list(heard)

    def book(self, decide: Callable[[Elsewhere], Iterable[Booking]]) -> None:
        decide(self._heard.pop(0) if self._heard else Elsewhere())


def test_a_place_left_free_is_noticed_though_it_was_heard_of_while_writing() -> None:
    """Nothing else would wake the run: the news has been told, and is not told again."""
    slots = Slots(OWNER, 2)
    d = one_key([slots], 5)
    clerk = Bookkeeper(Book(Elsewhere(in_flight={OWNER: 2.0}), Elsewhere()), d, lambda now: now)
    for freed in (False, True):
        d.unbooked.append((slots, -1.0))
        assert clerk.look(NOW)
        assert bool(d.match(NOW)) is freed
    assert not clerk.look(NOW)
