"""`async with llmfan.Fan(…)`: one call at a time, whole and streamed."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import gc
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

import llmfan
from llmfan.fan.stream import read_chunk
from tests.beds.upstream import Site
from tests.fan_bed import fan_of, soon

ONE_AT_A_TIME = {"a": {"limits": {"concurrency": 1, "rpm": 6000}}}


def test_an_answer_is_the_record_of_the_journal(tmp_path: Path) -> None:
    """Figures of a program's own calls could not be laid beside those of a run."""

    async def main() -> llmfan.ResultLine:
        async with fan_of(tmp_path, {"a": Site()}) as (fan, _):
            return await fan.ask("Hello?", metadata={"row": 7})

    result = asyncio.run(main())
    assert (result.status, result.text, result.provider, result.model) == ("ok", "You said: Hello?", "a", "m")
    assert result.usage is not None and result.usage.source == "server"
    assert result.metadata == {"row": 7} and result.wait_s is not None and result.error is None


def test_settings_go_out_with_the_call(tmp_path: Path) -> None:
    """A setting that is taken and dropped is found out from the answers, weeks later."""

    async def main() -> dict[str, Any]:
        async with fan_of(tmp_path, {"a": Site()}) as (fan, far):
            await fan.ask("Hello?", system="Be brief.", temperature=0.5, max_tokens=9, seed=3, stop=["x"])
            return far.seen[0].asked

    asked = asyncio.run(main())
    assert asked["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello?"}]
    assert (asked["temperature"], asked["max_tokens"], asked["seed"], asked["stop"]) == (0.5, 9, 3, ["x"])


def test_a_system_message_given_beside_a_conversation_takes_the_place_of_its_own(tmp_path: Path) -> None:
    """With two of them, which one a model follows is anybody's guess."""
    messages = [{"role": "system", "content": "Old."}, {"role": "user", "content": "Hello?"}]

    async def main() -> dict[str, Any]:
        async with fan_of(tmp_path, {"a": Site()}) as (fan, far):
            await fan.chat(messages, system="New.")
            return far.seen[0].asked

    asked = asyncio.run(main())
    assert [m["content"] for m in asked["messages"]] == ["New.", "Hello?"]
    assert messages[0]["content"] == "Old.", "the caller's own list was changed"


def test_a_failed_call_raises_with_its_record(tmp_path: Path) -> None:
    """A script would go on with a text that is None."""

    async def main() -> None:
        async with fan_of(tmp_path, {"a": Site(dies="400")}) as (fan, _):
            await fan.ask("Hello?")

    with pytest.raises(llmfan.CallFailed) as caught:
        asyncio.run(main())
    failed = caught.value
    assert failed.result.status == "failed" and failed.result.text is None
    assert (failed.error.kind, failed.error.http_status) == ("bad_request", 400)
    assert str(failed).startswith("bad_request: ") and "Told to fail." in str(failed)
    assert str(copy.copy(failed)) == str(failed)  # as when it crosses to another process


