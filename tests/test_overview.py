"""What there is to see of a fleet at work: the ledger's document, right to the moment, and cheap to ask for."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmfan.engine import Engine
from llmfan.entries import Tally
from llmfan.ledgers.memory import MemoryLedger
from llmfan.ledgers.opening import open_archive, open_ledger
from llmfan.options import RunOptions
from llmfan.overview import FRESH_S
from llmfan.ports import Ledger
from llmfan.records import Known, KnownLimit, Prompt
from llmfan.settings import Fleet, Provider
from llmfan.simulation.fake import Behaviour, ScriptedFleet, always, good, hanging, in_turn, limited
from llmfan.simulation.loop import run_virtual
from llmfan.status.document import status_document
from llmfan.status.past import read_past
from llmfan.transports.virtual import VirtualTransport
from tests.scenarios.world import provider

#: What is of the moment, or of when something was written down.
OF_THE_MOMENT = {"at", "available_in_s", "resets_in_s", "resets_at", "until", "measured_at", "reported_at"}


class Bed:
    """An engine over scripted providers, on the virtual clock."""

    def __init__(self, engine: Engine, far: ScriptedFleet):
        self.engine, self.far, self.overview = engine, far, engine.overview
        self.clock = asyncio.get_running_loop().time

    async def ask(self, count: int, **how: Any) -> None:
        """Asks so much, and waits for all of it."""
        prompt = Prompt(id="", index=0, messages=[{"role": "user", "content": "Question?"}], max_tokens=10)
        tickets = [self.engine.submit(prompt, **how) for _ in range(count)]
        await asyncio.gather(*(ticket.result for ticket in tickets))

    def key(self, label: str = "a#1") -> dict[str, Any]:
        keys = [key for entry in self.overview.status()["quota_status"].values() for key in entry["keys"]]
        return next(dict(key) for key in keys if key["key"] == label)


def play(
    providers: list[Provider],
    behaviours: dict[str, Behaviour],
    story: Callable[[Bed], Awaitable[Any]],
    ledger: Callable[[Fleet, Callable[[], float]], Ledger] | None = None,
    options: RunOptions | None = None,
) -> Any:
    """`ledger` is given the fleet and what tells Unix time in it."""

    async def main() -> Any:
        far, fleet = ScriptedFleet(behaviours), Fleet(file="virtual", providers=providers)
        clock = asyncio.get_running_loop().time
        began, since = time.time(), clock()
        made = None if ledger is None else ledger(fleet, lambda: began + clock() - since)
        engine = Engine(
            fleet, options or RunOptions(), env={}, ledger=made, clock=clock,
            transport=VirtualTransport(far.providers, clock),
        )  # fmt: skip
        async with engine:
            return await story(Bed(engine, far))

    return run_virtual(main)


def lasting(value: Any) -> Any:
    """Without what is of the moment."""
    if isinstance(value, dict):
        return {name: lasting(each) for name, each in value.items() if name not in OF_THE_MOMENT}
    return [lasting(each) for each in value] if isinstance(value, list) else value


# ---------------------------------------------------------------- the figures are right


def test_it_is_the_document_that_the_status_command_writes(tmp_path: Path) -> None:
    """Two figures for one thing, on a page and on a terminal beside it, and neither is believed any more."""
    place = str(tmp_path / "ledger.sqlite3")
    fleets: list[tuple[Fleet, Callable[[], float]]] = []

    def opened(fleet: Fleet, wall: Callable[[], float]) -> Ledger:
        fleets.append((fleet, wall))
        ledger = open_ledger(place, fleet, pytest.fail, wall, wall)
        probed = KnownLimit(
            owner="a#1", axis="rpm", declared=30.0, measured=20.0, counts="sliding", confidence=0.95, at=wall() - 3600
        )
        ledger.keep(Known(limits=[probed]))
        return ledger

    async def story(bed: Bed) -> tuple[dict[str, Any], dict[str, Any]]:
        await bed.ask(25)
        await asyncio.sleep(2.0)
        now = bed.clock()
        bed.overview.clerk.keep(now)
        fleet, wall = fleets[0]
        at = dt.datetime.fromtimestamp(bed.overview.moments.unix(now), dt.UTC)
        past = read_past(open_archive(place, fleet, pytest.fail, wall), fleet, at)
        return status_document(fleet, past, at), bed.overview.status()

    axes = {"rpm": 30.0, "rpd": 1000.0, "tpm": 60_000.0}
    providers = [provider("a", 2, axes=axes), provider("b", 2, models=["x", "y"], axes={"rpm": 20.0}, per_model=True)]
    behaviours = {"a": limited("sliding", 3, 60.0), "b": in_turn(always(500), good(0.2))}
    written, shown = play(providers, behaviours, story, opened)
    assert lasting(shown) == lasting(written)
    assert shown["at"] == written["at"]
    assert shown["quota_status"]["b"]["keys"][0]["models"], "nothing of several models was compared"
    rpm = [key["limits"]["rpm"] for key in shown["quota_status"]["a"]["keys"]]
    assert (rpm[0]["counts"], rpm[1]["counts"]) == ("sliding", None)
    assert rpm[1]["measured"] is not None, "nothing that was learned was compared"


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 12), st.floats(FRESH_S, 40.0)), min_size=1, max_size=5))
def test_what_is_used_is_what_the_provider_has_got_within_the_minute(steps: list[tuple[int, float]]) -> None:
    """A bar that lags shows room where the next call will wait, or a wait where there is room."""

    async def story(bed: Bed) -> None:
        for count, pause in steps:
            await bed.ask(count)
            await asyncio.sleep(pause)
            now = bed.clock()
            got = [seen.at for seen in bed.far.seen]
            edge = sum(59.4 < now - at < 60.6 for at in got)  # a request may arrive half a second late
            used = bed.key()["limits"]["rpm"]["used"]
            assert abs(used - sum(now - at <= 60.0 for at in got)) <= edge
            assert bed.key()["limits"]["rpd"]["used"] == len(got)

    play([provider("a", axes={"rpm": 30.0, "rpd": 500.0})], {"a": good(0.1)}, story)


def test_a_fast_clock_has_short_windows() -> None:
    """With --simulate-speed 10 a minute's window is over after six seconds, on the page as in the fleet."""

    async def story(bed: Bed) -> None:
        await bed.ask(6)
        await asyncio.sleep(1.0)
        limits = bed.key()["limits"]
        assert (limits["rpm"]["used"], limits["rpd"]["used"]) == (6, 6)
        assert 0 < limits["rpm"]["resets_in_s"] < 6.0
        assert 0 < limits["rpd"]["resets_in_s"] <= 8640.0
        await asyncio.sleep(6.0)
        limits = bed.key()["limits"]
        assert (limits["rpm"]["used"], limits["rpd"]["used"], limits["rpm"]["resets_in_s"]) == (0, 6, None)
        waiting = asyncio.ensure_future(bed.ask(1))
        await asyncio.sleep(1.0)
        assert bed.key()["state"] == "exhausted"
        assert 0 < bed.key()["available_in_s"] <= 8640.0
        waiting.cancel()

    axes = {"rpm": 60.0, "rpd": 6.0}
    play([provider("a", axes=axes)], {"a": good()}, story, options=RunOptions(speed=10.0))


