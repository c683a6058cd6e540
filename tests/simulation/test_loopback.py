"""The simulated fleet over real HTTP, read by a real client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from llmfan.simulation.fake import ScriptedFleet, always, cut_stream, good, hanging
from llmfan.simulation.faults import NO_FAULTS
from llmfan.simulation.loopback import LoopbackFleet
from llmfan.simulation.provider import SimulatedProvider

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """The loops a run may be on: their transports and clocks differ."""
    factory = asyncio.new_event_loop if request.param == "asyncio" else pytest.importorskip("uvloop").new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        yield runner.run


def test_a_real_client_gets_whole_and_streamed_answers_over_one_connection(hand: SimpleNamespace, run: Run) -> None:
    """Framing that only our own reader understands would prove nothing."""

    async def main() -> None:
        far = SimulatedProvider(hand.provider(axes={"rpm": 20}), 1, 500, NO_FAULTS)
        connector = aiohttp.TCPConnector(limit=1)
        async with LoopbackFleet({"al/pha": far}) as fleet, aiohttp.ClientSession(connector=connector) as session:
            url = fleet.base_url("al/pha") + "/chat/completions"
            for _ in range(3):
                async with session.post(url, data=hand.chat("a" * 100_000), headers=hand.key()) as answer:
                    assert (answer.status, (await answer.json())["object"]) == (200, "chat.completion")
                async with session.post(url, data=hand.chat(stream=True), headers=hand.key()) as answer:
                    assert answer.content_type == "text/event-stream"
                    assert hand.events(await answer.read())[-1][1] == "[DONE]"
            async with session.get(fleet.base_url("al/pha") + "/models", headers=hand.key()) as answer:
                assert len((await answer.json())["data"]) == 1
            async with session.post(fleet.base_url("nobody") + "/x", data=b"{}") as answer:
                assert answer.status == 404

    run(main())


def test_faults_arrive_as_a_client_would_see_them(run: Run) -> None:
    """A reset must be a reset on the wire, a cut stream an orderly end without a finish."""

    async def main() -> None:
        behaviours = {
            "reset": cut_stream(0.0, abort=True),
            "cut": cut_stream(0.0),
            "empty": always(204),
            "html": always(502, b"<html>bad</html>", latency=0.0),
        }
        async with LoopbackFleet(ScriptedFleet(behaviours).providers) as fleet, aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientError):
                async with session.post(fleet.base_url("reset"), data=b"{}") as answer:
                    await answer.read()
            async with session.post(fleet.base_url("cut"), data=b"{}") as answer:
                assert b'finish_reason":"' not in await answer.read()
            async with session.post(fleet.base_url("empty"), data=b"{}") as answer:
                assert answer.status == 204
            async with session.post(fleet.base_url("html"), data=b"{}") as answer:
                assert (answer.status, await answer.text()) == (502, "<html>bad</html>")

    run(main())


def test_it_closes_with_answers_still_hanging(run: Run) -> None:
    """A run that is interrupted must not wait for its make-believe servers."""

    async def main() -> None:
        fleet = LoopbackFleet(ScriptedFleet({"slow": hanging(), "fine": good(0.0)}).providers)
        async with aiohttp.ClientSession() as session:
            async with fleet:
                pending = asyncio.create_task(_post(session, fleet.base_url("slow")))
                assert json.loads(await _post(session, fleet.base_url("fine")))["choices"]
            with pytest.raises(aiohttp.ClientError):
                await pending

    run(asyncio.wait_for(main(), 20))


async def _post(session: aiohttp.ClientSession, url: str) -> bytes:
    async with session.post(url, data=b"{}") as answer:
        return await answer.read()