def test_a_call_that_would_wait_too_long_says_when_to_come_back(tmp_path: Path) -> None:
    """A caller with a time limit of its own cannot plan another try."""

    async def main() -> None:
        entries = {"a": {"limits": {"rpm": 1}}}
        async with fan_of(tmp_path, {"a": Site()}, entries, max_wait=0.5) as (fan, _):
            await fan.ask("One?")
            await fan.ask("Two?")

    with pytest.raises(llmfan.CallFailed) as caught:
        asyncio.run(main())
    assert caught.value.error.kind == "rate_limited"
    assert caught.value.retry_after is not None and 30 < caught.value.retry_after < 70


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"model": "a/mm"}, 'did you mean "a/m"'),
        ({"temperature": "warm"}, "temperature"),
        ({"max_wait": -1}, "max_wait"),
        ({"max_wait": "soon"}, "max_wait: expected seconds"),
        ({"max_wait": True}, "max_wait"),
        ({"max_tokens": "9"}, "max_tokens"),
        ({"priority": "urgent"}, "priority"),
        ({"priority": "interactiv"}, 'did you mean "interactive"'),
        ({"system": 7}, "system: expected text"),
        ({"id": 7}, "id: expected text"),
        ({"metadata": object()}, "metadata: cannot be put as JSON"),
        ({"temprature": 1}, 'temprature: .*did you mean "temperature".*params='),
        ({"simulat": True}, 'did you mean "simulate"'),
        ({"simulate": True}, r"Fan\(simulate=…\)"),
        ({"timeout": 5}, r"Fan\(timeout=…\).*max_wait.*asyncio\.timeout"),
        ({"ordered": True}, "ordered: a setting of map"),
        ({"provider": "a"}, "model="),
        ({"no_such_field": 1, "topp": 1}, "no_such_field: .*\ntopp: "),
        ({"params": 7}, "params: expected"),
        ({"params": {"stream": True}}, "params: stream"),
        ({"params": {"max_tokens": 7}, "max_tokens": 8}, "params: max_tokens is given twice"),
        ({"stream": True}, "stream"),
        ({"logprobs": True}, "logprobs"),
        ({"temperature": {1, 2}}, "JSON"),
    ],
)
def test_a_slip_in_a_setting_is_said_before_anything_is_sent(
    tmp_path: Path, settings: dict[str, Any], said: str
) -> None:
    """It would cost a request to find out, or be sent and do nothing."""

    async def main() -> int:
        entries = {"a": {"api": "anthropic"}}  # a form that has its own fields, and passes no other
        async with fan_of(tmp_path, {"a": Site()}, entries) as (fan, far):
            with pytest.raises(llmfan.UserError, match=said):
                await fan.ask("Hello?", **settings)
            return len(far.seen)

    assert asyncio.run(main()) == 0


def test_a_conversation_that_is_a_text_is_a_slip(tmp_path: Path) -> None:
    """Each of its letters would be taken for a message."""

    async def main() -> None:
        async with fan_of(tmp_path, {"a": Site()}) as (fan, far):
            with pytest.raises(llmfan.UserError, match="messages: expected a list"):
                await fan.chat("Hello?")  # type: ignore[arg-type]
            assert not far.seen

    asyncio.run(main())


def test_known_fields_go_by_their_names_and_all_others_in_params(tmp_path: Path) -> None:
    """A new field of one provider could not be sent until llmfan has learned its name."""

    async def main() -> list[dict[str, Any]]:
        async with fan_of(tmp_path, {"a": Site()}) as (fan, far):
            further = {"brand_new": {"x": [1]}, "max_tokens": 9, "temperature": 0.5}
            await fan.ask("Hello?", top_k=4, top_p=None, params=further)
            await fan.chat([{"role": "user", "content": "Hello?"}], params={"brand_new": 2})
            return [seen.asked for seen in far.seen]

    first, second = asyncio.run(main())
    assert (first["brand_new"], first["max_tokens"], first["temperature"]) == ({"x": [1]}, 9, 0.5)
    assert first["top_k"] == 4 and "top_p" not in first and second["brand_new"] == 2


def test_a_wait_may_be_written_as_on_the_command_line(tmp_path: Path) -> None:
    """ "2m" works in one half of the product, and ends in a TypeError in the other."""

    async def main() -> None:
        entries = {"a": {"limits": {"rpm": 1}}}
        async with fan_of(tmp_path, {"a": Site()}, entries, max_wait="1m30s", timeout="20s") as (fan, _):
            await fan.ask("One?")
            with pytest.raises(llmfan.CallFailed, match=r"0\.5 s"):
                await fan.ask("Two?", max_wait="500ms")
            with pytest.raises(TimeoutError):  # by its own word it would wait for the whole minute
                async with asyncio.timeout(0.05):
                    await fan.ask("Three?")

    asyncio.run(main())


