"""`llmfan.ask`, `chat`, `map`: the Python API for scripts, without `await`."""

from __future__ import annotations

import asyncio
import inspect
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import llmfan
from llmfan.fan.fields import FIELDS, OF_THE_FAN
from tests.beds.upstream import Site, Upstream, threaded
from tests.fan_bed import providers_file

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _no_thread_left() -> Iterator[None]:
    """A thread for every call would be a leak that ends the program after an hour."""
    yield
    assert not [thread for thread in threading.enumerate() if thread.name == "llmfan"]


def settings_for(folder: Path, far: Upstream, entries: Any = None) -> dict[str, Any]:
    return {"providers": providers_file(folder, far, entries), "env": {}, "state": folder / "ledger.db"}


def wait_until(holds: Callable[[], bool], within: float = 5.0) -> None:
    end = time.monotonic() + within
    while not holds():
        assert time.monotonic() < end, "it never came about"
        threading.Event().wait(0.005)


def test_a_script_asks_without_await(tmp_path: Path) -> None:
    """Most who try it have five lines and no event loop."""
    with threaded({"a": Site()}) as far:
        given = settings_for(tmp_path, far)
        asked = llmfan.ask("Hello?", **given, temperature=0.5, seed=3)
        talked = llmfan.chat([{"role": "user", "content": "And you?"}], **given)
        results = list(llmfan.map([str(n) for n in range(30)], **given, ordered=True, max_tokens=7))
        assert (far.seen[0].asked["temperature"], far.seen[0].asked["seed"]) == (0.5, 3)
        assert far.seen[-1].asked["max_tokens"] == 7
    assert (asked.text, talked.text) == ("You said: Hello?", "You said: And you?")
    assert [result.text for result in results] == [f"You said: {n}" for n in range(30)]


def test_it_works_where_a_loop_is_running(tmp_path: Path) -> None:
    """In a notebook everything runs inside one; `asyncio.run` would raise there."""

    async def cell(given: dict[str, Any]) -> list[str | None]:
        return [llmfan.ask("Hello?", **given).text, *[result.text for result in llmfan.map(["a"], **given)]]

    with threaded({"a": Site()}) as far:
        assert asyncio.run(cell(settings_for(tmp_path, far))) == ["You said: Hello?", "You said: a"]


