"""What a refusal says of a key: a table of refusals as providers send them, and the rules for those in between."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import llmfan
from llmfan.dialects.classify import classify, from_fault
from llmfan.entries import State
from llmfan.probing.verdict import (
    LONGEST_WHY,
    Verdict,
    for_probe,
    is_gone,
    is_of_the_way,
    judge,
    told,
    wants_another_try,
    wants_more_tokens,
)
from llmfan.records import Failure
from llmfan.secret import Redactor
from llmfan.settings import Preset

NOW = 1_795_176_000.0  # 2026-11-20 12:00:00 UTC
CATALOGUE = Path(llmfan.__file__).parent / "inputs" / "catalogue"
CORPUS = yaml.safe_load((Path(__file__).parents[1] / "exchanges" / "refusals.yaml").read_text())
NONE = Preset(name="Test", checked="2026-11-20")


@cache
def preset(name: str) -> Preset:
    return msgspec.convert(yaml.safe_load((CATALOGUE / f"{name}.yaml").read_text()), Preset)


def failure(status: int, body: Any = b"", rows: Preset = NONE, headers: dict[str, str] | None = None) -> Failure:
    raw = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return classify(status, headers or {}, raw, for_probe(rows), NOW)


def verdict(status: int, body: Any = b"", rows: Preset = NONE, proven: bool = False) -> Verdict:
    return judge(failure(status, body, rows), proven=proven, now=NOW)


def error(message: str = "", code: str = "") -> dict[str, Any]:
    return {"error": {"message": message, "code": code}}


#: (provider, status, words of the refusal) → the state. Found in the corpus of quoted refusals.
QUOTED: list[tuple[str, int, str, State]] = [
    ("groq", 401, "Invalid API Key", "invalid"),
    ("groq", 429, "(TPM): Limit 8000, Used", "rate_limited"),
    ("groq", 429, "tokens per day", "exhausted"),
    ("groq", 400, "organization_restricted", "forbidden"),
    ("groq", 403, "1010", "unreachable"),
    ("groq", 503, "", "unreachable"),
    ("cerebras", 401, "Wrong API Key", "invalid"),
    ("cerebras", 402, "", "no_credit"),
    ("cerebras", 429, "high traffic", "rate_limited"),
    ("cerebras", 404, "does not exist", "no_model"),
    ("openrouter", 429, "free-models-per-day", "exhausted"),
    ("openrouter", 429, "free-models-per-min", "rate_limited"),
    ("openrouter", 403, "", "forbidden"),
    ("openrouter", 404, "No endpoints", "no_model"),
    ("openrouter", 402, "Insufficient credits", "no_credit"),
    ("mistral", 401, "Unauthorized", "invalid"),
    ("mistral", 422, "stream_options", "forbidden"),
    ("cloudflare", 429, "daily free allocation", "exhausted"),
    ("cloudflare", 403, "5035", "no_credit"),
    ("cloudflare", 401, "Authentication error", "invalid"),
    ("cloudflare", 404, "Could not route", "unreachable"),
    ("gemini", 400, "API key not valid", "invalid"),
    ("gemini", 400, "location is not supported", "forbidden"),
    ("gemini", 403, "PERMISSION_DENIED", "invalid"),
    ("gemini", 429, "PerDay", "exhausted"),
    ("gemini", 429, "limit: 0", "forbidden"),
    ("cohere", 401, "invalid api token", "invalid"),
    ("cohere", 429, "API calls / month", "exhausted"),
    ("openai", 429, "insufficient_quota", "no_credit"),
    ("openai", 403, "", "forbidden"),
    ("anthropic", 400, "credit balance is too low", "no_credit"),
    ("anthropic", 529, "Overloaded", "unreachable"),
    ("deepseek", 402, "Insufficient Balance", "no_credit"),
    ("sambanova", 410, "gone", "no_model"),
    ("huggingface", 402, "monthly included credits", "exhausted"),
    ("ollama", 429, "weekly usage limit", "exhausted"),
    ("vllm", 401, "Unauthorized", "invalid"),
    ("llamacpp", 503, "Loading model", "unreachable"),
]


@pytest.mark.parametrize(("name", "status", "words", "state"), QUOTED)
def test_a_quoted_refusal_names_the_state(name: str, status: int, words: str, state: State) -> None:
    """Who is told `invalid` of a good key gets a new one for nothing; who is told `ok` of a dead one loses a night."""
    rows = [r for r in CORPUS if r["preset"] == name and r["status"] == status and words in json.dumps(r["body"])]
    assert rows
    for row in rows:
        found = judge(failure(status, row["body"], preset(name), row.get("headers")), proven=False, now=NOW)
        assert found.state == state, (row, found)


@pytest.mark.parametrize(
    ("body", "state"),
    [
        (error("no"), "forbidden"),
        (error("You do not have access to this model"), "forbidden"),
        (error("Your token is missing the scope models:read"), "forbidden"),
        (b"<html><title>Forbidden</title></html>", "forbidden"),
        (error("Invalid API key"), "invalid"),
        (error("The API key is not valid"), "invalid"),
        (error("no", "invalid_api_key"), "invalid"),
        (error("no", "authentication_error"), "invalid"),
        (error("API key expired. Please renew it."), "invalid"),
        (error("content flagged by our policy"), "forbidden"),
        (error("insufficient credits"), "no_credit"),
    ],
)
def test_a_403_speaks_against_the_key_only_where_it_says_so(body: Any, state: State) -> None:
    """Most 403s are about the model, the country or a right that is missing: the key is good elsewhere."""
    assert verdict(403, body).state == state


def test_a_key_that_was_proven_is_never_called_invalid() -> None:
    """It answered a moment ago: that it is refused here has another reason."""
    assert verdict(401, error("no")).state == "invalid"
    assert verdict(401, error("no"), proven=True).state == "forbidden"


def test_what_resets_says_when() -> None:
    """`exhausted` without a moment leaves one guessing whether to wait or to buy."""
    found = judge(failure(429, error("slow"), headers={"retry-after": "30"}), proven=False, now=NOW)
    assert (found.state, found.until) == ("rate_limited", NOW + 30)
    assert verdict(429, error("slow")).until == NOW + 60
    day = verdict(429, error("Rate limit exceeded: free-models-per-day."), preset("openrouter"))
    assert (day.state, day.until) == ("exhausted", NOW + 12 * 3600)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("dns", "name not found"),
        ("refused", "connection refused"),
        ("connect_timeout", "no connection in time"),
        ("tls", "TLS"),
        ("proxy", "proxy"),
        ("reset", "reset"),
        ("timeout", "timed out"),
        ("malformed", "not HTTP"),
    ],
)
def test_what_cannot_be_reached_says_where_it_ends(fault: str, words: str) -> None:
    """A typing error in the address, a dead proxy and a server that is down are mended in three places."""
    found = judge(from_fault(fault, "connect", "detail"), proven=False, now=NOW)
    assert found.state == "unreachable"
    assert words in found.why


def test_a_page_or_a_redirect_is_reachable_but_no_api() -> None:
    """The address is wrong, not the network."""
    moved = judge(failure(308, headers={"location": "https://elsewhere.example/"}), proven=False, now=NOW)
    assert moved.state == "unreachable"
    assert "not as this API" in moved.why and "elsewhere.example" in moved.why


def test_only_what_all_keys_would_meet_is_of_the_way() -> None:
    """One slow answer must not keep four other keys from being asked."""
    for fault in ("dns", "refused", "tls", "proxy", "connect_timeout"):
        assert is_of_the_way(from_fault(fault, "connect", ""), fault, answered=True)
    for fault in ("timeout", "reset"):
        assert not is_of_the_way(from_fault(fault, "first byte", ""), fault, answered=True)
        assert is_of_the_way(from_fault(fault, "first byte", ""), fault, answered=False)
    assert not is_of_the_way(failure(401), "", answered=False)


@pytest.mark.parametrize(
    ("message", "wanted"),
    [
        ("max_tokens must be at least 16", True),
        ("max_tokens: Input should be greater than or equal to 5", True),
        ("Invalid 'max_output_tokens': integer below minimum value. Expected >= 16", True),
        ("Could not finish: max_tokens was reached. Try again with higher max_tokens", True),
        ("max_tokens is not supported with this model", False),
        ("messages: at least one is needed", False),
    ],
)
def test_a_cap_of_one_that_is_refused_is_seen(message: str, wanted: bool) -> None:
    """Such a model is well; a probe that calls it forbidden is wrong about each of its keys."""
    assert wants_more_tokens(failure(400, error(message))) is wanted


def test_only_passing_trouble_is_tried_again() -> None:
    """A second request to a key that is refused for good is one too many."""
    again = [
        status
        for status in (400, 401, 402, 403, 404, 422, 429, 500, 502, 503, 529)
        if wants_another_try(failure(status))
    ]
    assert again == [500, 502, 503, 529]


def test_a_model_that_is_gone_is_told_from_one_that_never_was() -> None:
    """For the one the file is out of date, for the other it has a typing error."""
    assert is_gone(failure(410, error("gone")))
    assert is_gone(failure(400, error("The model has been decommissioned", "model_decommissioned")))
    assert not is_gone(failure(404, error("The model `x` does not exist")))


def test_a_reason_is_one_short_line_without_a_key() -> None:
    """It is printed in a table, and pasted into tickets."""
    key = "sk-very-secret-0123456789"
    text = told(f"Incorrect API key provided: {key}.\nYou can find yours\x1b[2J " + "x" * 500, Redactor([key]))
    assert key not in text and "[key]" in text
    assert "\n" not in text and "\x1b" not in text
    assert len(text) == LONGEST_WHY


@given(st.integers(300, 599), st.binary(max_size=200), st.booleans())
def test_whatever_is_answered_has_a_state(status: int, body: bytes, proven: bool) -> None:
    """A state that the table, the document and the ledger do not know would end in a traceback."""
    found = judge(failure(status, body), proven=proven, now=NOW)
    states = ("invalid", "forbidden", "no_credit", "exhausted", "rate_limited", "no_model", "unreachable")
    assert found.state in states
    assert found.until is None or found.until >= NOW
