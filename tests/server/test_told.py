"""What callers whose calls are not carried out are told, and what the log says of them."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from llmfan.conduct.ticket import Refusal, Ticket
from llmfan.server.wishes import wishes
from llmfan.serving.faults import CallerFault
from tests.server.fleet_double import (
    CHAT,
    HI,
    JSON,
    SECRET,
    TARGET,
    WHOLE,
    Bed,
    answers,
    failed,
    refuses,
    serving,
)  # fmt: skip


def run(test: Callable[[Bed], Coroutine[Any, Any, None]], *args: Any, **terms: Any) -> None:
    async def go() -> None:
        async with serving(*args, **terms) as bed:
            await asyncio.wait_for(test(bed), 10)

    asyncio.run(go())


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("why", "after", "status", "told", "said"),
    [
        ("wait", 2.2, 429, "3", "no permit in time"), ("full", 0.1, 429, "1", "the queue is full"),
        ("nothing_left", None, 503, None, "nothing is left"),
        ("closing", None, 503, None, "the service is being stopped"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("stream", [False, True])
def test_a_refused_call_is_told_when_to_come_back(
    why: Any, after: float | None, status: int, told: str | None, said: str, stream: bool
) -> None:
    """An SDK that is not told comes back at once, again and again."""

    async def test(bed: Bed) -> None:
        response = await bed.ask(stream=stream)
        assert (response.status, response.headers.get("Retry-After")) == (status, told)
        assert response.error["message"] == "not now"
        assert response.headers["x-llmfan-attempts"] == "0"
        (line,) = bed.said.splitlines()
        assert f"refused: {said}" in line and "failed" not in line

    run(test, refuses(Refusal(why=why, message="not now", retry_after=after)))


@pytest.mark.parametrize("refused", [True, False])
def test_a_provider_is_named_for_what_it_did_and_for_nothing_else(refused: bool) -> None:
    """A failure would be put down to a provider that was asked before, and had nothing to do with it."""

    def play(ticket: Ticket) -> None:
        ticket.job.sent += 1
        ticket.attempt(TARGET, None, True, 0.25)
        if refused:
            ticket.refusal = Refusal(why="wait", message="not now", retry_after=1.0)
            ticket.ended(failed("rate_limited"))
        else:
            ticket.ended(failed("connection"))

    async def test(bed: Bed) -> None:
        response = await bed.ask()
        assert (response.status, response.headers["x-llmfan-attempts"]) == (429 if refused else 502, "1")
        named = [response.headers.get(f"x-llmfan-{part}") for part in ("provider", "model", "key")]
        assert named == ([None] * 3 if refused else ["acme", "some/model", "acme#1"])

    run(test, play)


# ---------------------------------------------------------------- faults of a request


def test_the_log_says_what_was_wrong_with_a_request_and_not_what_was_in_it() -> None:
    """`bad_request` alone helps nobody; the words that were sent may be a prompt."""

    async def test(bed: Bed) -> None:
        await bed.send("POST", CHAT, json={"messages": "a-secret-prompt"})
        await bed.send("POST", CHAT, json={**HI, "temperature": "a-secret-word"})
        await bed.send("POST", CHAT, data=b"", headers=JSON)
        said = bed.said
        lines = [re.sub(r"took [0-9.]+ s", "", line.partition("Z ")[2]) for line in said.splitlines()]
        assert lines == [
            "400 refused (bad_request): messages: expected a list of messages, ",
            "400 refused (bad_request): temperature: expected a number, ",
            "400 refused (bad_request): the body is empty: a JSON object with messages is expected, ",
        ]
        assert "a-secret" not in said

    run(test)


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("x-llmfan-priority", "urgent"), ("x-llmfan-max-wait", "soon"), ("x-llmfan-max-wait", "-1"),
        ("x-llmfan-max-wait", "nan"), ("x-llmfan-max-wait", "inf"), ("x-llmfan-max-wait", "1_0"),
        ("x-llmfan-max-wait", "\u0661"), ("x-llmfan-max-wait", "1e300"), ("x-llmfan-max-wait", "604801"),
        ("x-llmfan-max-wait", "9" * 500), ("x-llmfan-max-wait", "2 fortnights"), ("x-llmfan-max-wait", ""),
    ],
)  # fmt: skip
def test_a_wish_that_makes_no_sense_is_the_callers_fault(header: str, value: str) -> None:
    """Taken for something else, a call would wait for ever, or not at all."""

    async def test(bed: Bed) -> None:
        response = await bed.ask(headers={header: value})
        assert response.status == 400
        assert response.error["param"] == header
        assert "seconds" in response.error["message"] or "interactive" in response.error["message"]
        assert not bed.fleet.asked

    run(test)


@pytest.mark.parametrize(
    ("given", "seconds"),
    [("0", 0.0), (" 2.5 ", 2.5), ("30s", 30.0), ("2m", 120.0), ("500ms", 0.5), ("1 h", 3600.0), ("7d", 604800.0)],
)
def test_a_wait_is_wished_for_in_seconds_or_as_on_the_command_line(given: str, seconds: float) -> None:
    """`--max-wait 2m` and a header that does not take it are two languages in one program."""
    assert wishes({"x-llmfan-max-wait": given}, 600.0).max_wait == seconds
    with pytest.raises(CallerFault):
        wishes({"x-llmfan-max-wait": given + "!"}, 600.0)


# ---------------------------------------------------------------- paths


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/chat/completions", "is /v1 missing from the base URL?"), ("/models", "is /v1 missing"),
        ("/v1/v1/chat/completions", "the base URL ends with /v1 and has no path before it"),
        ("/v1/chat/completions/chat/completions", "comes by itself"),
        ("/v1/responses", "only chat completions are spoken here"), ("/v1/embeddings", "only chat completions"),
        ("/v1/completions", "only chat completions"), ("/v1/messages", "only chat completions"),
        ("/elsewhere", "the dashboard at /"),
    ],
)  # fmt: skip
def test_a_wrong_path_is_told_the_right_one(path: str, said: str) -> None:
    """A wrong base URL is the commonest mistake there is."""

    async def test(bed: Bed) -> None:
        response = await bed.send("POST", path, json=HI)
        assert (response.status, response.error["code"]) == (404, "not_found")
        assert said in response.error["message"]
        assert "/v1/" in response.error["message"]

    run(test)


def test_a_wrong_method_is_told_the_right_one() -> None:
    """Somebody opens the endpoint in a browser to see whether it is there."""

    async def test(bed: Bed) -> None:
        response = await bed.send("GET", CHAT)
        assert (response.status, response.headers["Allow"]) == (405, "POST")
        assert (await bed.send("HEAD", "/v1/models")).status == 200

    run(test)


# ---------------------------------------------------------------- keys


@pytest.mark.parametrize("spelt", [SECRET, SECRET.replace("/", r"\/"), SECRET.replace("s", r"\u0073")])
@pytest.mark.parametrize("lacking", [True, False])
def test_no_spelling_of_a_key_comes_through_in_a_whole_answer(spelt: str, lacking: bool) -> None:
    """Servers quote keys back, and JSON knows several ways to write each character of one."""

    def play(ticket: Ticket) -> None:
        answers(ticket)
        document = json.loads(WHOLE)
        if lacking:  # so that it is put together anew
            del document["usage"]
        ticket.body = json.dumps(document).replace("hello", f"your key is {spelt}").encode()

    async def test(bed: Bed) -> None:
        response = await bed.ask()
        assert response.document["choices"][0]["message"]["content"] == "your key is [key]"

    run(test, play)
