"""Calls over real HTTP: what a caller is given for each thing that can become of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

import aiohttp
import pytest
from aiohttp.client_exceptions import ClientConnectionResetError

from llmfan.conduct.ticket import Ticket
from tests.server.fleet_double import CHAT, HI, JSON, WHOLE, Bed, Stream, answers, failed, serving, waits

KIND = ("Content-Type: application/json",)


def run(test: Callable[[Bed], Coroutine[Any, Any, None]], *args: Any, **terms: Any) -> None:
    async def go() -> None:
        async with serving(*args, **terms) as bed:
            await asyncio.wait_for(test(bed), 10)

    asyncio.run(go())


def events(body: str) -> list[str]:
    return [line.removeprefix("data: ") for line in body.split("\n\n") if line]


def test_a_whole_answer_is_the_providers_own_document_and_says_who_gave_it() -> None:
    """Fields that llmfan does not know (log probabilities, fingerprints) would be lost."""

    async def test(bed: Bed) -> None:
        response = await bed.ask()
        assert (response.status, response.body) == (200, WHOLE)
        told = {k.lower(): v for k, v in response.headers.items() if k.lower().startswith("x-llmfan")}
        assert told == {
            "x-llmfan-provider": "acme", "x-llmfan-model": "some/model", "x-llmfan-key": "acme#1",
            "x-llmfan-attempts": "1", "x-llmfan-wait": "0.250",
        }  # fmt: skip
        assert response.headers["x-request-id"] == "chatcmpl-1"

    run(test)


def test_a_simulated_answer_says_so() -> None:
    """Somebody would take prose of a simulator for a model's."""

    async def test(bed: Bed) -> None:
        assert (await bed.ask()).headers["x-llmfan-simulated"] == "true"

    run(test, answers, simulate=True)


def test_a_stream_comes_as_it_is_given_and_ends_with_its_sign() -> None:
    """A chat that shows nothing until the end is no stream."""
    streams: list[Stream] = []

    async def test(bed: Bed) -> None:
        async with asyncio.timeout(5):
            asking = asyncio.create_task(bed.http.post(CHAT, json={**HI, "stream": True}))
            await bed.fleet.called.wait()
            streams[0].text("hel")
            response = await asking
            assert (response.status, response.content_type) == (200, "text/event-stream")
            assert response.headers["cache-control"] == "no-cache"
            assert response.headers["x-accel-buffering"] == "no"
            assert response.headers["x-llmfan-key"] == "acme#1"
            first = (await response.content.readuntil(b"\n\n")).decode()
            assert json.loads(events(first)[0])["choices"][0]["delta"]["content"] == "hel"
            streams[0].text("lo")
            streams[0].end()
            rest = events((await response.read()).decode())
            assert rest[-1] == "[DONE]"
            assert json.loads(rest[0])["choices"][0]["delta"]["content"] == "lo"
        assert "streamed" in bed.said

    run(test, lambda ticket: streams.append(Stream(ticket)))


def test_a_stream_that_breaks_off_says_so_and_has_no_end_sign() -> None:
    """Half an answer would be taken for a whole one."""

    def play(ticket: Ticket) -> None:
        stream = Stream(ticket)
        stream.text("half")
        stream.die()

    async def test(bed: Bed) -> None:
        body = json.dumps({**HI, "stream": True}).encode()
        answer = await bed.raw(bed.head(*KIND, f"Content-Length: {len(body)}") + body)
        assert b"200 OK" in answer and b'"content":"half"' in answer.replace(b" ", b"")
        *_, last = answer.split(b"\n\n")[:-1]
        assert json.loads(last.partition(b"data: ")[2])["error"]["code"] == "truncated_stream"
        assert b"[DONE]" not in answer and not answer.endswith(b"0\r\n\r\n")  # nor the sign that the transfer is whole
        assert "broke off after it had begun: truncated_stream" in bed.said

    run(test, play)


def test_a_stream_that_never_began_is_an_ordinary_error() -> None:
    """A status is what SDKs choose their exception by, and whether to try again."""

    async def test(bed: Bed) -> None:
        response = await bed.ask(stream=True)
        assert (response.status, response.headers["Content-Type"]) == (502, "application/json")
        assert response.error["code"] == "connection"
        assert response.headers["x-llmfan-attempts"] == "1"

    run(test, lambda ticket: Stream(ticket).die("connection"))


def test_a_caller_that_goes_away_ends_its_call() -> None:
    """Its permit would stay taken, and its tokens would be paid for, with nobody there to read them."""

    def play(ticket: Ticket) -> None:
        if ticket.streams:
            Stream(ticket).text("hel")

    async def gone(bed: Bed, stream: bool) -> None:
        asking = asyncio.create_task(bed.http.post(CHAT, json={**HI, "stream": stream}))
        if stream:
            (await asking).close()
        else:
            await bed.fleet.called.wait()
            asking.cancel()
        await bed.service.house.chat.quiet.wait()

    async def test(bed: Bed) -> None:
        async with asyncio.timeout(5):
            await gone(bed, False)
            await gone(bed, True)
            assert bed.fleet.cancelled == bed.fleet.tickets and len(bed.fleet.tickets) == 2
        said = bed.said
        assert said.count(" 499 ") == 2 and said.count("the caller went away") == 2 and "internal error" not in said

    run(test, play)


def test_the_fleet_is_asked_with_what_the_caller_wants() -> None:
    """A batch call that counts as interactive stands in everybody's way."""

    async def test(bed: Bed) -> None:
        await bed.ask(headers={"x-llmfan-priority": "batch", "x-llmfan-max-wait": "2.5"})
        await bed.ask(model="acme/some/model", temperature=0.5)
        first, second = bed.fleet.asked
        assert (first["batch"], first["max_wait"], first["only"]) == (True, 2.5, "")
        assert (second["batch"], second["max_wait"], second["only"]) == (False, 7.0, "acme/some/model")
        assert second["prompt"].temperature == 0.5

    run(test, answers, max_wait=7.0)


