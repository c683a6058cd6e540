"""`fan.map`: a batch that is read as it goes."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

import llmfan
from tests.beds.upstream import Site
from tests.fan_bed import fan_of, soon

FOUR_AT_A_TIME = {"a": {"limits": {"concurrency": 4, "rpm": 60000}}}


class Source:
    """Prompts that know how far they were read, and whether they were closed."""

    def __init__(self, count: int, fault: BaseException | None = None, text: str = "Question {}?"):
        self.count, self.fault, self.text = count, fault, text
        self.read, self.closed = 0, False

    def plain(self) -> Iterator[str]:
        try:
            while self.read < self.count:
                self.read += 1
                yield self.text.format(self.read - 1)
            if self.fault is not None:
                raise self.fault
        finally:
            self.closed = True

    async def slow(self) -> AsyncIterator[str]:
        try:
            for prompt in self.plain():
                await asyncio.sleep(0)
                yield prompt
        finally:
            self.closed = True


def text_of(asked: dict[str, Any]) -> str:
    return str(asked["messages"][-1]["content"])


@pytest.mark.parametrize("kind", ["plain", "slow"])
def test_each_prompt_has_one_result(tmp_path: Path, kind: str) -> None:
    """A table with a row too few or too many, and nobody sees which."""

    async def main() -> list[llmfan.ResultLine]:
        source = Source(100)
        async with fan_of(tmp_path, {"a": Site()}) as (fan, _):
            return [result async for result in fan.map(getattr(source, kind)())]

    results = asyncio.run(main())
    assert sorted(result.index for result in results) == list(range(100))
    assert all(result.text == f"You said: Question {result.index}?" for result in results)


def test_results_come_in_the_order_they_end_unless_asked_otherwise(tmp_path: Path) -> None:
    """One slow answer would hold up a thousand that are there."""

    async def main(ordered: bool) -> list[int]:
        sites = {"slow": Site(first=0.3), "quick": Site()}
        only_one = {"limits": {"concurrency": 1, "rpm": 60000}}
        async with fan_of(tmp_path, sites, {"slow": {**only_one, "priority": 9}, "quick": only_one}) as (fan, _):
            return [result.index async for result in fan.map([str(n) for n in range(12)], ordered=ordered)]

    assert asyncio.run(main(ordered=True)) == list(range(12))
    as_they_end = asyncio.run(main(ordered=False))
    assert sorted(as_they_end) == list(range(12)) and as_they_end[0] != 0


@pytest.mark.parametrize("ordered", [True, False])
def test_no_more_is_read_than_was_said(tmp_path: Path, ordered: bool) -> None:
    """A source of ten million lines would be in memory after a minute."""

    async def main() -> int:
        source, taken, most = Source(60), 0, 0
        async with fan_of(tmp_path, {"a": Site(first=0.005)}) as (fan, _):
            async for _result in fan.map(source.plain(), ahead=7, ordered=ordered):
                most = max(most, source.read - taken)
                taken += 1
                if taken % 20 == 0:
                    await asyncio.sleep(0.03)  # a reader that is slow for once
                    most = max(most, source.read - taken + 1)
        assert taken == 60
        return most

    assert asyncio.run(main()) == 7


def test_how_far_it_reads_ahead_follows_the_fleet(tmp_path: Path) -> None:
    """A key of five a minute needs no thousand prompts in a queue, and a large fleet must not run dry."""

    async def main(axes: dict[str, float]) -> int:
        async with fan_of(tmp_path, {"a": Site()}, {"a": {"limits": axes}}) as (fan, _):
            return fan.ahead

    assert asyncio.run(main({"rpm": 5})) == 10
    assert asyncio.run(main({"rps": 2, "rpm": 60})) <= 240
    assert asyncio.run(main({"rpm": 60000})) == 1000


def test_a_failed_call_is_a_result(tmp_path: Path) -> None:
    """One prompt that a provider refuses would end a batch of a million."""

    async def main() -> list[llmfan.ResultLine]:
        async with fan_of(tmp_path, {"a": Site(dies="400", times=1)}, FOUR_AT_A_TIME) as (fan, _):
            return [result async for result in fan.map(["a", "b", "c"], ordered=True)]

    results = asyncio.run(main())
    assert sorted(result.status for result in results) == ["failed", "ok", "ok"]
    failed = next(result for result in results if result.status == "failed")
    assert failed.error is not None and failed.error.kind == "bad_request" and failed.text is None


def test_prompts_may_be_text_messages_or_documents(tmp_path: Path) -> None:
    """Each is what somebody has: a list of questions, a conversation, the lines of a prompt set."""
    prompts: list[Any] = [
        "plain",
        [{"role": "user", "content": "messages"}],
        {"id": "own", "question": "document", "max_tokens": 5, "system": "Own.", "metadata": {"row": 3}},
        {"custom_id": "own", "body": {"messages": [{"role": "user", "content": "batch line"}], "seed": 1}},
        {"turns": ["first", "second"]},
    ]

    async def main() -> tuple[list[llmfan.ResultLine], dict[str, dict[str, Any]]]:
        async with fan_of(tmp_path, {"a": Site()}) as (fan, far):
            settings: dict[str, Any] = {"max_tokens": 50, "system": "Common.", "seed": 2, "metadata": "common"}
            results = [result async for result in fan.map(prompts, ordered=True, **settings)]
            return results, {text_of(seen.asked): seen.asked for seen in far.seen}

    results, asked = asyncio.run(main())
    assert [r.text for r in results] == [
        f"You said: {t}" for t in ("plain", "messages", "document", "batch line", "second")
    ]
    assert (asked["plain"]["max_tokens"], asked["document"]["max_tokens"]) == (50, 5)
    assert (asked["plain"]["seed"], asked["batch line"]["seed"]) == (2, 1)
    assert asked["plain"]["messages"][0]["content"] == "Common."
    assert [m["content"] for m in asked["document"]["messages"]] == ["Own.", "document"]
    assert [r.metadata for r in results[:3]] == ["common", "common", {"row": 3}]
    assert [r.id for r in results[2:4]] == ["own", "own"] and results[4].turns == [
        "You said: first",
        "You said: second",
    ]


def test_an_id_is_that_of_a_prompt_set(tmp_path: Path) -> None:
    """Results of a program could not be joined with those of a run over the same prompts."""
    from llmfan.inputs.prompts import check_prompts

    file = tmp_path / "prompts.jsonl"
    file.write_text('{"prompt": "Why?"}\n')
    with check_prompts(str(file)) as prompts:
        (expected,) = (prompt.id for prompt in prompts.prompts())

    async def main() -> list[str]:
        async with fan_of(tmp_path, {"a": Site()}) as (fan, _):
            asked = await fan.ask("Why?")
            return [asked.id, *[result.id async for result in fan.map(["Why?"])]]

    assert asyncio.run(main()) == [expected, expected]


@pytest.mark.parametrize(
    ("prompts", "settings", "said"),
    [
        (["fine", 7], {}, r"prompts\[1\]: expected text.*int"),
        (["fine", {"promt": "x"}], {}, r"prompts\[1\]: .*promt"),
        (["fine", {"prompt": "x", "max_tokens": -1}], {}, r"prompts\[1\]: max_tokens"),
        (["fine", [{"role": "usr", "content": "x"}]], {}, r'prompts\[1\]: messages\[0\]\.role: .*"user"'),
        (["fine", {"prompt": "x", "params": {"logprobs": True}}], {}, r"prompts\[1\]: .*logprobs"),
        (["fine", {"prompt": object()}], {}, r"prompts\[1\]: .*JSON"),
        (["fine", {"prompt": "x", "temprature": 3}], {}, r'prompts\[1\]: temprature: .*"temperature"'),
        (["fine", {"prompt": "x", "maxTokens": 3}], {}, r'prompts\[1\]: maxTokens: .*"max_tokens"'),
        (["fine", {"prompt": "x", "top_p": 0.5}], {}, r'prompts\[1\]: top_p: .*"params"'),
        (["fine", {"prompt": "x", "model": "a"}], {}, r"prompts\[1\]: model: .*model=…"),
        (["fine", 7], {}, "the map ends here; the results of all prompts before this one were given"),
        (["fine", {"promt": "x"}], {}, "the map ends here"),
        (["fine", {"one": "x"}], {}, 'among "one"\n'),
    ],
)
def test_a_bad_prompt_is_named_by_its_position(
    tmp_path: Path, prompts: list[Any], settings: dict[str, Any], said: str
) -> None:
    """Nobody finds it among a million; and what was answered before it has been paid for."""

    async def main() -> list[str | None]:
        texts: list[str | None] = []
        async with fan_of(tmp_path, {"a": Site()}, {"a": {"api": "anthropic"}}) as (fan, _):
            with pytest.raises(llmfan.UserError, match=said):
                async for result in fan.map(prompts, **settings):
                    texts.append(result.id)
        return texts

    assert len(asyncio.run(main())) == 1


def test_any_column_may_stand_beside_a_prompt(tmp_path: Path) -> None:
    """A table with a column `score` or `topic` could not be asked about: they look like `store` and `top_p`."""
    columns = dict.fromkeys(
        ("score", "topic", "user", "n", "reasoning", "answers", "targets", "source_id", "temp"), "x"
    )
    rows = [{"prompt": "Why?", "id": "same", "model": None, **columns}] * 3

    async def main() -> list[str]:
        async with fan_of(tmp_path, {"a": Site()}) as (fan, far):
            results = [result async for result in fan.map(rows)]
            assert all(columns.keys().isdisjoint(seen.asked) for seen in far.seen)
            return [result.id for result in results if result.status == "ok"]

    assert asyncio.run(main()) == ["same"] * 3


@pytest.mark.parametrize(
    ("prompts", "settings", "said"),
    [
        ("one text", {}, "put it in a list"),
        (b"one", {}, "put it in a list"),
        (None, {}, "iterable, got NoneType"),
        (["a"], {"ahead": "5"}, "ahead"),
        (["a"], {"orderd": True}, 'orderd: .*"ordered"'),
        (["a"], {"max_wait": "soon"}, "max_wait"),
        (["a"], {"metadata": object()}, "metadata"),
        (["a"], {"system": 7}, "system"),
        (["a"], {"id": "x"}, "id: .*prompt"),
        (["a"], {"model": "n"}, "no model"),
        (["a"], {"ahead": 0}, "ahead"),
        (["a"], {"temperature": "warm"}, "temperature"),
        (["a"], {"stream": True}, "stream"),
        (["a"], {"logprobs": True}, "logprobs"),
    ],
)
def test_settings_are_checked_when_it_is_called(
    tmp_path: Path, prompts: Any, settings: dict[str, Any], said: str
) -> None:
    """Each of a million prompts would fail for the same slip."""

    async def main() -> None:
        async with fan_of(tmp_path, {"a": Site()}, {"a": {"api": "anthropic"}}) as (fan, far):
            with pytest.raises(llmfan.UserError, match=said):
                fan.map(prompts, **settings)
            assert not far.seen

    asyncio.run(main())


# ---------------------------------------------------------------- leaving it


@pytest.mark.parametrize("kind", ["plain", "slow"])
def test_leaving_the_loop_ends_all_of_it(tmp_path: Path, kind: str) -> None:
    """What is in flight would hold its permits and be paid for, and the source's file would stay open."""

    async def main() -> None:
        site, source = Site(dies="hang"), Source(1000)
        async with fan_of(tmp_path, {"a": Site(), "b": site}, {**FOUR_AT_A_TIME, "b": FOUR_AT_A_TIME["a"]}) as (
            fan,
            far,
        ):
            async for _ in fan.map(getattr(source, kind)(), ahead=20):
                break
            await soon(lambda: far.open == 0 and source.closed)
            sent = len(far.seen)
            site.dies = ""
            assert (await fan.ask("After?", model="b", max_wait=1.0)).status == "ok"
            assert len(far.seen) == sent + 1, "went on with the batch"
        assert source.read <= 21

    asyncio.run(main())