def test_a_limit_of_less_than_one_a_second_is_told_as_it_stands_in_the_file() -> None:
    """Half a request a second is counted as one in two: `1 of 0.5` would look like a limit that was passed."""

    async def story(bed: Bed) -> None:
        await bed.ask(1)
        rps = bed.key()["limits"]["rps"]
        assert (rps["used"], rps["in_force"]) == (0.5, 0.5)

    play([provider("a", axes={"rps": 0.5})], {"a": good()}, story)


def test_a_ready_key_whose_window_is_full_says_when_its_next_request_may_leave() -> None:
    """`ready` and `0.0 s` beside a queue that stands looks like a service that hangs."""

    async def story(bed: Bed) -> None:
        await bed.ask(8)
        waiting = asyncio.ensure_future(bed.ask(3))
        await asyncio.sleep(1.0)
        entry = bed.overview.status()["quota_status"]["a"]
        waits = [key["available_in_s"] for key in entry["keys"]]
        assert {(key["state"], key["until"]) for key in entry["keys"]} == {("ready", None)} and entry["available"]
        assert min(waits) > 50.0 and entry["available_in_s"] == min(waits)
        assert waits == [key["limits"]["rpm"]["resets_in_s"] for key in entry["keys"]]
        lanes = bed.overview.document()["keys"]
        assert [lane["state"] for lane in lanes] == ["waits", "waits"]
        assert [lane["back_in_s"] for lane in lanes] == pytest.approx(waits, abs=1.0)
        await waiting
        await asyncio.sleep(70.0)
        assert bed.key()["available_in_s"] == 0.0

    play([provider("a", 2, axes={"rpm": 4.0})], {"a": good(0.1)}, story)