def test_nobody_waits_for_a_quota_of_tomorrow_unless_asked_to(tmp_path: Path) -> None:
    """A page would stand still until midnight."""

    async def main() -> None:
        async with fan_of(tmp_path, {"a": Site()}, {"a": {"limits": {"rpd": 1}}}) as (fan, _):
            await fan.ask("One?")
            with pytest.raises(llmfan.CallFailed) as caught:
                await fan.ask("Two?")
            assert caught.value.error.kind == "quota_exhausted"
            assert [result.status async for result in fan.map(["Three?"])] == ["failed"]
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await fan.ask("Four?", max_wait=math.inf)

    asyncio.run(main())


def test_messages_are_taken_as_they_stand(tmp_path: Path) -> None:
    """A conversation that grows while its last call waits would be sent with what came later."""

    async def main() -> list[int]:
        async with fan_of(tmp_path, {"a": Site(first=0.1)}, ONE_AT_A_TIME) as (fan, far):
            messages = [{"role": "user", "content": "One?"}]
            first = asyncio.create_task(fan.chat(messages))
            second = asyncio.create_task(fan.chat(messages))
            await soon(lambda: far.open == 1)
            messages.append({"role": "user", "content": "Two?"})
            await asyncio.gather(first, second)
            return [len(seen.asked["messages"]) for seen in far.seen]

    assert asyncio.run(main()) == [1, 1]


# ---------------------------------------------------------------- records


def test_a_record_is_a_line_of_the_results_as_plain_data(tmp_path: Path) -> None:
    """Everybody would write a function of their own that puts it into a file, and forget fields."""

    async def main() -> llmfan.ResultLine:
        async with fan_of(tmp_path, {"a": Site()}) as (fan, _):
            return await fan.ask("Hello?", metadata={"pair": (1, 2)})

    result = asyncio.run(main())
    line = json.loads(json.dumps(result.to_dict()))
    assert line == json.loads(msgspec.json.encode(result)) and line["metadata"] == {"pair": [1, 2]}
    assert line["usage"]["source"] == "server" and len(line) == len(result.__struct_fields__)


def test_a_record_shows_itself_in_a_line(tmp_path: Path) -> None:
    """At a prompt, 27 fields hide the two that were wanted; and what a server wrote must not steer a terminal."""

    async def main() -> list[llmfan.ResultLine]:
        async with fan_of(tmp_path, {"a": Site(), "b": Site(dies="400")}) as (fan, _):
            told = [result async for result in fan.map(["\x1b[2J" + "long " * 100], model="a")]
            return told + [result async for result in fan.map(["x"], model="b")]

    told, failed = asyncio.run(main())
    assert repr(told) == str(told) and len(repr(told)) < 200 and "\x1b" not in repr(told)
    assert told.id in repr(told) and " ok 'a/m' 'You said: " in repr(told) and ", waited 0." in repr(told)
    assert " failed 'b/m' 'bad_request: " in repr(failed) and len(repr(failed)) < 200


def test_the_answer_of_a_record_is_a_text_or_an_error(tmp_path: Path) -> None:
    """A type checker wants an `if` around each text; and in a batch, None goes on as if it were one."""

    async def main() -> list[llmfan.ResultLine]:
        async with fan_of(tmp_path, {"a": Site(dies="400", times=1)}, ONE_AT_A_TIME) as (fan, _):
            return [result async for result in fan.map(["One?", "Two?"], ordered=True)]

    failed, told = asyncio.run(main())
    assert told.answer.upper() == "YOU SAID: TWO?"
    with pytest.raises(ValueError, match="bad_request"):
        _ = failed.answer


# ---------------------------------------------------------------- cancelling


def test_a_cancelled_call_frees_its_permit(tmp_path: Path) -> None:
    """After a few impatient callers nothing would be sent any more."""

    async def main() -> None:
        site = Site(dies="hang", times=1)
        async with fan_of(tmp_path, {"a": site}, ONE_AT_A_TIME) as (fan, far):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await fan.ask("One?")
            result = await fan.ask("Two?", max_wait=1.0)
            assert result.text == "You said: Two?"
            await soon(lambda: far.open == 0)
            assert [seen.end for seen in far.seen] == ["left", "answered"]

    asyncio.run(main())