@pytest.mark.parametrize("kind", ["plain", "slow"])
def test_cancelling_the_reader_ends_all_of_it(tmp_path: Path, kind: str) -> None:
    """A program that shuts down would wait for a batch that nobody reads."""

    async def main() -> None:
        source = Source(1000)
        async with fan_of(tmp_path, {"a": Site(dies="hang")}, FOUR_AT_A_TIME) as (fan, far):

            async def read() -> None:
                async for _ in fan.map(getattr(source, kind)(), ahead=20):
                    pass

            reader = asyncio.create_task(read())
            await soon(lambda: far.open == 4)
            reader.cancel()
            await asyncio.wait([reader])
            assert reader.cancelled() and source.closed
            await soon(lambda: far.open == 0)

    asyncio.run(main())


@pytest.mark.parametrize("kind", ["plain", "slow"])
def test_a_source_that_fails_does_so_after_what_it_gave(tmp_path: Path, kind: str) -> None:
    """Answers that were paid for would be lost with it; or the failure itself would, and the batch pass for whole."""

    async def main() -> list[int]:
        source, got = Source(10, OSError("the disk is gone")), []
        async with fan_of(tmp_path, {"a": Site(first=0.02)}, FOUR_AT_A_TIME) as (fan, far):
            with pytest.raises(OSError, match="the disk is gone"):
                async for result in fan.map(getattr(source, kind)()):
                    got.append(result.index)
            assert far.open == 0
        return sorted(got)

    assert asyncio.run(main()) == list(range(10))


