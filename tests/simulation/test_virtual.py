"""The transport without a network: what it reports must be what the real one would."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from llmfan.ports import Endpoint
from llmfan.records import Answer, Failure, Reply
from llmfan.secret import SealedHeaders
from llmfan.simulation.fake import Behaviour, ScriptedFleet, always, cut_stream, good, hanging, in_turn, limited
from llmfan.simulation.faults import NO_FAULTS
from llmfan.simulation.loop import run_virtual
from llmfan.simulation.provider import SimulatedProvider
from llmfan.simulation.script import Plays
from llmfan.transports.virtual import VirtualTransport


class Tape:
    """A reader that keeps what it is fed, with the moments."""

    def __init__(self) -> None:
        self.fed: list[tuple[float, bytes]] = []

    def feed(self, data: bytes, now: float) -> None:
        self.fed.append((now, data))

    def finish(self) -> Answer | Failure:
        return Answer(text="")


def send(plays: Plays, body: bytes, tape: Tape | None = None, timeout: float = 60, idle: float = 30) -> Reply:
    async def main() -> Reply:
        transport = VirtualTransport({"alpha": plays}, asyncio.get_running_loop().time)
        url = transport.base_url("alpha") + "/chat/completions"
        endpoint = Endpoint(url, url + "?alt=sse", SealedHeaders(Authorization="Bearer secret-1"), timeout, idle)
        return await transport.send(endpoint, body, tape)

    return run_virtual(main)


def scripted(behaviour: Behaviour) -> Plays:
    return ScriptedFleet({"alpha": behaviour}).providers["alpha"]


def test_a_stream_goes_to_the_reader_at_its_moments(hand: SimpleNamespace) -> None:
    """TTFT in virtual time is read off these."""
    tape = Tape()
    reply = send(scripted(good(2.0)), hand.chat(stream=True), tape)
    assert (reply.status, reply.streamed, reply.body, reply.fault) == (200, True, b"", "")
    assert [at - reply.sent for at, _ in tape.fed] == pytest.approx([1.0, 2.0], abs=0.001)
    assert reply.ended - reply.sent == pytest.approx(2.0, abs=0.001)


def test_an_error_is_collected_even_when_a_stream_was_asked_for(hand: SimpleNamespace) -> None:
    """The classifier needs the body, not the stream reader."""
    tape = Tape()
    reply = send(scripted(always(503, {"error": "busy"}, {"retry-after": "3"})), hand.chat(stream=True), tape)
    assert (reply.status, reply.streamed, reply.headers["retry-after"]) == (503, False, "3")
    assert b"busy" in reply.body
    assert tape.fed == []


@pytest.mark.parametrize(
    ("behaviour", "timeout", "idle", "phase", "after"),
    [
        (hanging(), 60, 30, "first byte", 60.0),
        (hanging(headers_first=True), 60, 30, "idle", 30.05),
        (hanging(headers_first=True), 20, 30, "whole", 20.0),
    ],
)
def test_silence_ends_with_the_timeout_that_names_its_phase(
    hand: SimpleNamespace, behaviour: Behaviour, timeout: float, idle: float, phase: str, after: float
) -> None:
    """A far end that hangs must not hang the rehearsal, and must be told apart from a slow one."""
    reply = send(scripted(behaviour), hand.chat(stream=True), Tape(), timeout, idle)
    assert (reply.fault, reply.phase) == ("timeout", phase)
    assert reply.ended - reply.sent == pytest.approx(after, abs=0.001)


def test_a_broken_connection_and_an_unknown_provider_are_faults(hand: SimpleNamespace) -> None:
    """Failures of the network are values in the reply, never exceptions."""
    reply = send(scripted(cut_stream(abort=True)), hand.chat(stream=True), Tape())
    assert (reply.fault, reply.phase, reply.status) == ("reset", "read", 0)

    async def main() -> Reply:
        transport = VirtualTransport({}, asyncio.get_running_loop().time)
        url = transport.base_url("nobody")
        return await transport.send(Endpoint(url, url, SealedHeaders()), b"{}", None)

    assert run_virtual(main).fault == "refused"


def test_a_simulated_provider_is_played_whole(hand: SimpleNamespace) -> None:
    """`plan` and the scenario tests meet the same far end as `--simulate`."""
    far = SimulatedProvider(hand.provider(), 1, 1, NO_FAULTS)
    tape = Tape()
    send(far, hand.chat(stream=True), tape)
    assert b"".join(data for _, data in tape.fed).endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("kind", ["sliding", "fixed", "bucket"])
def test_a_limited_far_end_refuses_by_key_what_is_over_its_limit(hand: SimpleNamespace, kind: str) -> None:
    """The stand-in for every limit test of the scheduler."""
    fleet = ScriptedFleet({"alpha": limited(kind, 2, 10.0)})
    far = fleet.providers["alpha"]
    for n, expected in ((1, 200), (1, 200), (1, 429), (2, 200)):
        assert far.handle(1230.0, "/alpha", hand.key(n), hand.chat()).status == expected
    refused = far.handle(1231.0, "/alpha", hand.key(1), hand.chat())
    wait = float(refused.headers["retry-after"])
    assert far.handle(1231.0 + wait + 0.001, "/alpha", hand.key(1), hand.chat()).status == 200
    assert [s.key for s in fleet.seen][:4] == ["secret-1", "secret-1", "secret-1", "secret-2"]
    assert fleet.count("alpha") == 6


def test_behaviours_in_turn_keep_the_last_one() -> None:
    """A far end that recovers, or that stays down."""
    far = scripted(in_turn(always(500), always(429), good()))
    assert [far.handle(n, "/alpha", {}, b"{}").status for n in range(4)] == [500, 429, 200, 200]
