"""What callers of a fleet that is kept running are told, and when: patience, outages, quotas, faults of ours."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any

import pytest

from llmfan.conduct.service import AGAIN_S
from llmfan.conduct.ticket import Ticket
from llmfan.records import ResultLine
from llmfan.simulation.fake import Behaviour, always, good, hanging, in_turn
from tests.scenarios.far_ends import until
from tests.scenarios.test_callers import LATE, Bed, results, serve
from tests.scenarios.world import provider

REFUSED: dict[str, Behaviour] = {
    "429 without a hint": always(429),
    "429 until tomorrow": always(429, {"error": {"message": "Slow down."}}, {"retry-after": "90000"}),
    "503 for an hour": always(503, {"error": {"message": "Busy."}}, {"retry-after": "3600"}),
    "500": always(500),
}


def asks_once(**how: Any) -> Any:
    async def story(bed: Bed) -> tuple[float, Ticket]:
        clock = asyncio.get_running_loop().time
        began = clock()
        ticket = bed.ask(**how)
        await ticket.result
        return clock() - began, ticket

    return story


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("streams", [False, True])
def test_patience_counts_from_the_call_whatever_was_tried_meanwhile(kind: str, streams: bool) -> None:
    """A call that left at once and came back would wait for as long as the provider likes: till tomorrow."""
    took, ticket = serve([provider("a")], {"a": REFUSED[kind]}, asks_once(max_wait=1.5, streams=streams))
    assert took < 1.5 + 0.5, "what is in flight then may come back"
    assert ticket.result.result().status == "failed"
    assert not ticket.begun.result()


def test_an_outage_is_no_rate_limit() -> None:
    """Told 429, a caller slows down and waits; what he needs to know is that nobody answers."""

    async def story(bed: Bed) -> list[Ticket]:
        tickets = [bed.ask(max_wait=2.0) for _ in range(5)]
        await results(tickets)
        await asyncio.sleep(0.1)
        tickets.append(bed.ask(max_wait=0.5))
        await tickets[-1].result
        return tickets

    tickets = serve([provider("a")], {"a": always(500)}, story)
    assert {t.result.result().error.kind for t in tickets} <= {"server_error", "overloaded"}
    assert all(t.refusal is None or t.refusal.why == "nothing_left" for t in tickets)


def test_a_batch_waits_out_an_outage_of_who_has_answered_before() -> None:
    """A night's translation would fail from the first bad minute on."""

    async def story(bed: Bed) -> list[ResultLine]:
        found = []
        for _ in range(30):
            found.append(await bed.ask(batch=True).result)
            await asyncio.sleep(5)
        return found

    down = until(200, until(20, good(), always(503)), good())
    assert {r.status for r in serve([provider("a")], {"a": down}, story)} == {"ok"}


def test_who_may_be_paid_is_asked_as_soon_as_the_free_quota_is_spent() -> None:
    """The last free call changes who may take the next one: nobody else would wake the paid key."""

    async def story(bed: Bed) -> list[str | None]:
        return [(await bed.ask().result).provider for _ in range(4)]

    providers = [provider("a", axes={"rpd": 2}), provider("p", paid=True)]
    assert serve(providers, {"a": good(), "p": good()}, story) == ["a", "a", "p", "p"]


def test_a_call_larger_than_any_limit_is_the_callers_fault() -> None:
    """Told that no key is left, a caller waits for one that never comes."""
    _, ticket = serve([provider("a", axes={"tpm": 1000})], {"a": good()}, asks_once(text="x" * 40_000))
    assert ticket.result.result().error.kind == "context_length"


@pytest.mark.parametrize("fate", ["refused", "cancelled", "batch"])
def test_a_large_call_holds_up_no_small_one_that_goes_before_it_or_outlives_it(fate: str) -> None:
    """The key would wait for the large one's tokens, whoever else could have gone."""

    async def story(bed: Bed) -> float:
        await bed.ask("y" * 24_000).result  # most of the minute's tokens
        large = bed.ask("x" * 32_000, batch=fate == "batch", max_wait=3.0 if fate == "refused" else None)
        await asyncio.sleep(1)
        if fate == "cancelled":
            bed.engine.cancel(large)
        result = await bed.ask("small").result
        bed.engine.cancel(large)
        return result.wait_s or 0.0

    assert serve([provider("a", axes={"tpm": 10_000})], {"a": good()}, story) < 1.0


