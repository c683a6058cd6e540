"""`llmfan probe` as a process: wrong usage, the exit code, what is printed where, what is kept."""

from __future__ import annotations

import json
import signal
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from llmfan.simulation.fake import always, good, hanging, limited
from tests.loopback.serving import Serving, finish, providers_file, run, start

DENIED = {"error": {"message": "Invalid API key", "code": "invalid_api_key"}}


def entry(far: Serving, name: str, **more: Any) -> dict[str, Any]:
    return {"base_url": far.base_url(name), "keys": [f"key-of-{name}-0123456789"], "model": "m", **more}


def keys_of(out: str) -> dict[str, dict[str, Any]]:
    return {each["key"]: each for each in json.loads(out)["keys"]}


@contextmanager
def serving(folder: Path) -> Iterator[tuple[Serving, str]]:
    with Serving({"good": good(0.05), "bad": always(401, DENIED)}) as far:
        yield far, str(providers_file(folder, {name: entry(far, name) for name in ("good", "bad")}))


def test_the_document_alone_is_on_stdout(tmp_path: Path) -> None:
    """A script pipes it into `jq`."""
    with serving(tmp_path) as (_, file):
        code, out, err = run(tmp_path, "probe", "-p", file, "--json")
    assert code == 1
    assert {label: key["state"] for label, key in keys_of(out).items()} == {"good#1": "ok", "bad#1": "invalid"}
    assert "good#1" in err and "Traceback" not in err


def test_quiet_leaves_the_table_alone(tmp_path: Path) -> None:
    """Results are what was asked for; progress is not."""
    with serving(tmp_path) as (_, file):
        code, out, err = run(tmp_path, "probe", "-p", file, "--quiet")
    assert (code, err) == (1, "")
    assert "good#1" in out and "invalid" in out


@pytest.mark.parametrize("name", ["good", "good#1", "good/m"])
def test_only_the_keys_that_are_named_are_asked(name: str, tmp_path: Path) -> None:
    """One asks about the key one has just bought, not about thirty others."""
    with serving(tmp_path) as (far, file):
        code, out, _ = run(tmp_path, "probe", name, "-p", file, "--json")
        assert far.fleet.count("bad") == 0
    assert code == 0
    assert list(keys_of(out)) == ["good#1"]
    with serving(tmp_path) as (far, file):
        assert run(tmp_path, "probe", "-p", file, "--exclude", "bad")[0] == 0
        assert run(tmp_path, "probe", "-p", file, "--only", "bad")[0] == 1


def test_a_key_counts_as_ok_for_any_and_require(tmp_path: Path) -> None:
    """A CI job wants to know whether it can begin."""
    with serving(tmp_path) as (_, file):
        assert run(tmp_path, "probe", "-p", file, "--any")[0] == 0
        assert run(tmp_path, "probe", "-p", file, "--require", "2")[0] == 1


def test_without_any_key_it_ends_with_4_and_says_where_to_get_one(tmp_path: Path) -> None:
    """That is how everybody starts."""
    file = providers_file(tmp_path, {"groq": {"keys": ["$NO_KEY"], "model": "m"}})
    code, out, err = run(tmp_path, "probe", "-p", str(file))
    assert code == 4
    assert "NO_KEY" in out and "https://console.groq.com/keys" in out
    assert "Traceback" not in err


def test_a_retired_provider_without_a_key_is_no_failure(tmp_path: Path) -> None:
    """A line that lost its meaning years ago must not turn a green pipeline red; with a key of its own it does."""
    with Serving({"good": good(0.05)}) as far:
        entries = {"good": entry(far, "good"), "github-models": {"keys": ["$NO_KEY"]}}
        file = str(providers_file(tmp_path, entries))
        code, out, err = run(tmp_path, "probe", "-p", file, "--json")
        assert (code, keys_of(out)["github-models#1"]["state"]) == (0, "retired"), err
        assert run(tmp_path, "probe", "-p", file, env={"NO_KEY": "a-key-that-is-set-01"})[0] == 1
        code, out, err = run(tmp_path, "status", "-p", file)
        assert code == 0 and "retired" in out and "Traceback" not in err


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([], "llmfan init"),
        (["-p", "missing.yaml"], "missing.yaml"),
        (["nobody", "-p", "FILE"], "llmfan: nobody: no such provider"),
        (["good#7", "--only", "nobody", "-p", "FILE"], "good#7: no such provider, model or key"),
        (["--only", "nobody", "-p", "FILE"], "--only nobody: no such provider"),
        (["-p", "FILE", "--max-requests", "5"], "--max-requests"),
        (["-p", "FILE", "--timeout", "soon"], "--timeout"),
        (["-p", "FILE", "--require", "0"], "--require"),
        (["-p", "FILE", "--measure"], "--yes"),
        (["-p", "FILE", "--measure", "--yes", "--free"], "--measure"),
        (["-p", "FILE", "--env-file", "missing.env"], "missing.env"),
    ],
)
def test_wrong_usage_ends_with_2_and_nothing_is_sent(args: list[str], said: str, tmp_path: Path) -> None:
    """What was not meant must not be paid for."""
    (tmp_path / "fleet").mkdir()
    with serving(tmp_path / "fleet") as (far, file):
        code, out, err = run(tmp_path, "probe", *(file if arg == "FILE" else arg for arg in args))
        assert far.requests == 0
    assert (code, out) == (2, "")
    assert said in err and "Traceback" not in err