def test_a_day_that_rolls_says_when_the_next_request_may_leave() -> None:
    """Where nothing is left of it, what comes back first is what one waits for."""

    async def story(bed: Bed) -> None:
        await bed.ask(2)
        await asyncio.sleep(100.0)
        key = bed.key()
        assert key["state"] == "exhausted"
        assert key["limits"]["rpd"]["resets_in_s"] == pytest.approx(86_400 - 100, abs=5)
        assert key["available_in_s"] == pytest.approx(86_400 - 100, abs=5)

    play([provider("a", axes={"rpd": 2.0}, reset="rolling")], {"a": good()}, story)


def test_keys_that_share_an_account_are_counted_once() -> None:
    """Each of them can use only what the others leave: two bars that add up to the limit would show it twice."""

    async def story(bed: Bed) -> None:
        await bed.ask(10)
        used = {label: bed.key(label)["limits"]["rpm"]["used"] for label in ("a#1", "a#2")}
        assert used == {"a#1": 10, "a#2": 10}
        assert bed.key("a#1")["limits"]["rpm"]["shared_with"] == ["a#2"]

    team = provider("a", 2, axes={"rpm": 30.0}, accounts=["team", "team"], shared="account")
    play([team], {"a": good()}, story)


def test_a_key_that_rests_says_until_when_to_the_moment() -> None:
    """Who watches a countdown wants the key to be back when it ends, after short rests as after long ones."""

    async def story(bed: Bed) -> None:
        asking = asyncio.ensure_future(bed.ask(1))
        await asyncio.sleep(1.0)
        key = bed.key()
        assert (key["state"], key["available_in_s"]) == ("cooldown", pytest.approx(2.0, abs=0.5))
        await asking
        await asyncio.sleep(FRESH_S)
        assert bed.key()["state"] == "ready"

    refusal = always(429, {"error": {"message": "slow down"}}, {"retry-after": "3"})
    play([provider("a", axes={"rpm": 30.0})], {"a": in_turn(refusal, good())}, story)


def test_a_key_that_is_refused_for_good_is_invalid_at_once() -> None:
    """The page is where one looks why nothing is answered any more."""

    async def story(bed: Bed) -> None:
        assert bed.key()["state"] == "ready"
        await bed.ask(1)
        await asyncio.sleep(FRESH_S)
        assert bed.key()["state"] == "invalid"
        assert bed.overview.status()["failed_providers"] == ["a"]

    play([provider("a")], {"a": always(401, {"error": {"message": "Invalid API key"}})}, story)


def test_a_limit_that_the_server_tells_of_is_in_force_at_once() -> None:
    """The ledger is told every half minute only: till then the bar would be drawn against the wrong length."""

    async def story(bed: Bed) -> None:
        bed.overview.status()
        await bed.ask(5)
        await asyncio.sleep(3.0)
        rpm = bed.key()["limits"]["rpm"]
        assert rpm["measured"] is not None, "a refusal taught nothing"
        assert rpm["used"] <= rpm["declared"]

    play([provider("a", axes={"rpm": 300.0})], {"a": limited("sliding", 4, 10.0)}, story)


