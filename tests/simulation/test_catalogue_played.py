"""Every provider of the catalogue, simulated, against the dialects and the classifier that read the real ones."""

from __future__ import annotations

import asyncio

import pytest

from llmfan.dialects import dialect
from llmfan.dialects.classify import classify
from llmfan.inputs.catalogue_files import dialect_name, preset, preset_names
from llmfan.ports import Endpoint
from llmfan.records import Answer, Call, Failure, Reply
from llmfan.secret import SealedHeaders, Secret
from llmfan.settings import KeySettings, LimitSet, ModelSettings, Provider
from llmfan.simulation.faults import NO_FAULTS, Faults
from llmfan.simulation.loop import run_virtual
from llmfan.simulation.provider import SimulatedProvider
from llmfan.transports.virtual import VirtualTransport

EPOCH = 1_790_000_000.0
NAMES = [name for name in preset_names() if not preset(name).retired]
#: Limits that the second of two calls at once cannot pass: tokens only where they are charged ahead.
REFUSED = [(name, axis, 1.0) for name in NAMES for axis in ("rpm", "concurrency")]
REFUSED += [(name, "tpm", 450.0) for name in NAMES if preset(name).limiter.precharge]
OVERLOADED = Faults(overloaded=1, server_error=0, cut=0, error_event=0, reset=0)


def settings(name: str, axes: dict[str, float]) -> Provider:
    row = preset(name)
    key = KeySettings(label=f"{name}#1", account="one", secret=Secret("an-invented-key"))
    limits = LimitSet(axes=axes, origin=dict.fromkeys(axes, "preset"), reset=row.limiter.reset, shared=row.shared)
    return Provider(
        name=name, preset=row, preset_name=name, api=row.api, base_url="", keys=[key],
        models=[ModelSettings(name="org/model-reason")], limits={(key.label, "org/model-reason"): limits},
    )  # fmt: skip


def play(
    name: str, axes: dict[str, float], calls: list[Call], faults: Faults = NO_FAULTS, key: str = "an-invented-key"
) -> list[Answer | Failure]:
    """What the client makes of each call, sent one after the other at one moment of the provider's life."""
    row, far = preset(name), SimulatedProvider(settings(name, axes), 1, 1.0, faults, EPOCH)
    speaks = dialect(dialect_name(row.api or "openai"), row)

    async def one(call: Call) -> Answer | Failure:
        loop = asyncio.get_running_loop()
        transport = VirtualTransport({name: far}, loop.time)
        url, stream_url = speaks.address(transport.base_url(name), call.model)
        endpoint = Endpoint(url, stream_url, SealedHeaders(speaks.headers(Secret(key))))
        reader = speaks.stream() if call.stream else None
        reply: Reply = await transport.send(endpoint, speaks.body(call), reader)
        if reply.streamed and reader is not None:
            return reader.finish()
        if reply.status == 200:
            return speaks.whole(reply.body, reply.headers)
        return classify(reply.status, reply.headers, reply.body, row, EPOCH + loop.time())

    async def main() -> list[Answer | Failure]:
        return await asyncio.gather(*(one(call) for call in calls))

    return run_virtual(main)


def call(model: str = "org/model-reason", stream: bool = True) -> Call:
    system = {"role": "system", "content": "Be brief."}
    asked = [system, {"role": "user", "content": "Why?"}]
    return Call(model=model, messages=asked, max_tokens=400, temperature=0.2, params={"seed": 7}, stream=stream)


@pytest.mark.parametrize("name", NAMES)
def test_each_provider_answers_the_dialect_it_is_spoken_to_in(name: str) -> None:
    """A request the simulated provider refuses, or an answer the dialect cannot read, would show in every rehearsal."""
    for got in play(name, {}, [call(), call(stream=False)]):
        assert isinstance(got, Answer)
        assert got.text
        assert got.reasoning
        assert got.finish_reason in ("stop", "length")
        assert got.usage is not None
        assert got.usage.output_tokens > 1


@pytest.mark.parametrize(("name", "axis", "figure"), REFUSED)
def test_a_minutes_refusal_is_read_as_one_with_its_wait(name: str, axis: str, figure: float) -> None:
    """Taken for anything else it would bench a key for a day, or blame the prompt."""
    first, second = play(name, {axis: figure}, [call(), call()])
    assert isinstance(first, Answer)
    assert isinstance(second, Failure)
    assert (second.kind, second.http_status, second.permanent, second.free) == ("rate_limited", 429, False, True)
    assert second.scope != "request"
    assert second.wait is not None
    assert 0 < second.wait <= 61


@pytest.mark.parametrize("name", NAMES)
def test_a_refused_key_an_unknown_model_and_an_overload_are_read_as_such(name: str) -> None:
    """These decide whether a key, a model or nobody is ruled out."""
    (refused,) = play(name, {}, [call()], key="another-key")
    (unknown,) = play(name, {}, [call(model="nothing-of-this-name")])
    (busy,) = play(name, {}, [call()], faults=OVERLOADED)
    kinds = [got.kind if isinstance(got, Failure) else "answered" for got in (refused, unknown, busy)]
    assert kinds == ["auth", "model_not_found", "overloaded"]
