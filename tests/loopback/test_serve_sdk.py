"""The official openai package, unchanged, pointed at `llmfan serve`: what its users do works, and fails, as ever."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from tests.beds.answers import CALL, LOGPROBS
from tests.beds.serving import Served, entry, served
from tests.beds.upstream import Seen, Site, Upstream, threaded

TOKEN = "t0ken-of-our-own"
PIXEL = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
TOOLS: list[Any] = [
    {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
]
SITES = {
    "a": Site(),
    "groq": Site(),
    "paced": Site(limits={"rps": 1}),
    "dying": Site(dies="text"),
    "barred": Site(dies="401"),
}


class Bed:
    def __init__(self, far: Upstream, server: Served):
        self.far, self.server = far, server

    def last(self, site: str) -> Seen:
        return [s for s in self.far.seen if s.site == site][-1]

    def client(self, **more: Any) -> OpenAI:
        return OpenAI(base_url=self.server.v1, **{"api_key": "unused", "max_retries": 0, "timeout": 20, **more})


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    with threaded(SITES) as far:
        entries = {
            "a": entry(far.base_url("a"), ["key-a-one-1234", "key-a-two-1234"], priority=5),
            "groq": entry(far.base_url("groq"), ["key-groq-1234"], "groq-m", preset="groq"),
            "paced": entry(far.base_url("paced"), ["key-paced-1234"], "paced-m", limits={"rps": 1}),
            "dying": entry(far.base_url("dying"), ["key-dying-1234"], "dying-m"),
            "barred": entry(far.base_url("barred"), ["key-barred-1234"], "barred-m"),
        }
        with served(tmp_path_factory.mktemp("serve"), entries) as server:
            yield Bed(far, server)


def ask(client: OpenAI, text: str = "Hello there", model: str = "a/m", **more: Any) -> Any:
    return client.chat.completions.create(model=model, messages=[{"role": "user", "content": text}], **more)


def test_a_plain_call_is_answered_and_its_headers_say_by_whom(bed: Bed) -> None:
    """The first thing anybody tries."""
    with bed.client() as client:
        raw = client.chat.completions.with_raw_response.create(
            model="auto", messages=[{"role": "user", "content": "Hello there"}]
        )
    answer = raw.parse()
    assert answer.choices[0].message.content == "You said: Hello there"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.total_tokens > 0
    told = {name: raw.headers[f"x-llmfan-{name}"] for name in ("provider", "model", "key", "attempts", "wait")}
    assert (told["provider"], told["model"], told["attempts"]) == ("a", "m", "1")
    assert told["key"] in ("a#1", "a#2")
    assert 0 <= float(told["wait"]) < 1


@pytest.mark.parametrize("usage", [False, True])
def test_a_streamed_call_gives_the_same_text_and_usage_only_to_who_asked(bed: Bed, usage: bool) -> None:
    """A chunk without choices that nobody asked for breaks programs that read `choices[0]` of each."""
    more: dict[str, Any] = {"stream_options": {"include_usage": True}} if usage else {}
    with bed.client() as client, ask(client, stream=True, **more) as stream:
        chunks = list(stream)
    said = [c.choices[0].delta.content or "" for c in chunks if c.choices]
    assert "".join(said) == "You said: Hello there"
    assert sum(bool(s) for s in said) >= 3, "in pieces, as they came"
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert len({c.id for c in chunks}) == 1
    assert sum(not c.choices for c in chunks) == usage
    assert (chunks[-1].usage is not None) == usage


@pytest.mark.parametrize("streamed", [False, True])
def test_tools_go_round_both_ways(bed: Bed, streamed: bool) -> None:
    """An agent whose calls come back torn does nothing, or the wrong thing."""
    asked: Any = [{"role": "user", "content": "Weather?"}]
    with bed.client() as client:
        if streamed:
            call = _joined(client.chat.completions.create(model="a/m", messages=asked, tools=TOOLS, stream=True))
        else:
            answer = client.chat.completions.create(model="a/m", messages=asked, tools=TOOLS, tool_choice="auto")
            assert answer.choices[0].finish_reason == "tool_calls"
            assert answer.choices[0].message.tool_calls is not None
            call = answer.choices[0].message.tool_calls[0].model_dump(include={"id", "type", "function"})
        assert call == CALL
        more = [
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": call["id"], "content": "It rains."},
        ]
        end = client.chat.completions.create(model="a/m", messages=asked + more, tools=TOOLS)
    assert end.choices[0].message.content == "You said: It rains."
    assert bed.last("a").asked["messages"] == asked + more
    assert bed.last("a").asked["tools"] == TOOLS


def _joined(stream: Any) -> dict[str, Any]:
    """The one tool call of a stream, as the package's users put it together."""
    call: dict[str, Any] = {"function": {"name": "", "arguments": ""}}
    for chunk in stream:
        for piece in chunk.choices[0].delta.tool_calls or []:
            call |= {k: v for k, v in (("id", piece.id), ("type", piece.type)) if v}
            call["function"]["name"] += piece.function.name or ""
            call["function"]["arguments"] += piece.function.arguments or ""
    return call


