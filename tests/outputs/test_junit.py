"""The JUnit file, as other programs read it."""

from __future__ import annotations

import tracemalloc
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from junitparser import JUnitXml, TestCase, TestSuite

from llmfan.errors import UserError
from llmfan.outputs.junit import junit, write_junit
from llmfan.records import ErrorInfo, ResultLine

GATES = [
    {"expr": "failed_rate > 1%", "value": 0.003, "held": True, "why": "failed_rate is 0.3 %, and must not be over 1 %"},
    {"expr": 'latency_p95["<x>"] > 2s', "value": 2.41, "held": False, "why": "latency_p95 is 2.41 s & too much"},
]
SUMMARY: dict[str, Any] = {
    "totals": {"jobs": 1000, "ok": 997, "failed": 3, "unsent": 0, "duration_s": 12.5},
    "gates": GATES,
    "simulated": True,
}


def failed(id_: str = "p1", message: str = "bad", **more: Any) -> ResultLine:
    fields: dict[str, Any] = {
        "id": id_, "index": 4, "repeat": 0, "status": "failed", "provider": "one", "model": "org/m", "key": "one#1",
        "text": None, "reasoning": None, "finish_reason": None, "usage": None, "cost_usd": None, "wait_s": 0.25,
        "retry_s": 1.0, "ttft_s": None, "ttfo_s": None, "latency_s": None, "total_s": None, "attempts": 2,
        "error": ErrorInfo("bad_request", message, 400), "expect": None, "score": None, "metadata": None,
        "simulated": True,
    }  # fmt: skip
    return ResultLine(**{**fields, **more})


def text(summary: dict[str, Any], lines: list[ResultLine]) -> str:
    return b"".join(junit(summary, lines)).decode()


def suites(found: str) -> dict[str, ET.Element]:
    return {suite.get("name", ""): suite for suite in ET.fromstring(found)}


def test_an_independent_parser_finds_every_gate_and_failed_prompt(tmp_path: Path) -> None:
    """A file that CI cannot read shows a red run as one without tests."""
    path = tmp_path / "junit.xml"
    write_junit(path, SUMMARY, [failed("p1"), failed("p2", repeat=2), failed("p3", provider=None, model=None)])
    read = JUnitXml.fromfile(str(path))
    assert (read.tests, read.failures, read.errors, read.time) == (6, 4, 0, 12.5)
    gates, prompts = (suite for suite in read if isinstance(suite, TestSuite))
    assert [case.name for case in gates] == ["failed_rate > 1%", 'latency_p95["<x>"] > 2s']
    assert [case.is_passed for case in gates if isinstance(case, TestCase)] == [True, False]
    cases = [case for case in prompts if isinstance(case, TestCase)]
    assert [case.name for case in cases] == ["997 prompts answered", "p1", "p2 (repeat 2)", "p3"]
    assert [case.classname for case in cases[1:]] == ["one/org/m", "one/org/m", "no provider"]
    assert [case.time for case in cases[1:]] == [1.25] * 3
    (failure,) = cases[1].result
    assert (failure.type, failure.message) == ("bad_request", "400 bad_request: bad")
    assert sorted(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("gates", [[], GATES])
@pytest.mark.parametrize("lines", [[], [failed(), failed("p2")]])
@pytest.mark.parametrize("totals", [{}, {"jobs": 5, "ok": 3, "unsent": 4, "duration_s": None}])
def test_the_counts_are_those_of_the_cases(gates: list[Any], lines: list[ResultLine], totals: dict[str, Any]) -> None:
    """A reader that trusts the attributes and one that counts must not disagree on whether a run is green."""
    root = ET.fromstring(text({"gates": gates, "totals": totals}, lines))
    for element in (root, *root):
        assert element.get("tests") == str(len(list(element.iter("testcase"))))
        assert element.get("failures") == str(len(list(element.iter("failure"))))
        assert element.get("skipped") == str(len(list(element.iter("skipped"))))


def test_prompts_that_never_ended_are_skipped_and_not_failed() -> None:
    """A bound that was reached is no fault of a provider, and not done is not passed."""
    (case,) = suites(text({"totals": {"ok": 0, "unsent": 7}}, []))["prompts"].iter("testcase")
    assert case.get("name") == "7 prompts not done"
    assert case.find("skipped") is not None


def test_an_older_summary_will_do() -> None:
    """A saved run must not need the version that wrote it."""
    found = suites(text({}, [failed(error=None)]))
    failure = found["prompts"].find("testcase/failure")
    assert failure is not None
    assert failure.get("type") == "unknown"


@given(
    st.text(alphabet=st.one_of(st.characters(), st.sampled_from("\x00\x1b\x85\ud800\ufffe\uffff<>&\"']]>\n\r\u202e")))
)
def test_no_answer_can_break_the_file(hostile: str) -> None:
    """One control character in one error message, and CI shows nothing at all."""
    gate = {"expr": hostile, "held": False, "why": hostile}
    line = failed(hostile, hostile, provider=hostile, key=hostile, error=ErrorInfo(hostile, hostile))
    root = ET.fromstring(text({"gates": [gate]}, [line]))
    assert [element.tag for element in root.iter()] == [
        "testsuites", "testsuite", "testcase", "failure", "testsuite", "properties", "property", "testcase", "failure",
    ]  # fmt: skip
    assert "\x1b" not in "".join(root.itertext())


def test_messages_are_cut() -> None:
    """A page of HTML as an error message, a thousand times, is a file that CI refuses."""
    found = suites(text({}, [failed("i" * 9000, "m" * 9000)]))["prompts"].find("testcase")
    assert found is not None
    failure = found.find("failure")
    assert failure is not None
    assert len(found.get("name", "")) == 200
    assert len(failure.get("message", "")) == 2000
    assert len(failure.text or "") < 2200


def test_many_failures_need_no_memory(tmp_path: Path) -> None:
    """A dead endpoint fails a whole large set; the file for CI must not be what ends the run."""

    def lines() -> Iterator[ResultLine]:
        for at in range(10_000):
            yield failed(f"p{at}", "m" * 1000)

    path = tmp_path / "junit.xml"
    tracemalloc.start()
    try:
        write_junit(path, SUMMARY, lines())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert path.stat().st_size > 20_000_000
    assert peak < 6_000_000
    assert sum(element.tag == "failure" for _, element in ET.iterparse(path)) == 10_001


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """After hours of a run, a traceback instead of the path that is missing."""
    path = tmp_path / "missing" / "junit.xml"
    with pytest.raises(UserError, match="missing"):
        write_junit(path, SUMMARY, [])