def test_what_was_known_before_stands_until_something_newer_is() -> None:
    """A fleet that has just begun knows from the ledger what its keys can do."""

    def remembering(fleet: Fleet, wall: Callable[[], float]) -> Ledger:
        ledger = MemoryLedger()
        limit = KnownLimit(owner="a#1", axis="rpd", reported=700.0, at=wall() - 3600)
        ledger.keep(Known(limits=[limit]))
        ledger.tally([Tally(key="a#1", model="m", at=wall() - 120, sent=7, ok=6, failed=1, latency_s=6.0)])
        return ledger

    async def story(bed: Bed) -> None:
        await bed.ask(2)
        key = bed.key()
        assert (key["limits"]["rpd"]["in_force"], key["limits"]["rpd"]["used"]) == (700, 2)
        assert (key["all"]["sent"], key["all"]["ok"]) == (9, 8)

    play([provider("a", axes={"rpd": 1000.0})], {"a": good()}, story, remembering)


# ---------------------------------------------------------------- and cheap to ask for


def test_who_asks_often_gets_the_same_document() -> None:
    """The page and `/api/llm-providers` are to be equal, and asking a thousand times a second must cost nothing."""

    async def story(bed: Bed) -> None:
        first = bed.overview.status()
        await asyncio.sleep(FRESH_S / 2)
        assert bed.overview.status() is first
        assert bed.overview.document()["status"] is first
        assert await bed.overview.refreshed() is first
        await asyncio.sleep(FRESH_S)
        assert bed.overview.status()["at"] > first["at"]

    play([provider("a")], {"a": good()}, story)


def test_step_by_step_it_is_the_same_document() -> None:
    """Who serves calls makes it in steps, who is asked by a script at once."""

    async def story(bed: Bed) -> None:
        await bed.ask(8)
        stepwise = await bed.overview.refreshed()
        bed.overview._status_at = -FRESH_S
        assert bed.overview.status() == stepwise

    play([provider("a", 2, axes={"rpm": 30.0}), provider("b", models=["x", "y"])], {"a": good(), "b": good()}, story)


class Counting(MemoryLedger):
    """`read`: how often it was read through."""

    read = 0

    def tallied(self, since: float) -> list[Tally]:
        self.read += 1
        return super().tallied(since)


def test_the_ledger_is_not_read_again_while_nobody_else_writes() -> None:
    """A year of fifty keys takes tens of milliseconds to read: each second, callers would feel it."""
    ledger = Counting()

    async def story(bed: Bed) -> None:
        for n in range(200):
            await bed.ask(1)
            await asyncio.sleep(1.0)
            assert bed.key()["all"]["sent"] == n + 1
        assert ledger.read == 1

    play([provider("a")], {"a": good()}, story, lambda fleet, wall: ledger)


