"""A fleet that is kept running for callers, on the virtual clock: who goes first, who is turned away, what is freed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmfan.conduct.ticket import Ticket
from llmfan.engine import Engine
from llmfan.options import RunOptions
from llmfan.records import Prompt, ResultLine
from llmfan.settings import Fleet, Provider
from llmfan.simulation.fake import Behaviour, ScriptedFleet, always, cut_stream, good, hanging, in_turn, limited
from llmfan.simulation.loop import run_virtual
from llmfan.simulation.script import Script
from llmfan.transports.virtual import VirtualTransport
from tests.scenarios.world import provider

#: A timer of the run's own loop is so much late at most, by design.
LATE = 0.01


class Bed:
    """An engine over scripted providers, and what to ask of it."""

    def __init__(self, engine: Engine, far: ScriptedFleet):
        self.engine, self.far = engine, far

    def ask(self, text: str = "Question?", *, max_tokens: int | None = None, **how: Any) -> Ticket:
        message = {"role": "user", "content": text}
        return self.engine.submit(Prompt(id="", index=0, messages=[message], max_tokens=max_tokens), **how)

    @property
    def in_flight(self) -> int:
        return self.engine.service.dispatcher.in_flight


def serve(
    providers: list[Provider],
    behaviours: dict[str, Behaviour],
    story: Callable[[Bed], Awaitable[Any]],
    **how: Any,
) -> Any:
    async def main() -> Any:
        far = ScriptedFleet(behaviours)
        clock = asyncio.get_running_loop().time
        engine = Engine(
            Fleet(file="virtual", providers=providers), RunOptions(concurrency=64), env={}, clock=clock,
            transport=VirtualTransport(far.providers, clock), **how,
        )  # fmt: skip
        async with engine:
            return await story(Bed(engine, far))

    return run_virtual(main)


async def results(tickets: list[Ticket]) -> list[ResultLine]:
    return list(await asyncio.gather(*(ticket.result for ticket in tickets)))


# ---------------------------------------------------------------- who goes first


def test_who_waits_goes_ahead_of_batches() -> None:
    """A person in front of a chat would wait for a night's batch to end."""

    async def story(bed: Bed) -> list[str]:
        order: list[str] = []
        tickets = [bed.ask(batch=True) for _ in range(6)] + [bed.ask() for _ in range(3)]
        for n, ticket in enumerate(tickets):
            ticket.result.add_done_callback(lambda _, n=n: order.append("batch" if n < 6 else "call"))
        await results(tickets)
        return order

    order = serve([provider("a", axes={"concurrency": 1})], {"a": good()}, story)
    assert order == ["batch", *["call"] * 3, *["batch"] * 5]


@pytest.mark.parametrize("every", [2.0, 5.0, 9.7])
def test_a_batch_leaves_room_for_callers_and_keeps_its_rate(every: float) -> None:
    """A batch that empties each minute's window at its beginning makes callers wait for the end of the minute; one
    that holds too much back is no batch any more."""
    rpm, keys, minutes = 60, 2, 10

    async def story(bed: Bed) -> tuple[float, float]:
        clock = asyncio.get_running_loop().time
        began, done = clock(), 0
        waiting = [bed.ask(batch=True) for _ in range(40)]
        waits: list[float] = []

        async def calls() -> None:
            while True:
                await asyncio.sleep(every)
                waits.append((await bed.ask().result).wait_s or 0.0)

        async def batch(ticket: Ticket) -> None:
            nonlocal done
            while clock() - began < 60 * minutes:
                answered = await ticket.result
                done += answered.status == "ok"
                ticket = bed.ask(batch=True)
            bed.engine.cancel(ticket)

        caller = asyncio.create_task(calls())
        await asyncio.gather(*(batch(ticket) for ticket in waiting))
        caller.cancel()
        await asyncio.wait([caller])
        return max(waits), done / minutes

    behaviours = {"a": limited("sliding", rpm, 60, good(0.5))}
    longest, rate = serve([provider("a", keys, axes={"rpm": rpm})], behaviours, story)
    assert longest < 60 / rpm + LATE  # a key's permit
    assert rate + 60 / every >= 0.95 * rpm * keys, "what callers do not take is the batch's"
    assert every < 5 or rate >= 0.8 * rpm * keys


def test_without_callers_around_a_short_batch_takes_half_a_window_at_once() -> None:
    """Evenly spaced, thirty questions would take thirty seconds that nobody gains anything by."""

    async def story(bed: Bed) -> float:
        clock = asyncio.get_running_loop().time
        began = clock()
        await results([bed.ask(batch=True) for _ in range(29)])
        return clock() - began

    assert serve([provider("a", axes={"rpm": 60})], {"a": good(0.5)}, story) < 8


