"""One good provider among every kind of bad one, over real sockets."""

import socket
from collections import Counter
from pathlib import Path

from llmfan.simulation.fake import always, cut_stream, good, hanging
from tests.loopback.serving import Serving, lines, prompt_file, providers_file, run

ERROR = {"error": {"message": "no", "type": "x"}}
BEHAVIOURS = {
    "good": good(0.02),
    "hanging": hanging(),
    "html": always(502, b"<html><title>Bad Gateway</title></html>"),
    "refused401": always(401, ERROR),
    "unpaid402": always(402, ERROR),
    "forbidden403": always(403, ERROR),
    "cut": cut_stream(0.02),
    "limited429": always(429, ERROR),
}


def test_every_prompt_is_answered_once_and_each_bad_provider_is_named(tmp_path: Path) -> None:
    """A night's run must survive whatever the rest of the fleet does, and say in the morning who failed and why."""
    with Serving(BEHAVIOURS) as far:
        entries = {
            name: {"base_url": far.base_url(name), "keys": [f"key-of-{name}"], "model": "m"} for name in BEHAVIOURS
        }
        entries["dead"] = {"base_url": f"http://127.0.0.1:{_closed_port()}/v1", "keys": "none", "model": "m"}
        file, prompts = providers_file(tmp_path, entries), prompt_file(tmp_path, 200)
        code, out, err = run(tmp_path, "run", str(prompts), "-p", str(file), "--out", "r", "--timeout", "2")
    assert code == 0, err
    results = lines(tmp_path / "r" / "results.jsonl")
    assert Counter(r["id"] for r in results) == {f"p{i}": 1 for i in range(200)}
    assert {r["provider"] for r in results} == {"good"}
    table = _rows(out)
    for name, reason in {
        "hanging": "timeout", "html": "server_error", "refused401": "auth", "unpaid402": "payment_required",
        "forbidden403": "auth", "cut": "truncated_stream", "limited429": "rate_limited", "dead": "connection",
    }.items():  # fmt: skip
        assert reason in table[name] or "429" in table[name], (name, table[name])


def test_a_redirect_is_not_followed_and_names_both_addresses(tmp_path: Path) -> None:
    """Following it would hand the key and the prompt to another host."""
    elsewhere = "http://127.0.0.1:9/other"
    with Serving({"moved": always(307, b"", {"location": elsewhere}), "other": good()}) as far:
        entries = {"moved": {"base_url": far.base_url("moved"), "keys": ["a-literal-key"], "model": "m"}}
        file, prompts = providers_file(tmp_path, entries), prompt_file(tmp_path, 3)
        code, _, err = run(tmp_path, "run", str(prompts), "-p", str(file), "--out", "r")
        assert far.fleet.count("other") == 0
    assert code == 4
    assert elsewhere in err
    assert far.base_url("moved") in err


def _rows(table: str) -> dict[str, str]:
    """The table's rows by their first word; a cell that goes on below belongs to the row above."""
    rows: dict[str, str] = {}
    name = ""
    for line in table.splitlines():
        if line[:1].strip():
            name = line.split()[0]
        rows[name] = rows.get(name, "") + " " + line
    return rows


def _closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