def test_faults_of_a_request_are_400_and_404_in_the_callers_form() -> None:
    """Anything else and an SDK sends the same again."""

    async def test(bed: Bed) -> None:
        response = await bed.send("POST", CHAT, data=b"{", headers=JSON)
        assert response.status == 400
        response = await bed.ask(model="acme/some/modle")
        error = response.error
        assert (response.status, error["code"], error["param"]) == (404, "model_not_found", "model")
        assert "acme/some/model" in error["message"]
        assert not bed.fleet.asked

    run(test)


def test_a_fault_of_our_own_tells_nothing_and_keeps_no_permit() -> None:
    """An exception's text can hold the prompt, and a call that nobody waits for holds its permit for ever."""

    def play(ticket: Ticket) -> None:
        ticket.ended(failed("connection"))
        object.__setattr__(ticket, "refusal", "broken")  # so that answering it fails

    async def test(bed: Bed) -> None:
        response = await bed.ask()
        assert response.status == 500
        assert response.error["code"] == "internal_error"
        assert response.headers["x-content-type-options"] == "nosniff"
        assert bed.fleet.cancelled == bed.fleet.tickets
        said = bed.said
        assert "internal error: AttributeError at llmfan.server.exchange:" in said
        assert "Traceback" not in said and "broken" not in said

    run(test, play)


def test_the_log_has_a_line_for_each_call_and_nothing_that_was_said() -> None:
    """Logs are kept and passed on; prompts and answers are not for everybody."""

    async def test(bed: Bed) -> None:
        await bed.send(
            "POST",
            CHAT,
            json=HI | {"messages": [{"role": "user", "content": "my-prompt"}]},
            headers={"Authorization": "Bearer my-key"},
        )
        line = bed.said
        assert "200 chatcmpl-1 acme/some/model by acme#1, 1 attempt, waited 0.250 s, took " in line
        assert not any(word in line for word in ("my-prompt", "my-key", "hello"))

    run(test)


def test_a_quiet_log_has_failures_only() -> None:
    """`-q` is for services that log a great deal elsewhere."""

    async def test(bed: Bed) -> None:
        await bed.ask()
        await bed.ask(model="none-such")
        (line,) = bed.said.splitlines()
        assert "404 refused (model_not_found): no model named" in line

    run(test, answers, quiet=True)


def test_models_are_listed_and_found_with_slashes_in_their_names() -> None:
    """Programs offer their users what this list says."""

    async def test(bed: Bed) -> None:
        listed = (await bed.send("GET", "/v1/models")).document
        assert [row["id"] for row in listed["data"]] == ["auto", "acme/some/model", "some/model"]
        one = await bed.send("GET", "/v1/models/acme/some/model")
        assert (one.status, one.document["owned_by"]) == (200, "acme")
        assert (await bed.send("GET", "/v1/models/acme%2Fsome%2Fmodel")).status == 200
        assert (await bed.send("GET", "/v1/models/other")).status == 404

    run(test)


def test_every_answer_has_the_headers_that_protect_and_none_that_tells_versions() -> None:
    """A version is where an attack begins."""

    async def test(bed: Bed) -> None:
        for path in ("/healthz", "/v1/models", "/nowhere", "/"):
            headers = (await bed.send("GET", path)).headers
            assert headers["X-Content-Type-Options"] == "nosniff" and headers["Referrer-Policy"] == "no-referrer"
            assert headers["Server"] == "llmfan"
            assert not any(name.lower().startswith("access-control") for name in headers)
        assert b"Server: llmfan\r\n" in await bed.raw(b"nonsense\r\n\r\n")

    run(test)


def test_waiting_calls_are_told_when_the_service_closes() -> None:
    """A connection that just ends looks like a fault of the network."""

    async def test(bed: Bed) -> None:
        asking = asyncio.create_task(bed.ask())
        await bed.fleet.called.wait()
        bed.fleet.closed.clear()
        bed.service.interrupted(15)
        bed.service.interrupted(15)
        await bed.service.close(30)
        response = await asking
        assert (response.status, response.error["code"]) == (503, "closing")
        assert bed.fleet.cancelled == bed.fleet.tickets

    run(test, waits)


def test_an_answer_that_nobody_takes_is_a_caller_gone_and_no_fault_of_ours() -> None:
    """A dashboard of 500s would show an outage where people only closed their windows."""

    def play(ticket: Ticket) -> None:
        stream = Stream(ticket)
        stream.text("hel")
        asyncio.get_running_loop().call_soon(_breaks, bed_of[0])
        asyncio.get_running_loop().call_later(0.02, stream.text, "lo")

    def _breaks(bed: Bed) -> None:
        for connection in bed.service.connections.all:
            writer = connection._current_request.writer  # type: ignore[union-attr]
            writer.write = reset  # type: ignore[attr-defined]

    async def reset(*_: object, **__: object) -> None:
        raise ClientConnectionResetError("Cannot write to closing transport")

    bed_of: list[Bed] = []

    async def test(bed: Bed) -> None:
        bed_of.append(bed)
        with pytest.raises(aiohttp.ClientError):
            await bed.ask(stream=True)
        await bed.service.house.chat.quiet.wait()
        assert bed.service.house._metrics._calls == {(CHAT, "499"): 1}
        said = bed.said
        assert "the caller went away" in said and "internal error" not in said

    run(test, play)