def test_a_provider_that_cannot_serve_a_call_is_never_sent_it() -> None:
    """It would answer as if the field had not been there, and nobody would know."""

    async def story(bed: Bed) -> set[str | None]:
        return {r.provider for r in await results([bed.ask(banned=frozenset({"a"})) for _ in range(20)])}

    providers = [provider("a", priority=9), provider("b")]
    assert serve(providers, {"a": good(), "b": good()}, story) == {"b"}


# ---------------------------------------------------------------- who is turned away


def test_a_call_that_would_wait_too_long_is_told_at_once_when_to_come_again() -> None:
    """To let it wait in vain for its whole patience costs the caller as much as the wait itself."""

    async def story(bed: Bed) -> tuple[Ticket, float, str, float]:
        clock = asyncio.get_running_loop().time
        await results([bed.ask() for _ in range(2)])
        began = clock()
        refused = bed.ask(max_wait=5)
        assert refused.result.done()
        assert refused.refusal is not None and refused.refusal.retry_after is not None
        await asyncio.sleep(refused.refusal.retry_after)
        again = await bed.ask(max_wait=5).result
        return refused, clock() - began, again.status, again.wait_s or 0.0

    refused, passed, status, waited = serve([provider("a", axes={"rpm": 2})], {"a": good()}, story)
    assert refused.refusal is not None and refused.refusal.why == "wait"
    assert "rpm" in refused.refusal.message
    assert refused.result.result().error.kind == "rate_limited"
    assert status == "ok" and waited < 1.0
    assert 50 < passed < 61


def test_patience_that_runs_out_in_the_queue_ends_the_call_then() -> None:
    """A call whose permit nobody could foresee would wait for ever."""

    async def story(bed: Bed) -> tuple[float, Ticket]:
        clock = asyncio.get_running_loop().time
        first, began = bed.ask(), clock()
        second = bed.ask(max_wait=3)
        await second.result
        bed.engine.cancel(first)
        return clock() - began, second

    passed, ticket = serve([provider("a", axes={"concurrency": 1})], {"a": hanging()}, story)
    assert passed == pytest.approx(3, abs=LATE)
    assert ticket.refusal is not None and ticket.refusal.why == "wait"


def test_a_fleet_without_a_usable_key_says_so_instead_of_waiting() -> None:
    """Callers would hang on a key that was revoked."""

    async def story(bed: Bed) -> list[ResultLine]:
        first = await bed.ask().result
        return [first, await bed.ask().result]

    broken = always(401, {"error": {"message": "Incorrect API key provided.", "code": "invalid_api_key"}})
    found = serve([provider("a")], {"a": broken}, story)
    assert [r.error.kind for r in found if r.error] == ["auth", "auth"]
    assert "a#1" in found[1].error.message


def test_a_spent_quota_is_told_with_its_reset() -> None:
    """A caller that retries every second until midnight is no use to anybody."""

    async def story(bed: Bed) -> Ticket:
        await results([bed.ask() for _ in range(3)])
        last = bed.ask(max_wait=600)
        await last.result
        return last

    ticket = serve([provider("a", axes={"rpd": 3})], {"a": good()}, story)
    assert ticket.refusal is not None and ticket.refusal.why == "nothing_left"
    assert ticket.refusal.retry_after is not None and 600 < ticket.refusal.retry_after <= 86400


def test_the_queue_is_bounded_for_batches_and_callers_apart() -> None:
    """A flood of one kind would fill the memory, or shut the other kind out."""

    async def story(bed: Bed) -> tuple[list[str], list[str]]:
        tickets = [bed.ask(batch=batch) for batch in (True,) * 9 + (False,) * 3]
        why = ["" if t.refusal is None else t.refusal.why for t in tickets]
        for ticket in tickets:
            bed.engine.cancel(ticket)
        return why[:9], why[9:]

    batch, calls = serve([provider("a", axes={"concurrency": 1})], {"a": hanging()}, story, queue=5)
    assert batch == [""] * 6 + ["full"] * 3  # one in flight, five in the queue
    assert calls == [""] * 3


# ---------------------------------------------------------------- what is freed


def test_a_cancelled_call_frees_its_permit_and_what_it_reserved() -> None:
    """A chat window that is closed would block the key until its answer had come to nobody."""

    async def story(bed: Bed) -> tuple[int, float]:
        hung = bed.ask(streams=True, max_tokens=900)
        await asyncio.sleep(1)
        bed.engine.cancel(hung)
        await asyncio.sleep(0.01)
        free = bed.in_flight
        answer = await bed.ask(max_tokens=900).result
        return free, answer.wait_s or 0.0

    behaviours = {"a": in_turn(hanging(headers_first=True), good())}
    free, waited = serve([provider("a", axes={"concurrency": 1, "tpm": 1000})], behaviours, story)
    assert free == 0
    assert waited < 1.0