def test_what_another_process_has_sent_is_seen_soon(tmp_path: Path) -> None:
    """A batch beside the server takes of the same day: its calls belong on the page as well."""
    others: list[Ledger] = []

    def opened(fleet: Fleet, wall: Callable[[], float]) -> Ledger:
        place = str(tmp_path / "ledger.sqlite3")
        others.append(open_ledger(place, fleet, pytest.fail, wall, wall))
        return open_ledger(place, fleet, pytest.fail, wall, wall)

    async def story(bed: Bed) -> None:
        await bed.ask(3)
        assert bed.key()["all"]["sent"] == 3
        at = bed.overview.moments.unix(bed.clock())
        others[0].tally([Tally(key="a#1", model="m", at=at // 60 * 60, sent=40, ok=40, latency_s=40.0)])
        await asyncio.sleep(16.0)
        assert bed.key()["all"]["sent"] == 43
        others[0].close()

    play([provider("a", axes={"rpm": 30.0})], {"a": good()}, story, opened)


# ---------------------------------------------------------------- the dashboard's document


def test_the_document_says_what_is_going_on_now() -> None:
    """In flight, waiting and done are the first figures one looks at."""

    async def story(bed: Bed) -> None:
        asking = [asyncio.ensure_future(bed.ask(3)), asyncio.ensure_future(bed.ask(4, batch=True))]
        await asyncio.sleep(0.05)
        shown = bed.overview.document()
        now = shown["now"]
        assert (shown["what"], now["total"], now["in_flight"]) == ("serve", None, 1)
        assert now["waiting"] == {"interactive": 2, "batch": 4}
        assert sum(key["in_flight"] for key in shown["keys"]) == 1
        await asyncio.gather(*asking)
        shown = bed.overview.document()
        now = shown["now"]
        assert (now["done"], now["ok"], now["failed"], now["attempts"]) == (7, 7, 0, 7)
        assert now["latency_p50_s"] == pytest.approx(0.1, rel=0.02)
        assert sum(row["ok"] for row in shown["minutes"]["rows"]) == 7
        assert [(key["key"], key["state"], key["ok"]) for key in shown["keys"]] == [("a#1", "ready", 7)]

    play([provider("a", axes={"concurrency": 1})], {"a": good(0.1)}, story)


def test_every_failure_is_told_with_when_and_where() -> None:
    """`failed 3` alone helps nobody: one has to see which key, which status and what the server said."""

    async def story(bed: Bed) -> None:
        await bed.ask(1)
        failure = bed.overview.document()["failures"][0]
        assert (failure["provider"], failure["key"], failure["http_status"]) == ("a", "a#1", 400)
        assert "no such field" in failure["message"]
        ago = bed.overview.moments.unix(bed.clock()) - dt.datetime.fromisoformat(failure["at"]).timestamp()
        assert 0 <= ago < 1

    play([provider("a")], {"a": always(400, {"error": {"message": "no such field"}})}, story)


def test_attempts_that_others_made_good_are_no_failed_calls() -> None:
    """`failed 1` in red beside a hundred answers sends somebody looking for a call that was lost."""

    async def story(bed: Bed) -> None:
        await bed.ask(1)
        await asyncio.sleep(FRESH_S)
        shown = bed.overview.document()
        now = shown["now"]
        assert (now["ok"], now["failed"], now["attempts"]) == (1, 0, 3)
        assert (now["rate_limited"], now["attempts_failed"]) == (1, 1)
        said = [(each["kind"], each["message"]) for each in shown["failures"]]
        assert [kind for kind, _ in said] == ["server_error", "rate_limited"]
        assert "out of order" in said[0][1] and "slow down" in said[1][1], "an attempt's own words were lost"

    refused = always(429, {"error": {"message": "slow down"}}, {"retry-after": "1"})
    broken = always(500, {"error": {"message": "out of order"}})
    play([provider("a")], {"a": in_turn(refused, broken, good())}, story)


def test_no_key_is_in_what_can_be_seen() -> None:
    """Servers quote keys in their messages, and a page is looked at by others."""
    quoting = {"error": {"message": "Incorrect API key provided: a-key-number-1. Ask for another."}}

    async def story(bed: Bed) -> bytes:
        await bed.ask(1)
        await asyncio.sleep(FRESH_S)
        return msgspec.json.encode(bed.overview.document())

    for models in (["m"], ["tuned-with-a-key-number-1"]):  # a user can put a key anywhere
        written = play([provider("a", models=models)], {"a": always(401, quoting)}, story)
        assert b"Incorrect API key" in written
        assert b"a-key-number-1" not in written


def test_a_fleet_that_has_not_done_anything_is_shown_all_the_same() -> None:
    """The page is opened before the first call: dashes, not an error."""

    async def story(bed: Bed) -> Any:
        return msgspec.json.decode(msgspec.json.encode(bed.overview.document()))

    shown = play([provider("a")], {"a": hanging()}, story)
    now = shown["now"]
    assert (now["done"], now["latency_p50_s"], now["requests_per_s"], now["cost_usd"]) == (0, None, None, None)
    assert shown["folder"] is None
    assert shown["status"]["quota_status"]["a"]["calls_today"] == 0