class Echo(BaseModel):
    echo: str


def test_json_mode_and_a_schema_come_back_parsed(bed: Bed) -> None:
    """Structured output is what programs read; without the field the model talks prose."""
    with bed.client() as client:
        answer = ask(client, response_format={"type": "json_object"})
        assert json.loads(answer.choices[0].message.content) == {"echo": "Hello there"}
        assert bed.last("a").asked["response_format"] == {"type": "json_object"}
        parsed = client.chat.completions.parse(
            model="a/m", messages=[{"role": "user", "content": "Hi"}], response_format=Echo
        )
    assert parsed.choices[0].message.parsed == Echo(echo="Hi")
    assert bed.last("a").asked["response_format"]["json_schema"]["name"] == "Echo"


def test_images_arrive_as_they_were_sent(bed: Bed) -> None:
    """A picture dropped on the way gives an answer to another question."""
    parts: Any = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}},
    ]
    with bed.client() as client:
        answer = client.chat.completions.create(model="a/m", messages=[{"role": "user", "content": parts}])
    assert answer.choices[0].message.content == "1 images; What is this?"
    assert bed.last("a").asked["messages"] == [{"role": "user", "content": parts}]


def test_every_other_field_arrives_unchanged_and_none_is_added(bed: Bed) -> None:
    """A field that is changed on the way is a wrong result nobody can explain."""
    fields: dict[str, Any] = {
        "seed": 7, "logprobs": True, "top_logprobs": 2, "stop": ["END", "\n"], "temperature": 0.25, "top_p": 0.5,
        "frequency_penalty": 0.5, "presence_penalty": -0.5, "logit_bias": {"50256": -100}, "max_tokens": 99,
    }  # fmt: skip
    own = {"top_k": 40, "vendor": {"deep": [1, {"a": None}], "é": "\u2028"}}
    with bed.client() as client:
        answer = ask(client, **fields, extra_body=own)
    asked = bed.last("a").asked
    assert {k: asked[k] for k in asked if k not in ("messages", "model", "stream")} == {**fields, **own}
    assert asked["model"] == "m"
    assert answer.choices[0].logprobs.model_dump() == LOGPROBS
    assert answer.model_extra["x_extra"] == "kept", "nor is a field of the answer lost that llmfan does not know"


def test_the_callers_own_key_goes_nowhere(bed: Bed) -> None:
    """People leave their real key in the environment; a provider that has no business with it must not see it."""
    with bed.client(api_key="sk-the-callers-own") as client:
        ask(client)
    assert "sk-the-callers-own" not in json.dumps(bed.last("a").headers)
    assert bed.last("a").key in ("key-a-one-1234", "key-a-two-1234")


def test_the_models_are_listed_by_every_name_they_go_by(bed: Bed) -> None:
    """Programs fill their menus from it."""
    with bed.client() as client:
        names = {m.id for m in client.models.list()}
    assert {"auto", "a/m", "m", "paced/paced-m", "paced-m"} <= names


def test_the_asynchronous_client_and_a_closed_stream(bed: Bed) -> None:
    """Most servers use this one; a stream it leaves early must not go on costing."""

    async def main() -> list[str]:
        async with AsyncOpenAI(base_url=bed.server.v1, api_key="unused", max_retries=0) as client:
            calls = [
                client.chat.completions.create(model="a/m", messages=[{"role": "user", "content": f"Number {n}"}])
                for n in range(5)
            ]
            answers = [str(a.choices[0].message.content) for a in await asyncio.gather(*calls)]
            stream = await client.chat.completions.create(
                model="a/m", messages=[{"role": "user", "content": "Streamed"}], stream=True
            )
            text = "".join([c.choices[0].delta.content or "" async for c in stream])
            return [*answers, text]

    assert asyncio.run(main()) == [*(f"You said: Number {n}" for n in range(5)), "You said: Streamed"]


# -------------------------------------------------------------------- errors


def test_a_faulty_request_is_a_bad_request(bed: Bed) -> None:
    """Retried, it would fail the same way for ever."""
    with bed.client() as client:
        with pytest.raises(openai.BadRequestError) as caught:
            client.chat.completions.create(model="a/m", messages=[])
        assert caught.value.param == "messages"
        sent = len(bed.far.seen)
        with pytest.raises(openai.BadRequestError) as caught:
            ask(client, model="groq-m", logprobs=True)
    assert "logprobs" in caught.value.message
    assert len(bed.far.seen) == sent, "nothing was sent"