def test_what_was_found_is_in_the_ledger(tmp_path: Path) -> None:
    """`status`, `plan` and `run` go by it."""
    with serving(tmp_path) as (_, file):
        run(tmp_path, "probe", "-p", file, "--state", "ledger.db")
        code, out, _ = run(tmp_path, "status", "-p", file, "--state", "ledger.db", "--json")
    assert code == 0
    document = json.loads(out)
    assert document["quota_status"]["bad"]["state"] == "invalid"
    assert document["quota_status"]["good"]["state"] == "ready"
    assert document["quota_status"]["good"]["success_rate"] == 1
    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        assert connection.execute("SELECT count(*) FROM states").fetchone()[0] == 2
    connection.close()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_probe_that_is_stopped_tells_what_it_found(number: int, code: int, tmp_path: Path) -> None:
    """The one silent server is the reason for stopping, and the other thirty keys are known."""
    with Serving({"good": good(0.05), "slow": hanging()}) as far:
        file = providers_file(tmp_path, {name: entry(far, name) for name in ("good", "slow")})
        process = start(tmp_path, "probe", "-p", str(file), "--json", "--state", "ledger.db")
        while not (far.fleet.count("slow") and far.fleet.count("good") >= 2):
            assert process.poll() is None
            time.sleep(0.02)
        time.sleep(0.3)  # the answer that was seen leaving has to arrive
        process.send_signal(number)
        got, out, err = finish(process)
    assert got == code, err
    states = {label: key["state"] for label, key in keys_of(out).items()}
    assert states == {"good#1": "ok", "slow#1": "unproven"}
    assert "Traceback" not in err
    _, out, _ = run(tmp_path, "status", "-p", str(file), "--state", "ledger.db", "--json")
    assert json.loads(out)["quota_status"]["good"]["success_rate"] == 1


def test_dns_tcp_tls_and_proxy_are_told_apart(tmp_path: Path) -> None:
    """Each is mended in another place."""
    with _no_tls() as port:
        there = {
            "dns": "https://llmfan-nowhere.invalid/v1",
            "tcp": f"http://127.0.0.1:{_closed_port()}/v1",
            "tls": f"https://127.0.0.1:{port}/v1",
        }
        entries = {name: {"base_url": url, "keys": [f"key-{name}-012345"], "model": "m"} for name, url in there.items()}
        file = str(providers_file(tmp_path, entries))
        _, out, _ = run(tmp_path, "probe", "-p", file, "--json")
        proxy = {"HTTPS_PROXY": f"http://127.0.0.1:{_closed_port()}"}
        _, proxied, _ = run(tmp_path, "probe", "dns", "-p", file, "--json", env=proxy)
        _, socks, _ = run(tmp_path, "probe", "dns", "-p", file, "--json", env={"https_proxy": "socks5://127.0.0.1:9"})
    whys = {label: key["why"] for label, key in keys_of(out).items()}
    assert {key["state"] for key in keys_of(out).values()} == {"unreachable"}
    assert "name not found" in whys["dns#1"]
    assert "connection refused" in whys["tcp#1"]
    assert "TLS" in whys["tls#1"]
    assert "proxy" in keys_of(proxied)["dns#1"]["why"]
    assert "HTTPS_PROXY names a socks proxy, which llmfan does not speak" in keys_of(socks)["dns#1"]["why"]


def test_measuring_says_what_it_spends_and_finds_the_limit(tmp_path: Path) -> None:
    """`--yes` saves the question, never the bill."""
    with Serving({"a": limited("sliding", 8, 1.0, good(0.005))}) as far:
        file = str(providers_file(tmp_path, {"a": entry(far, "a", limits={"rps": 50})}))
        args = ("probe", "-p", file, "--json", "--measure", "--yes", "--max-requests", "60")
        code, out, err = run(tmp_path, *args)
        assert far.requests <= 60 + 4
    assert code == 0, err
    assert "at most 60 requests" in err and "free" in err
    (measured,) = keys_of(out)["a#1"]["measured"]
    assert measured["axis"] == "rps"
    assert measured["refused"] <= 3
    assert measured["figure"] == pytest.approx(8, rel=0.15)
    assert keys_of(out)["a#1"]["limits"]["rps"]["measured"] == measured["figure"]


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    """The one thing worse than no answer is half an answer."""
    import subprocess
    import sys

    from tests.loopback.serving import ROOT

    with serving(tmp_path) as (_, file), open("/dev/full", "w") as full:
        env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}
        done = subprocess.run(
            [sys.executable, "-m", "llmfan", "probe", "-p", file, "--json", "-q"],
            cwd=tmp_path, env=env, stdout=full, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    assert done.returncode == 4
    assert "cannot write" in done.stderr and "Traceback" not in done.stderr


@contextmanager
def _no_tls() -> Iterator[int]:
    """A server that speaks, and not TLS."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        stop = threading.Event()

        def serve() -> None:
            server.settimeout(0.1)
            while not stop.is_set():
                try:
                    line, _ = server.accept()
                except TimeoutError:
                    continue
                with line:
                    line.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            stop.set()
            thread.join()


def _closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