def test_a_source_that_waits_does_not_hold_up_results(tmp_path: Path) -> None:
    """A chat's next message depends on the answer to its last."""

    async def main() -> list[str | None]:
        answered: asyncio.Queue[str | None] = asyncio.Queue()

        async def talk() -> AsyncIterator[str]:
            yield "first"
            for _ in range(2):
                yield f"after {await answered.get()}"

        texts = []
        async with fan_of(tmp_path, {"a": Site()}) as (fan, _):
            async for result in fan.map(talk()):
                texts.append(result.text)
                answered.put_nowait(f"{len(texts)}")
        return texts

    assert asyncio.run(main()) == ["You said: first", "You said: after 1", "You said: after 2"]


def test_closing_the_fan_ends_a_map_that_is_being_read(tmp_path: Path) -> None:
    """Its reader would wait for ever."""

    async def main() -> None:
        source = Source(1000)
        async with fan_of(tmp_path, {"a": Site()}, FOUR_AT_A_TIME) as (fan, _):
            results = fan.map(source.plain())
            await anext(results)
            never_read = fan.map(["a"])
            await fan.__aexit__(None, None, None)
            for left in (results, never_read):
                with pytest.raises(RuntimeError, match="closed"):
                    async for _ in left:
                        pass
            assert source.closed

    asyncio.run(main())