def test_a_call_cancelled_while_it_waits_is_never_sent(tmp_path: Path) -> None:
    """It would be paid for and read by nobody."""

    async def main() -> list[str]:
        async with fan_of(tmp_path, {"a": Site(first=0.1)}, ONE_AT_A_TIME) as (fan, far):
            first = asyncio.create_task(fan.ask("One?"))
            await soon(lambda: far.open == 1)
            second = asyncio.create_task(fan.ask("Two?"))
            await asyncio.sleep(0)
            second.cancel()
            third = asyncio.create_task(fan.ask("Three?"))
            await asyncio.gather(first, third)
            assert second.cancelled()
            return [seen.asked["messages"][0]["content"] for seen in far.seen]

    assert asyncio.run(main()) == ["One?", "Three?"]


def test_closing_ends_what_is_in_flight_and_what_waits(tmp_path: Path) -> None:
    """A caller would wait for ever for a fleet that is gone."""

    async def main() -> list[BaseException | llmfan.ResultLine]:
        async with fan_of(tmp_path, {"a": Site(dies="hang")}, ONE_AT_A_TIME) as (fan, far):
            tasks = [asyncio.create_task(fan.ask(text)) for text in ("One?", "Two?")]
            await soon(lambda: far.open == 1)
            await fan.__aexit__(None, None, None)
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            await soon(lambda: far.open == 0)
            return ended

    for ended in asyncio.run(main()):
        assert isinstance(ended, llmfan.CallFailed) and ended.error.kind == "cancelled"


# ---------------------------------------------------------------- streams


def test_a_stream_gives_its_text_as_it_comes(tmp_path: Path) -> None:
    """A page that shows an answer as it is written would show nothing until its end."""

    async def main() -> tuple[list[llmfan.Chunk], llmfan.Stream]:
        async with fan_of(tmp_path, {"a": Site(chunks=4, gap=0.01)}) as (fan, _):
            stream = await fan.chat([{"role": "user", "content": "Hello?"}], stream=True)
            assert stream.result is None and stream.target is not None and stream.target.provider == "a"
            return [chunk async for chunk in stream], stream

    chunks, stream = asyncio.run(main())
    assert "".join(chunk.text for chunk in chunks) == "You said: Hello?"
    assert chunks[-1].finish_reason == "stop" and len([c for c in chunks if c.text]) >= 4
    assert all(chunk.data["object"] == "chat.completion.chunk" for chunk in chunks)
    assert stream.result is not None and stream.result.text == "You said: Hello?"
    assert stream.result.ttft_s is not None


def test_pieces_of_tool_calls_come_with_their_index(tmp_path: Path) -> None:
    """Without it nobody can put the arguments of two calls together."""
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]

    async def main() -> tuple[list[dict[str, Any]], Any]:
        async with fan_of(tmp_path, {"a": Site()}) as (fan, _):
            stream = await fan.chat([{"role": "user", "content": "Rain?"}], stream=True, tools=tools)
            pieces = [call async for chunk in stream for call in chunk.tool_calls]
            return pieces, stream.result and stream.result.tool_calls

    pieces, calls = asyncio.run(main())
    assert {piece["index"] for piece in pieces} == {0}
    assert "".join(piece["function"]["arguments"] for piece in pieces) == calls[0]["function"]["arguments"]


def test_before_the_first_text_another_answers(tmp_path: Path) -> None:
    """One provider's bad minute would be every caller's."""

    async def main() -> str:
        sites = {"a": Site(dies="role"), "b": Site()}
        async with fan_of(tmp_path, sites, {"a": {"priority": 9}}) as (fan, far):
            stream = await fan.chat([{"role": "user", "content": "Hello?"}], stream=True)
            text = "".join([chunk.text async for chunk in stream])
            assert {seen.site for seen in far.seen} == {"a", "b"}
            return text

    assert asyncio.run(main()) == "You said: Hello?"


