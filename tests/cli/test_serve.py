"""`llmfan serve` as a process: how it starts, what it says, how it ends."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.loopback.serving import finish, run, start

ASKED = {"model": "auto", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 3}


@contextmanager
def serving(folder: Path, *args: str, **env: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process and its address. Whatever happens, it is gone at the end."""
    process = start(folder, "serve", "--simulate", "--simulate-speed", "50", "--port", "0", "--json", *args, env=env)
    try:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        assert ready["pid"] == process.pid
        yield process, ready["url"]
    finally:
        process.kill()


def ask(url: str, document: Any, **headers: str) -> tuple[int, dict[str, str], bytes]:
    given = {"Content-Type": "application/json", **headers}
    request = urllib.request.Request(url + "/v1/chat/completions", json.dumps(document).encode(), given)
    with urllib.request.urlopen(request, timeout=20) as response:
        return response.status, dict(response.headers), response.read()


def test_it_serves_the_simulated_fleet_and_ends_with_the_signals_code(tmp_path: Path) -> None:
    """It is what somebody tries first, without a key."""
    with serving(tmp_path) as (process, url):
        status, headers, body = ask(url, ASKED)
        assert (status, headers["x-llmfan-simulated"]) == (200, "true")
        assert json.loads(body)["choices"]
        process.send_signal(signal.SIGTERM)
        code, out, said = finish(process)
    assert (code, out) == (143, "")
    assert f"OPENAI_BASE_URL={url}/v1" in said and "SIMULATED" in said
    assert " 200 chatcmpl-" in said and "Traceback" not in said


def test_a_token_from_the_environment_is_demanded_and_told_nowhere(tmp_path: Path) -> None:
    """On a command line every user of the machine could read it."""
    with serving(tmp_path, "--host", "0.0.0.0", LLMFAN_TOKEN="a-token-for-this-test") as (process, url):
        url = url.replace("0.0.0.0", "127.0.0.1")
        with pytest.raises(urllib.error.HTTPError, match="401"):
            ask(url, ASKED)
        assert ask(url, ASKED, Authorization="Bearer a-token-for-this-test")[0] == 200
        process.send_signal(signal.SIGINT)
        code, _, said = finish(process)
    assert code == 130
    assert "a-token-for-this-test" not in said


def test_an_address_that_others_reach_needs_a_token(tmp_path: Path) -> None:
    """Everybody on the network could spend the keys."""
    code, _, said = run(tmp_path, "serve", "--simulate", "--host", "0.0.0.0")
    assert code == 2
    assert "LLMFAN_TOKEN" in said and "--host 127.0.0.1" in said


def test_a_token_that_is_none_is_refused(tmp_path: Path) -> None:
    """`--token "$UNSET"` would open the service to everybody."""
    for args, env in ((["--token", " x"], {}), ([], {"LLMFAN_TOKEN": ""})):
        code, _, said = run(tmp_path, "serve", "--simulate", *args, env=env)
        assert (code, "LLMFAN_TOKEN: expected" in said) == (2, True)


def test_a_port_in_use_ends_it_before_anything_is_opened(tmp_path: Path) -> None:
    """The ledger would be touched for nothing."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, out, said = run(tmp_path, "serve", "--simulate", "--port", str(port))
    assert (code, out) == (2, "")
    assert f"127.0.0.1:{port} is in use already" in said and "--port 0" in said


@pytest.mark.parametrize(
    "args",
    [["--max-body", "much"], ["--max-body", "0"], ["--max-wait", "soon"], ["--drain", "-1"], ["--simulate-speed", "2"]],
)
def test_an_option_that_makes_no_sense_is_told(tmp_path: Path, args: list[str]) -> None:
    """It would come to light with the first call."""
    code, _, said = run(tmp_path, "serve", *args)
    assert (code, args[0] in said, "Traceback" in said) == (2, True, False)


def test_an_address_for_others_is_told_as_one_that_they_can_use(tmp_path: Path) -> None:
    """`http://0.0.0.0:8765` leads nobody anywhere; and a token that can be guessed protects nothing."""
    with serving(tmp_path, "--host", "0.0.0.0", "--dashboard", LLMFAN_TOKEN="short") as (process, url):
        assert url.startswith("http://127.0.0.1:")
        assert ask(url, ASKED, Authorization="Bearer short")[0] == 200
        process.send_signal(signal.SIGTERM)
        _, _, said = finish(process)
    port = url.rpartition(":")[2]
    assert f"OPENAI_BASE_URL=http://<this machine's address>:{port}/v1" in said and "0.0.0.0:" not in said
    assert said.count("the token has fewer than 16 characters") == 1


def test_without_a_file_it_says_how_to_try_it(tmp_path: Path) -> None:
    """The way out of another command is none."""
    code, _, said = run(tmp_path, "serve")
    assert (code, "llmfan serve --simulate" in said, "llmfan run" in said) == (2, True, False)
