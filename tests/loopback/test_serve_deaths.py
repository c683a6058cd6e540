"""Providers that die under `llmfan serve`, at every moment of an answer: before its first byte nobody is to notice."""

from __future__ import annotations

import asyncio
import http.client
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from tests.beds.serving import Served, entry, served
from tests.beds.upstream import Site, Upstream, threaded

#: Deaths before any text has come.
SILENT = {
    "connect": Site(dies="connect"),
    "head": Site(dies="head"),
    "role": Site(dies="role"),
    "event": Site(dies="event", after=0),
    "e500": Site(dies="500"),
    "e429": Site(dies="429", retry_after="30"),
    "e401": Site(dies="401"),
}
#: Deaths after some text.
LOUD = {
    "cut": Site(dies="text", after=2),
    "told": Site(dies="event", after=2),
    "stalled": Site(dies="stall", after=2),
}
ALONE = {
    "broken-False": Site(dies="500"),
    "broken-True": Site(dies="500"),
    "hanging": Site(dies="hang", times=1, limits={"concurrency": 1}),
    "left": Site(dies="stall", times=1, limits={"concurrency": 1}),
}


class Bed:
    def __init__(self, far: Upstream, server: Served):
        self.far, self.server = far, server

    def client(self, **more: Any) -> OpenAI:
        return OpenAI(base_url=self.server.v1, **{"api_key": "unused", "max_retries": 0, "timeout": 20, **more})

    def ends(self, site: str) -> list[str]:
        return [s.end for s in self.far.seen if s.site == site]

    def frees(self) -> None:
        """Everything upstream has ended, soon."""
        soon(lambda: self.far.open == 0)


def soon(held: Callable[[], bool], seconds: float = 5.0) -> None:
    until = time.monotonic() + seconds
    while not held():
        assert time.monotonic() < until, "not in time"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    """Each dying provider has a model of its own, which `good` has as well, behind it."""
    with threaded({"good": Site(), **SILENT, **LOUD, **ALONE}) as far:
        both = SILENT | LOUD
        entries = {"good": {**entry(far.base_url("good"), ["key-good-1234"]), "models": {f"m-{n}": {} for n in both}}}
        del entries["good"]["model"]
        for name in both:
            more = {"timeout": 1} if name == "stalled" else {}
            entries[name] = entry(far.base_url(name), [f"key-{name}-1234"], f"m-{name}", priority=9, **more)
        for name in ALONE:
            limits = {"limits": {"concurrency": 1}} if ALONE[name].limits else {}
            entries[name] = entry(far.base_url(name), [f"key-{name}-1234"], f"m-{name}", **limits)
        with served(tmp_path_factory.mktemp("serve"), entries) as server:
            yield Bed(far, server)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("death", sorted(SILENT))
def test_a_death_before_the_first_byte_is_answered_by_another(bed: Bed, death: str, streamed: bool) -> None:
    """That is what a fleet is for: one provider's bad day is nobody's."""
    with bed.client() as client:
        raw = client.chat.completions.with_raw_response.create(
            model=f"m-{death}", messages=[{"role": "user", "content": f"{death} {streamed}"}], stream=streamed
        )
        answer: Any = raw.parse()
        pieces = [c.choices[0].delta.content or "" for c in answer] if streamed else [answer.choices[0].message.content]
    assert raw.headers["x-llmfan-provider"] == "good"
    assert "".join(pieces) == f"You said: {death} {streamed}"
    assert bed.far.answered[f"{death} {streamed}"] == 1
    assert "answered" not in bed.ends(death)


@pytest.mark.parametrize("death", sorted(LOUD))
def test_a_death_after_the_first_text_is_an_error_event_and_a_line_in_the_log(bed: Bed, death: str) -> None:
    """A silent stop reads as the end of the answer; a second answer glued onto half of the first reads as nonsense."""
    said = len(bed.server.said)
    events = _events(bed.server, {"model": f"m-{death}", "stream": True, "messages": _hello(f"half of {death}")})
    assert events[-1] != "[DONE]"
    error = json.loads(events[-1])["error"]
    assert error["message"]
    assert error["type"]
    chunks = [json.loads(e) for e in events[:-1]]
    text = "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks)
    assert f"You said: half of {death}".startswith(text)
    assert text
    assert bed.far.answered[f"half of {death}"] == 0, "nobody else was asked for a second one"
    soon(lambda: death in bed.server.said[said:])
    bed.frees()


def test_the_package_raises_on_it(bed: Bed) -> None:
    """What its users catch."""
    with bed.client() as client, pytest.raises(openai.APIError) as caught:
        list(client.chat.completions.create(model="m-told", messages=_hello("x"), stream=True))
    assert type(caught.value) is openai.APIError


def test_where_every_attempt_fails_the_error_is_the_servers_and_says_why(bed: Bed) -> None:
    """With a 200 and an empty stream a program would go on as if all were well."""

    async def main() -> list[Any]:
        async with AsyncOpenAI(base_url=bed.server.v1, api_key="unused", max_retries=0, timeout=20) as client:
            calls = [
                client.chat.completions.create(model=f"m-broken-{streamed}", messages=_hello("?"), stream=streamed)
                for streamed in (False, True)
            ]
            return await asyncio.gather(*calls, return_exceptions=True)

    for error in asyncio.run(main()):
        assert isinstance(error, openai.InternalServerError)
        assert error.status_code in (500, 502, 503)
        assert error.message
    bed.frees()


def test_a_caller_that_gives_up_frees_the_key_for_the_next(bed: Bed) -> None:
    """Its provider hangs; a permit that stays taken would hang everybody behind it."""
    with bed.client() as client:
        with pytest.raises(openai.APITimeoutError):
            client.chat.completions.create(model="m-hanging", messages=_hello("never"), timeout=0.4)
        bed.frees()
        answer = client.chat.completions.create(model="m-hanging", messages=_hello("next"))
    assert answer.choices[0].message.content == "You said: next"
    assert bed.ends("hanging") == ["left", "answered"]


def test_a_caller_that_leaves_in_mid_stream_frees_the_key_for_the_next(bed: Bed) -> None:
    """A chat window that is closed must not cost the rest of its answer, nor a place in flight."""
    with bed.client() as client:
        stream = client.chat.completions.create(model="m-left", messages=_hello("half"), stream=True)
        for chunk in stream:
            if chunk.choices[0].delta.content:
                break
        stream.close()
        bed.frees()
        answer = client.chat.completions.create(model="m-left", messages=_hello("next"))
    assert answer.choices[0].message.content == "You said: next"
    assert bed.ends("left") == ["left", "answered"]


def _hello(text: str) -> Any:
    return [{"role": "user", "content": text}]


def _events(server: Served, body: dict[str, Any]) -> list[str]:
    """What stands after `data: `, as it comes over the wire."""
    line = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    try:
        line.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
        answer = line.getresponse()
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        try:
            whole = answer.read().decode()
        except http.client.IncompleteRead as torn:  # a transfer without its end sign
            whole = torn.partial.decode()
    finally:
        line.close()
    return [e.removeprefix("data: ") for e in whole.split("\n\n") if e.startswith("data: ")]