def test_a_stream_that_nobody_begins_raises_at_once(tmp_path: Path) -> None:
    """The caller would have opened a page for an answer that never comes."""

    async def main() -> None:
        async with fan_of(tmp_path, {"a": Site(dies="400")}) as (fan, _):
            await fan.chat([{"role": "user", "content": "Hello?"}], stream=True)

    with pytest.raises(llmfan.CallFailed, match="bad_request"):
        asyncio.run(main())


def test_a_stream_that_breaks_raises_after_what_has_come(tmp_path: Path) -> None:
    """Half an answer would pass for a whole one."""

    async def main() -> None:
        sites = {"a": Site(dies="text", after=2, chunks=4), "b": Site()}
        async with fan_of(tmp_path, sites, {"a": {"priority": 9}}) as (fan, far):
            stream = await fan.chat([{"role": "user", "content": "Hello?"}], stream=True)
            got = []
            with pytest.raises(llmfan.CallFailed) as caught:
                async for chunk in stream:
                    got.append(chunk.text)
            assert "".join(got) and "You said: Hello?".startswith("".join(got))
            assert stream.result is not None and stream.result.status == "failed"
            assert caught.value.result is stream.result
            assert [seen.site for seen in far.seen] == ["a"], "asked again although its caller had a beginning"

    asyncio.run(main())


async def _leave_by_closing(stream: llmfan.Stream) -> None:
    await anext(stream)
    await stream.aclose()
    assert [chunk async for chunk in stream] == []


async def _leave_the_block(stream: llmfan.Stream) -> None:
    async with stream:
        await anext(stream)


async def _be_cancelled(stream: llmfan.Stream) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.1):
            async for _ in stream:
                pass


@pytest.mark.parametrize("leave", [_leave_by_closing, _leave_the_block, _be_cancelled])
def test_a_stream_that_is_left_ends_at_its_provider(tmp_path: Path, leave: Any) -> None:
    """The permit would be taken, and tokens be paid for, until a text that nobody reads is complete."""

    async def main() -> None:
        site = Site(dies="stall", times=1)
        async with fan_of(tmp_path, {"a": site}, ONE_AT_A_TIME) as (fan, far):
            stream = await fan.chat([{"role": "user", "content": "One?"}], stream=True)
            await leave(stream)
            assert (await fan.ask("Two?", max_wait=1.0)).text == "You said: Two?"
            await soon(lambda: far.open == 0)

    asyncio.run(main())


def test_a_stream_that_is_let_go_ends_at_its_provider(tmp_path: Path) -> None:
    """A `break` is how most people leave a loop."""

    async def main() -> None:
        site = Site(dies="stall", times=1)
        async with fan_of(tmp_path, {"a": site}, ONE_AT_A_TIME) as (fan, far):
            async for _ in await fan.chat([{"role": "user", "content": "One?"}], stream=True):
                break
            gc.collect()
            assert (await fan.ask("Two?", max_wait=1.0)).text == "You said: Two?"
            await soon(lambda: far.open == 0)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (b'{"choices":[{"delta":{"content":[{"type":"text","text":"a"},{"type":"thinking","thinking":"b"}]}}]}', "a"),
        (b'{"choices":[{"delta":{"content":7}}]}', ""),
        (b'{"choices":[{"delta":{"refusal":"No."}}]}', "No."),
        (b'{"choices":[]}', ""),
        (b'{"choices":[{"index":1,"delta":{"content":"other"}}]}', ""),
        (b"[1]", ""),
    ],
)
def test_chunks_are_read_whatever_a_servers_types(payload: bytes, text: str) -> None:
    """One odd server, and every caller's loop ends with a TypeError."""
    assert read_chunk(payload).text == text


# ---------------------------------------------------------------- opening and closing