def test_an_unknown_model_is_not_found_and_a_near_miss_is_named(bed: Bed) -> None:
    """A typing error should take a minute, not an hour."""
    with bed.client() as client, pytest.raises(openai.NotFoundError) as caught:
        ask(client, model="pacd-m")
    assert caught.value.code == "model_not_found"
    assert "paced-m" in caught.value.message


def test_no_permit_in_time_is_a_rate_limit_with_the_moment_of_the_next(bed: Bed) -> None:
    """Who is told nothing tries at once, and again."""
    patience = {"x-llmfan-max-wait": "0.05"}
    with bed.client() as client, pytest.raises(openai.RateLimitError) as caught:
        for _ in range(3):
            ask(client, model="paced-m", extra_headers=patience)
    assert 1 <= int(caught.value.response.headers["retry-after"]) <= 2


def test_the_packages_own_retry_comes_when_the_permit_does(bed: Bed) -> None:
    """It waits as long as it is told, once: told too little, the caller sees an error after all."""
    patience = {"x-llmfan-max-wait": "0.05"}
    with bed.client(max_retries=1) as client:
        ask(client, model="paced-m")  # takes the permit there is
        began = time.monotonic()
        answer = ask(client, model="paced-m", text="again", extra_headers=patience)
        waited = time.monotonic() - began
    assert answer.choices[0].message.content == "You said: again"
    assert waited > 0.5
    assert not [s for s in bed.far.seen if s.end == "429"], "the provider itself was never asked too early"


def test_nothing_left_is_a_server_error_every_time(bed: Bed) -> None:
    """It is not the caller's fault, neither for the one who found out nor for those after it."""
    for _ in range(3):
        with bed.client() as client, pytest.raises(openai.InternalServerError) as caught:
            ask(client, model="barred-m")
        assert caught.value.status_code == 503


def test_a_stream_that_dies_half_way_raises(bed: Bed) -> None:
    """Half an answer that looks like a whole one is the worst of all."""
    said = ""
    with bed.client() as client, pytest.raises(openai.APIError) as caught:
        for chunk in ask(client, model="dying-m", stream=True):
            said += chunk.choices[0].delta.content or ""
    assert said
    assert type(caught.value) is openai.APIError, "by the event it was told in, not by a torn connection"


def test_without_the_token_there_is_an_authentication_error(tmp_path: Path) -> None:
    """It is all that stands between the fleet and everybody who reaches the port."""
    with threaded({"a": Site()}) as far:
        entries = {"a": entry(far.base_url("a"), ["key-a-one-1234"])}
        with served(tmp_path, entries, env={"LLMFAN_TOKEN": TOKEN}) as server:
            with OpenAI(base_url=server.v1, api_key="wrong", max_retries=0) as client:
                with pytest.raises(openai.AuthenticationError):
                    ask(client)
                with pytest.raises(openai.AuthenticationError):
                    client.models.list()
            with OpenAI(base_url=server.v1, api_key=TOKEN, max_retries=0) as client:
                assert ask(client).choices[0].message.content == "You said: Hello there"
        assert len(far.seen) == 1


JAVASCRIPT = """
const { OpenAI } = require('openai');
const client = new OpenAI({ baseURL: process.argv[2], apiKey: 'unused', maxRetries: 0 });
const messages = [{ role: 'user', content: 'Hello there' }];
(async () => {
  const plain = await client.chat.completions.create({ model: 'a/m', messages });
  let streamed = '', chunks = 0;
  for await (const c of await client.chat.completions.create({ model: 'a/m', messages, stream: true })) {
    streamed += c.choices[0]?.delta?.content ?? '';
    chunks += 1;
  }
  const failed = {};
  try { await client.chat.completions.create({ model: 'nobody-has-it', messages }); }
  catch (e) { failed.unknown = e.constructor.name; failed.code = e.code; }
  try { for await (const c of await client.chat.completions.create({ model: 'dying-m', messages, stream: true })) {} }
  catch (e) { failed.dying = e.constructor.name; }
  console.log(JSON.stringify({ plain: plain.choices[0].message.content, streamed, chunks, failed }));
})();
"""


def test_the_javascript_package_plain_streamed_and_failing(bed: Bed, tmp_path: Path) -> None:
    """Half of those who come have a program in Node."""
    modules = os.environ.get("LLMFAN_TEST_NODE_MODULES")
    if not modules:
        pytest.skip("LLMFAN_TEST_NODE_MODULES names no node_modules with openai in it")
    script = tmp_path / "ask.cjs"
    script.write_text(JAVASCRIPT)
    done = subprocess.run(
        ["node", str(script), bed.server.v1],
        capture_output=True, text=True, timeout=60, env={"PATH": os.environ["PATH"], "NODE_PATH": modules},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["plain"] == found["streamed"] == "You said: Hello there"
    assert found["chunks"] >= 3
    assert found["failed"] == {"unknown": "NotFoundError", "code": "model_not_found", "dying": "APIError"}
