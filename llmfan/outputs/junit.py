"""JUnit XML for CI systems: a case for each gate and for each failed prompt, and one for all that were answered.

Answered prompts share one case: a CI system that has to show a hundred thousand green lines shows nothing. Failed ones
pass through a spool file, since the totals stand at the head and are known at the end.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any
from xml.sax.saxutils import escape, quoteattr

from llmfan.outputs.clean import clean
from llmfan.outputs.files import write_file
from llmfan.records import ErrorInfo, ResultLine

#: Longer names and messages are cut.
NAME, MESSAGE = 200, 2000
#: What is spooled stays in memory up to here, and is copied in pieces of this size.
_PIECE = 1 << 20
#: No XML can hold them, escaped or not; all the others of that kind `clean` has made visible.
_NO_XML = {0xFFFE: "\\ufffe", 0xFFFF: "\\uffff"}
_UNKNOWN = ErrorInfo("unknown", "no reason was given")


def write_junit(path: Path, summary: Mapping[str, Any], failed: Iterable[ResultLine]) -> None:
    """Puts the file in place in one step."""
    write_file(path, junit(summary, failed))


def junit(summary: Mapping[str, Any], failed: Iterable[ResultLine]) -> Iterator[bytes]:
    """`failed`: the results that are failures, read once and one at a time."""
    gates = list(summary.get("gates") or ())
    not_held = sum(not gate.get("held") for gate in gates)
    totals = summary.get("totals") or {}
    answered, unsent = totals.get("ok") or 0, totals.get("unsent") or 0
    seconds = totals.get("duration_s") or 0.0
    with tempfile.SpooledTemporaryFile(_PIECE) as spool:
        failures = _spool(spool, failed)
        cases, skipped = failures + bool(answered) + bool(unsent), int(bool(unsent))
        yield b'<?xml version="1.0" encoding="UTF-8"?>\n'
        yield _open("testsuites", "llmfan", len(gates) + cases, not_held + failures, skipped, seconds)
        yield _open("testsuite", "gates", len(gates), not_held, 0, 0.0)
        for gate in gates:
            yield _gate(gate)
        yield b"</testsuite>\n"
        yield _open("testsuite", "prompts", cases, failures, skipped, seconds)
        yield _properties(summary, totals)
        if answered:
            yield _line("testcase", name=f"{answered:,} {_prompts(answered)} answered", classname="llmfan", time="0")
        if unsent:
            yield _skipped(unsent)
        while piece := spool.read(_PIECE):
            yield piece
        yield b"</testsuite>\n</testsuites>\n"


def _spool(spool: IO[bytes], failed: Iterable[ResultLine]) -> int:
    count = 0
    for line in failed:
        spool.write(_failed(line))
        count += 1
    spool.seek(0)
    return count


def _gate(gate: Mapping[str, Any]) -> bytes:
    expr, why = str(gate.get("expr") or ""), str(gate.get("why") or "")
    if gate.get("held"):
        return _line("testcase", name=_text(expr, NAME), classname="gates", time="0")
    failure = _line("failure", type="gate", message=_text(why or f"{expr} did not hold", MESSAGE))
    return _line("testcase", failure, name=_text(expr, NAME), classname="gates", time="0")


def _failed(line: ResultLine) -> bytes:
    error = line.error or _UNKNOWN
    place = "/".join(part for part in (line.provider, line.model) if part)
    name = _text(line.id, NAME) + (f" (repeat {line.repeat})" if line.repeat else "")
    said = _text(error.message, MESSAGE)
    failure = (
        f"<failure type={quoteattr(_text(error.kind, NAME))} message={quoteattr(_short(error, said))}>"
        f"{escape(_context(line, error))}\n{escape(said)}</failure>\n"
    )
    seconds = line.total_s if line.total_s is not None else (line.wait_s or 0.0) + line.retry_s
    return _line(
        "testcase", failure.encode(), name=name, classname=_text(place or "no provider", NAME), time=f"{seconds:.3f}"
    )  # fmt: skip


def _short(error: ErrorInfo, said: str) -> str:
    """`429 rate_limited: Rate limit reached`"""
    status = "" if error.http_status is None else f"{error.http_status} "
    return _cut(f"{status}{_text(error.kind, NAME)}: {said}", MESSAGE)


def _context(line: ResultLine, error: ErrorInfo) -> str:
    key = f", key {_text(line.key, NAME)}" if line.key else ""
    status = "" if error.http_status is None else f", HTTP status {error.http_status}"
    tries = f"{line.attempts:,} {'attempt' if line.attempts == 1 else 'attempts'}"
    return f"prompt {line.index + 1:,} of the set, {tries}{key}{status}"


def _skipped(unsent: int) -> bytes:
    """What a bound or a signal kept from ending has neither passed nor failed."""
    why = _line("skipped", message="a bound, a signal or a lack of keys kept them from ending")
    return _line("testcase", why, name=f"{unsent:,} {_prompts(unsent)} not done", classname="llmfan", time="0")


def _properties(summary: Mapping[str, Any], totals: Mapping[str, Any]) -> bytes:
    values = {name: totals[name] for name in ("jobs", "ok", "failed", "unsent") if totals.get(name) is not None}
    values["simulated"] = "true" if summary.get("simulated") else "false"
    lines = b"".join(_line("property", name=name, value=str(value)) for name, value in values.items())
    return b"<properties>\n" + lines + b"</properties>\n"


def _open(tag: str, name: str, tests: int, failures: int, skipped: int, seconds: float) -> bytes:
    return (
        f'<{tag} name="{name}" tests="{tests}" failures="{failures}" errors="0" skipped="{skipped}" '
        f'time="{seconds:.3f}">\n'
    ).encode()


def _line(tag: str, inside: bytes = b"", **attributes: str) -> bytes:
    head = f"<{tag} " + " ".join(f"{name}={quoteattr(value)}" for name, value in attributes.items())
    if not inside:
        return f"{head}/>\n".encode()
    return f"{head}>\n".encode() + inside + f"</{tag}>\n".encode()


def _prompts(count: int) -> str:
    return "prompt" if count == 1 else "prompts"


def _text(text: str, limit: int) -> str:
    return _cut(clean(text, limit).translate(_NO_XML), limit)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