def test_it_works_inside_its_block_only(tmp_path: Path) -> None:
    """Outside, a call would hang: nothing sends."""

    async def main() -> None:
        fan = llmfan.Fan(simulate=True, simulate_speed=100.0)
        with pytest.raises(RuntimeError, match="inside its block"):
            await fan.ask("Hello?")
        async with fan:
            with pytest.raises(RuntimeError, match="once"):
                await fan.__aenter__()
            await fan.ask("Hello?")
        with pytest.raises(RuntimeError, match="inside its block"):
            fan.status()
        with pytest.raises(RuntimeError, match="once"):
            await fan.__aenter__()

    asyncio.run(main())


def test_a_bad_file_is_said_on_entry(tmp_path: Path) -> None:
    """The first call would fail in its stead, long after the start."""
    path = tmp_path / "fleet.yaml"
    path.write_text("version: 1\nproviders: {x: {base_url: http://127.0.0.1:1/v1, keys: none, model: m, limit: {}}}\n")

    async def main() -> None:
        async with llmfan.Fan(path, env={}):
            pass

    with pytest.raises(llmfan.UserError, match=r"fleet\.yaml:2: .*limit"):
        asyncio.run(main())


@pytest.mark.parametrize(
    "settings",
    [
        {"concurrency": 0},
        {"queue": 0},
        {"timeout": 0},
        {"max_wait": -1},
        {"max_cost": float("nan")},
        {"max_attempts": 0},
        {"max_ambiguous": -1},
        {"simulate_speed": 2.0},
        {"concurrency": "5"},
        {"queue": None},
        {"timeout": "soon"},
        {"max_wait": "soon"},
        {"max_cost": "1"},
        {"only": 7},
        {"seed": "x"},
    ],
)
def test_numbers_are_checked_when_it_is_made(settings: dict[str, Any]) -> None:
    """A queue of 0 refuses every call, and says that it is full."""
    with pytest.raises(llmfan.UserError, match=next(iter(settings))):
        llmfan.Fan(**settings)


def test_notices_go_to_the_callback_and_nothing_else(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A library that prints spoils its program's output."""
    path = tmp_path / "fleet.yaml"
    path.write_text("version: 1\nproviders:\n  x: {base_url: http://127.0.0.1:1/v1, keys: none, model: m}\n"
                    "  y: {base_url: http://127.0.0.1:1/v1, keys: $NOT_SET, model: m}\n")  # fmt: skip
    said: list[str] = []

    async def main() -> None:
        async with llmfan.Fan(path, env={}, state=tmp_path / "ledger.db", say=said.append):
            pass

    asyncio.run(main())
    assert any("NOT_SET" in text for text in said)
    assert capfd.readouterr() == ("", "")


def test_the_status_is_the_contracts_document(tmp_path: Path) -> None:
    """A program that watches a fleet through the command would have to be written again."""

    async def main() -> dict[str, Any]:
        async with fan_of(tmp_path, {"a": Site()}) as (fan, _):
            await fan.ask("Hello?")
            return fan.status()

    status = asyncio.run(main())
    assert status["total_providers"] == 1 and status["quota_status"]["a"]["state"] == "ready"


# ---------------------------------------------------------------- the package's face


def test_importing_it_loads_nothing_of_the_network_or_the_command_line() -> None:
    """Every program that only type-checks, or asks for the version, would wait for a second."""
    code = "import sys, llmfan; dir(llmfan); print({'aiohttp', 'typer', 'msgspec', 'asyncio'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


def test_every_name_of_its_face_is_there() -> None:
    """A name that is promised and not there is found by the first user."""
    import llmfan.status  # a room: no name of the face may be hidden by one

    for name in llmfan.__all__:
        assert type(getattr(llmfan, name)).__name__ != "module"
    assert set(llmfan.__all__) <= set(dir(llmfan))
    with pytest.raises(AttributeError, match="nothing_like_it"):
        getattr(llmfan, "nothing_like_it")  # noqa: B009