def test_a_call_that_comes_back_goes_first_and_is_not_told_of_those_behind_it() -> None:
    """Under a full queue each failover would become a refusal."""

    async def story(bed: Bed) -> list[ResultLine]:
        return await results([bed.ask(max_wait=25.0) for _ in range(21)])

    once = in_turn(good(), always(429, {"error": {"message": "Slow down."}}, {"retry-after": "3"}), good())
    found = serve([provider("a", axes={"rps": 1})], {"a": once}, story)
    assert [r.status for r in found[:15]] == ["ok"] * 15


def test_a_queue_that_an_outage_holds_up_is_weighed_by_its_order() -> None:
    """The oldest would be refused for those behind them, and the youngest kept."""

    async def story(bed: Bed) -> list[str]:
        await bed.ask().result
        return [r.status for r in await results([bed.ask(max_wait=120.0) for _ in range(30)])]

    outage = until(
        1.5, good(), until(40.0, always(503, {"error": {"message": "Busy."}}, {"retry-after": "38"}), good())
    )
    assert serve([provider("a", axes={"rpm": 60})], {"a": outage}, story) == ["ok"] * 30


def test_thousands_whose_patience_ends_at_once_are_all_told() -> None:
    """One look at all for each of them, and the service stands still for minutes."""

    async def story(bed: Bed) -> tuple[float, int]:
        clock = asyncio.get_running_loop().time
        began = clock()
        tickets = [bed.ask(max_wait=3) for _ in range(3000)]
        told = sum(r.status == "failed" for r in await results(tickets[1:]))
        bed.engine.cancel(tickets[0])
        return clock() - began, told

    passed, told = serve([provider("a", axes={"concurrency": 1})], {"a": hanging()}, story)
    assert told == 2999 and passed == pytest.approx(3, abs=LATE)


def test_a_key_that_was_refused_for_good_is_asked_again_after_a_while() -> None:
    """An account that was topped up would need a restart of the service."""

    async def story(bed: Bed) -> list[str]:
        found = []
        for pause in (0.0, 1.0, AGAIN_S + 1.0, 1.0):
            await asyncio.sleep(pause)
            found.append((await bed.ask(max_wait=5).result).status)
        return found

    empty = always(402, {"error": {"message": "Insufficient credits."}})
    assert serve([provider("a")], {"a": in_turn(empty, good())}, story) == ["failed", "failed", "ok", "ok"]


def test_a_dead_keys_reason_is_told_to_everybody_and_is_nobodys_fault_but_ours() -> None:
    """Told 400, a caller looks for the mistake in his own request."""

    async def story(bed: Bed) -> list[str]:
        return [(await bed.ask(only="a/m").result).error.kind for _ in range(3)]  # type: ignore[union-attr]

    dead = always(401, {"error": {"message": "Incorrect API key provided."}})
    kinds = serve([provider("a"), provider("b")], {"a": dead, "b": good()}, story)
    assert kinds == ["auth", "auth", "auth"]


def test_a_fault_of_ours_ends_no_call_silently() -> None:
    """Callers would hang on a fleet that died, while its service says that all is well."""

    async def story(bed: Bed) -> tuple[bool, str, str, list[str]]:
        waiting = bed.ask()
        bed.engine.service._chore(broken())
        first = await waiting.result
        await bed.engine.ended.wait()
        return bed.engine.alive, first.status, (await bed.ask().result).status, said

    async def broken() -> None:
        await asyncio.sleep(0.01)
        raise ZeroDivisionError("a fault made for this test")

    said: list[str] = []
    alive, first, later, told = serve([provider("a")], {"a": hanging()}, story, say=said.append)
    assert (alive, first, later) == (False, "failed", "failed")
    assert any("ZeroDivisionError" in text for text in told)


def test_a_machine_that_slept_begins_a_new_day_when_it_wakes() -> None:
    """The process's own clock stands still meanwhile: yesterday's spent quota would last until the evening."""

    async def story(bed: Bed) -> tuple[bool, str]:
        await results([bed.ask() for _ in range(3)])
        spent = bed.ask(max_wait=5)
        engine, now = bed.engine, asyncio.get_running_loop().time()
        engine.follow(now, engine._moments.wall(now) + dt.timedelta(hours=24))
        return spent.result.done(), (await bed.ask(max_wait=5).result).status

    assert serve([provider("a", axes={"rpd": 3})], {"a": good()}, story) == (True, "ok")