# ---------------------------------------------------------------- beside others


def test_batches_never_overfill_the_queue(tmp_path: Path) -> None:
    """Their own calls would be refused as too many, and stand as failed in the results."""

    async def main() -> list[str]:
        async with fan_of(tmp_path, {"a": Site()}, FOUR_AT_A_TIME, queue=3) as (fan, _):

            async def whole() -> list[str]:
                return [result.status async for result in fan.map(Source(20).plain(), ahead=10)]

            return [status for statuses in await asyncio.gather(whole(), whole()) for status in statuses]

    assert asyncio.run(main()) == ["ok"] * 40


def test_a_call_goes_ahead_of_a_batch(tmp_path: Path) -> None:
    """A person would wait for an hour's work of a machine."""

    async def main() -> int:
        async with fan_of(tmp_path, {"a": Site(first=0.02)}, FOUR_AT_A_TIME) as (fan, far):

            async def read() -> None:
                async for _ in fan.map(Source(60).plain(), ahead=60):
                    pass

            reader = asyncio.create_task(read())
            await soon(lambda: len(far.seen) >= 4)
            await fan.ask("Somebody waits")
            before = [text_of(seen.asked) for seen in far.seen].index("Somebody waits")
            await reader
            return before

    assert asyncio.run(main()) < 20


async def _somebody(fan: llmfan.Fan, rng: random.Random) -> None:
    """Asks, streams or reads a batch, and goes away when it likes."""
    patience = rng.choice((0.0, 0.005, 0.02, 0.05, 5.0))
    with contextlib.suppress(TimeoutError, llmfan.CallFailed):
        async with asyncio.timeout(patience):
            match rng.randrange(3):
                case 0:
                    await fan.ask("One?", priority=rng.choice(("interactive", "batch")))
                case 1:
                    async for _ in await fan.chat([{"role": "user", "content": "Two?"}], stream=True):
                        if rng.random() < 0.3:
                            break
                case _:
                    async for _ in fan.map(Source(20).plain(), ahead=rng.randrange(1, 20)):
                        if rng.random() < 0.1:
                            break


@pytest.mark.parametrize("seed", range(3))
def test_whoever_goes_away_whenever_nothing_is_held_in_the_end(tmp_path: Path, seed: int) -> None:
    """A permit lost in one call of a thousand is a key lost by the evening."""

    async def main() -> None:
        rng = random.Random(seed)
        sites = {"a": Site(first=0.005, gap=0.002), "b": Site(first=0.001, dies="text", after=1, times=9)}
        entries = dict.fromkeys(sites, FOUR_AT_A_TIME["a"])
        async with fan_of(tmp_path, sites, entries) as (fan, far):
            await asyncio.gather(*(_somebody(fan, random.Random(rng.random())) for _ in range(60)))
            await soon(lambda: far.open == 0)
            assert (await fan.ask("Last?", model="a", max_wait=2.0)).status == "ok"
            assert [lane.in_flight for lane in fan._opened.lanes] == [0, 0]
            assert fan._opened.service.dispatcher.in_flight == 0 and not fan._opened.service.queue.back
            assert fan._places._value == 10_000

    asyncio.run(main())