def test_exceptions_come_as_they_are(tmp_path: Path) -> None:
    """`except llmfan.CallFailed` would catch nothing if the thread wrapped it."""
    with threaded({"a": Site(dies="400")}) as far:
        given = settings_for(tmp_path, far)
        with pytest.raises(llmfan.CallFailed, match="bad_request"):
            llmfan.ask("Hello?", **given)
        with pytest.raises(llmfan.UserError, match="no model"):
            list(llmfan.map(["a"], **given, model="n"))
        with pytest.raises(llmfan.UserError, match=r"prompts\[0\]"):
            list(llmfan.map([7], **given))
    with pytest.raises(llmfan.UserError, match="no such file"):
        llmfan.fleet_status(tmp_path / "none.yaml", env={})
    with pytest.raises(llmfan.UserError, match="chat"):
        llmfan.chat([], stream=True)
    with pytest.raises(llmfan.UserError, match="list"):
        llmfan.map("one text")


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: llmfan.ask("x", simulat=True), 'did you mean "simulate"'),
        (lambda: llmfan.ask("x", ordered=True), "a setting of map"),
        (lambda: llmfan.chat([], temprature=1), 'did you mean "temperature"'),
        (lambda: llmfan.map(["x"], orderd=True), 'did you mean "ordered"'),
        (lambda: llmfan.map(7), "iterable"),  # type: ignore[arg-type]
        (lambda: llmfan.fleet_status(simulat=True), 'did you mean "simulate"'),
    ],
)
def test_a_slip_is_said_before_a_fleet_is_opened(
    call: Callable[[], Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`simulat=True` would ask the real fleet, and cost money."""
    monkeypatch.setattr("llmfan.twins.Fan.__aenter__", None)
    with pytest.raises(llmfan.UserError, match=said):
        call()


def test_what_is_the_fleets_goes_to_the_fleet() -> None:
    """A setting of the fleet that is sent as a field of the request does nothing, and nobody notices."""
    known = set(inspect.signature(llmfan.Fan).parameters)
    assert known - {"providers", "max_wait", "seed"} == OF_THE_FAN
    for call in (llmfan.Fan.ask, llmfan.Fan.chat, llmfan.Fan.map):
        assert not OF_THE_FAN & {*inspect.signature(call).parameters, *FIELDS}


def test_the_source_is_read_in_the_callers_thread_and_not_too_far(tmp_path: Path) -> None:
    """A database's rows cannot be read from another thread, and ten million of them not at once."""
    read = taken = 0
    threads = set()

    def source() -> Iterator[str]:
        nonlocal read
        for number in range(40):
            threads.add(threading.current_thread())
            read += 1
            yield str(number)

    with threaded({"a": Site(first=0.01)}) as far:
        ahead = []
        for _ in llmfan.map(source(), **settings_for(tmp_path, far), ahead=6):
            ahead.append(read - taken)
            taken += 1
    assert taken == 40 and max(ahead) == 6
    assert threads == {threading.current_thread()}


def test_a_source_that_fails_does_so_after_what_it_gave(tmp_path: Path) -> None:
    """Answers that were paid for would be lost with it."""

    def source() -> Iterator[str]:
        yield from ("a", "b")
        raise OSError("the disk is gone")

    got = []
    with threaded({"a": Site(first=0.02)}) as far:
        with pytest.raises(OSError, match="the disk is gone"):
            for result in llmfan.map(source(), **settings_for(tmp_path, far)):
                got.append(result.text)
        assert far.open == 0
    assert sorted(map(str, got)) == ["You said: a", "You said: b"]


def test_leaving_the_loop_ends_all_of_it(tmp_path: Path) -> None:
    """What is in flight would be paid for, and the thread would stay."""
    closed = []

    def source() -> Iterator[str]:
        try:
            yield from map(str, range(1000))
        finally:
            closed.append(True)

    entries = {name: {"limits": {"concurrency": 3, "rpm": 60000}} for name in "ab"}
    with threaded({"a": Site(), "b": Site(dies="hang")}) as far:
        prompts = source()
        for _ in llmfan.map(prompts, **settings_for(tmp_path, far, entries), ahead=20):
            break
        wait_until(lambda: far.open == 0)
        assert closed == [True] and not [t for t in threading.enumerate() if t.name == "llmfan"]


def test_a_generator_that_was_never_read_opens_nothing() -> None:
    """It would leave a thread behind."""
    results = llmfan.map(["a"], simulate=True)
    assert not [t for t in threading.enumerate() if t.name == "llmfan"]
    results.close()


SCRIPT = """
import llmfan, sys
try:
    {call}
finally:
    print("left", flush=True)
"""


@pytest.mark.parametrize(
    "call",
    ["llmfan.ask('Hello?', sys.argv[1], env={})", "[r for r in llmfan.map(map(str, range(99)), sys.argv[1], env={})]"],
)
def test_ctrl_c_ends_it_cleanly(tmp_path: Path, call: str) -> None:
    """A script that cannot be stopped is killed, and leaves requests at the provider that are paid for."""
    with threaded({"a": Site(dies="hang")}) as far:
        file = providers_file(tmp_path, far)
        env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}
        process = subprocess.Popen(
            [sys.executable, "-W", "always", "-c", SCRIPT.format(call=call), str(file)],
            env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        wait_until(lambda: far.open > 0, 20.0)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)
        wait_until(lambda: far.open == 0)
    assert out == "left\n" and process.returncode == -signal.SIGINT
    assert err.rstrip().endswith("KeyboardInterrupt")
    assert "never awaited" not in err and "was destroyed" not in err and "Warning" not in err


def test_a_second_ctrl_c_leaves_at_once_and_is_told_once(tmp_path: Path) -> None:
    """Two tracebacks of llmfan's own look like a fault of it, and hide the line of the script."""
    code = (
        "import asyncio, llmfan, os\n"
        "async def slowly(*given):\n"
        "    os.write(1, b'closing\\n')\n"
        "    await asyncio.sleep(30)\n"
        "llmfan.Fan.__aexit__ = slowly\n"
        "async def asked(*given):\n"
        "    os.write(1, b'asked\\n')\n"
        "    await asyncio.sleep(30)\n"
        "llmfan.Fan.ask = asked\n"
        "llmfan.ask('Hello?', simulate=True)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    for word in ("asked\n", "closing\n"):
        assert process.stdout.readline() == word
        process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)
    assert process.returncode == -signal.SIGINT
    assert err.count("Traceback") == 1 and "During handling" not in err and err.endswith("KeyboardInterrupt\n")


def test_a_script_may_end_in_the_middle_of_a_map(tmp_path: Path) -> None:
    """It would hang at its end, for a thread that waits for prompts nobody gives it; or what it spent be forgotten."""
    with threaded({"a": Site()}) as far:
        file, state = providers_file(tmp_path, far), tmp_path / "ledger.db"
        code = (
            "import itertools, llmfan, sys\n"
            "results = llmfan.map(map(str, itertools.count()), sys.argv[1], env={}, state=sys.argv[2], ahead=4)\n"
            "print(next(results).status)\n"
        )
        env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}
        found = subprocess.run(
            [sys.executable, "-W", "always", "-c", code, str(file), str(state)],
            env=env, capture_output=True, text=True, timeout=20,
        )  # fmt: skip
    status = llmfan.fleet_status(file, env={}, state=state)
    assert status["quota_status"]["a"]["calls_today"] >= 1
    assert (found.returncode, found.stdout, found.stderr) == (0, "ok\n", "")


def test_the_simulated_fleet_needs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first thing anybody tries."""
    monkeypatch.chdir(tmp_path)
    result = llmfan.ask("Hello?", simulate=True, simulate_speed=100.0)
    assert result.status == "ok" and result.simulated and result.text
