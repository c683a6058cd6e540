"""`--abort-if`: looks now and then, and stops on a figure that rests on enough."""

from __future__ import annotations

from llmfan.gatekeeper import Gatekeeper
from llmfan.measures.accumulate import Accumulator
from llmfan.measures.gates import parse
from llmfan.records import ErrorInfo
from tests.measures.test_accumulate import WHO, attempt, result


def failed(accumulator: Accumulator, count: int, who: tuple[str, str, str] = WHO[0]) -> None:
    for _ in range(count):
        accumulator.attempt(attempt(who, outcome="timeout"))
        accumulator.result(result(who, status="failed", error=ErrorInfo("timeout", "x")))


def test_twenty_failures_stop_a_run_and_nineteen_do_not() -> None:
    """On the first failure it would stop good runs, after a thousand it would save nothing."""
    accumulator = Accumulator()
    keeper = Gatekeeper([parse("failed_rate > 20%", {"a", "b"})], accumulator)
    failed(accumulator, 19)
    assert keeper.look(1.0) == ""
    failed(accumulator, 1)
    assert keeper.look(1.5) == ""  # not due yet
    assert keeper.look(2.5).startswith("--abort-if failed_rate > 20%: ")
    (verdict,) = keeper.verdicts({"totals": {"failed_rate": 0.1, "jobs": 400}})  # what came in later changes nothing
    assert (verdict["expr"], verdict["value"], verdict["held"]) == ("failed_rate > 20%", 1.0, False)


def test_a_gate_of_one_provider_looks_at_that_one_only() -> None:
    """A broken provider among ten good ones is below any whole run's threshold."""
    accumulator = Accumulator()
    keeper = Gatekeeper([parse("failed_rate[b] > 20%", {"a", "b"})], accumulator)
    failed(accumulator, 40)
    for _ in range(30):
        accumulator.attempt(attempt(WHO[3]))
        accumulator.result(result(WHO[3]))
    assert keeper.look(1.0) == ""
    failed(accumulator, 10, WHO[3])
    assert keeper.look(9.0)


def test_a_gate_that_holds_lets_the_run_go_on() -> None:
    """And costs next to nothing where nothing has ended since."""
    accumulator = Accumulator()
    keeper = Gatekeeper([parse("latency_p95 > 2s", set())], accumulator)
    for _ in range(100):
        accumulator.result(result(latency_s=1.0))
    assert keeper.look(1.0) == ""
    assert keeper.verdicts({"latency_s": {"p95": 1.0, "n": 100}})[0]["held"]


def test_too_few_observations_fail_no_run() -> None:
    """Three slow answers of three are no reason to stop, and so none to fail."""
    keeper = Gatekeeper([parse("latency_p95 > 2s", set())], Accumulator())
    (verdict,) = keeper.verdicts({"latency_s": {"p95": 9.0, "n": 3}})
    assert verdict["held"]
    assert "3 observations" in verdict["why"]