def test_who_is_cancelled_while_it_awaits_the_result_cancels_the_call() -> None:
    """An awaited future is cancelled with its task: nobody is left to say that the call is not wanted any more."""

    async def story(bed: Bed) -> int:
        ticket = bed.ask(streams=True)

        async def caller() -> None:
            await ticket.result

        async def reader() -> None:
            async for _ in ticket.pieces():
                pass

        waiting, reading = asyncio.create_task(caller()), asyncio.create_task(reader())
        await asyncio.sleep(1)
        waiting.cancel()
        await asyncio.wait([waiting, reading])
        return bed.in_flight

    assert serve([provider("a")], {"a": hanging()}, story) == 0


def test_a_cancelled_call_leaves_the_queue_without_being_sent() -> None:
    """What nobody waits for any more would still be paid for."""

    async def story(bed: Bed) -> int:
        running, waiting = bed.ask(), bed.ask()
        bed.engine.cancel(waiting)
        await running.result
        await asyncio.sleep(5)
        return bed.far.count("a")

    assert serve([provider("a", axes={"concurrency": 1})], {"a": good()}, story) == 1


# ---------------------------------------------------------------- what is never handed out


@pytest.mark.parametrize("how", [lambda plain, spelt: plain, lambda plain, spelt: spelt], ids=["plain", "spelt"])
@pytest.mark.parametrize("streams", [False, True])
def test_a_key_that_a_server_quotes_in_its_answer_goes_no_further(
    streams: bool, how: Callable[[bytes, bytes], bytes]
) -> None:
    """Some test servers and proxies send back what they were sent: whoever may call would hold the keys."""

    def echo(now: float, key: str, body: bytes) -> Script:
        script = good(text=f"You are {key}.")(now, key, body)
        spelt = "".join(f"\\u{ord(char):04x}" for char in key).encode()
        script.writes[:] = [(at, data.replace(key.encode(), how(key.encode(), spelt))) for at, data in script.writes]
        return script

    async def story(bed: Bed) -> str:
        ticket = bed.ask(streams=streams)
        pieces = [piece async for said in ticket.pieces() for piece in said]
        return f"{pieces} {ticket.body!r} {await ticket.result}"

    said = serve([provider("a")], {"a": echo}, story)
    assert "You are [key]." in said and "a-key-number" not in said


# ---------------------------------------------------------------- failover


def test_a_stream_that_dies_before_its_first_text_is_answered_elsewhere() -> None:
    """The caller has seen nothing yet, so it need not see the failure either."""

    async def story(bed: Bed) -> tuple[bool, bytes, ResultLine, int]:
        ticket = bed.ask(streams=True)
        begun = await ticket.begun
        said = b"".join([b"".join(pieces) async for pieces in ticket.pieces()])
        return begun, said, await ticket.result, ticket.attempts

    dead = cut_stream(text="")
    providers = [provider("a", priority=5), provider("b")]
    begun, said, result, attempts = serve(providers, {"a": dead, "b": good()}, story)
    assert begun and (result.status, result.provider, attempts) == ("ok", "b", 2)
    assert said.count(b"An answer.") == 1


def test_a_stream_that_dies_after_its_first_text_is_not_begun_anew() -> None:
    """The caller would read the beginning of one answer and the end of another."""

    async def story(bed: Bed) -> tuple[bool, ResultLine, int]:
        ticket = bed.ask(streams=True)
        begun = await ticket.begun
        result = await ticket.result
        return begun, result, bed.far.count("b")

    providers = [provider("a", priority=5), provider("b")]
    begun, result, elsewhere = serve(providers, {"a": cut_stream(), "b": good()}, story)
    assert begun and elsewhere == 0
    assert result.status == "failed" and result.error is not None and result.error.kind == "truncated_stream"


# ---------------------------------------------------------------- invariants


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 20), st.booleans(), st.booleans(), st.sampled_from([None, 0.5, 30.0])), max_size=40)
)
def test_every_call_ends_once_and_no_limit_is_passed(calls: list[tuple[float, bool, bool, float | None]]) -> None:
    """A call without an end hangs its caller; one that ends twice crashes the fleet; a passed limit is a 429."""
    moments: list[float] = []
    answer = good(0.5)

    def counted(now: float, key: str, body: bytes) -> Script:
        moments.append(now)
        return answer(now, key, body)

    async def story(bed: Bed) -> list[ResultLine | None]:
        async def one(at: float, batch: bool, leaves: bool, patience: float | None) -> ResultLine | None:
            await asyncio.sleep(at)
            ticket = bed.ask(batch=batch, max_wait=patience)
            if leaves:
                await asyncio.sleep(0.3)
                bed.engine.cancel(ticket)
                return None
            return await ticket.result

        found = await asyncio.gather(*(one(*call) for call in calls))
        assert bed.in_flight == 0 and bed.engine.service.queue.left == 0 and not bed.engine.service._tickets
        return list(found)

    found = serve([provider("a", axes={"rpm": 10})], {"a": counted}, story)
    for result, (_, _, leaves, patience) in zip(found, calls, strict=True):
        assert leaves or (result is not None and (result.status == "ok" or patience is not None))
    assert all(len([m for m in moments if at <= m < at + 60]) <= 10 for at in moments)
