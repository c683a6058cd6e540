"""What each refusal means: kind, scope, permanence and wait, for every sign a catalogue row exists for."""

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
from llmfan.dialects.bodies import read_error
from llmfan.dialects.classify import classify, from_fault
from llmfan.records import Failure
from llmfan.settings import ErrorRow, Limiter, Preset

NOW = 1_795_176_000.0  # 2026-11-20 12:00:00 UTC, 04:00 in Los Angeles
TO_UTC_MIDNIGHT = 12 * 3600.0
TO_PACIFIC_MIDNIGHT = 20 * 3600.0
TO_MONTH = (10 * 24 + 12) * 3600.0
NONE = Preset(name="Test", checked="2026-11-20")
CATALOGUE = Path(llmfan.__file__).parent / "inputs" / "catalogue"


@cache
def preset(name: str) -> Preset:
    return msgspec.convert(yaml.safe_load((CATALOGUE / f"{name}.yaml").read_text()), Preset)


def verdict(status: int, body: Any = b"", headers: dict[str, str] | None = None, rows: Preset = NONE) -> Failure:
    raw = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return classify(status, headers or {}, raw, rows, NOW)


def wrapped(message: str = "", **fields: object) -> dict:
    return {"error": {"message": message, **fields}}


def quota(ident: str, delay: str = "38s") -> dict:
    violation = {"quotaId": ident, "quotaValue": "20"}
    details = [
        {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation]},
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay},
    ]
    message = "You exceeded your current quota, please check your plan and billing details."
    return wrapped(message, code=429, status="RESOURCE_EXHAUSTED", details=details)


def cloud(code: int, message: str = "x") -> dict:
    return {"success": False, "errors": [{"code": code, "message": message}], "result": None, "messages": []}


TPM = (
    "Rate limit reached for model `m` in organization `org_1` service tier `on_demand` on tokens per minute (TPM): "
    "Limit 8000, Used 7800, Requested 1221. Please try again in 7.66s. Need more tokens? Upgrade to Dev Tier today at "
    "https://console.groq.com/settings/billing"
)

RESETS = {"utc midnight": TO_UTC_MIDNIGHT, "los angeles midnight": TO_PACIFIC_MIDNIGHT, "next month": TO_MONTH}
CORPUS = yaml.safe_load((Path(__file__).parent.parent / "exchanges" / "refusals.yaml").read_text())


@pytest.mark.parametrize("row", CORPUS, ids=[f"{row['preset']}-{row['status']}-{at}" for at, row in enumerate(CORPUS)])
def test_a_quoted_refusal_means_what_the_facts_say(row: dict[str, Any]) -> None:
    """A wrong verdict burns retries on dead keys, or buries live ones."""
    failure = verdict(row["status"], row["body"], row.get("headers"), preset(row["preset"]))
    expected = (row["kind"], row["scope"], row.get("permanent", False))
    assert (failure.kind, failure.scope, failure.permanent) == expected, failure
    wait = row.get("wait")
    assert failure.wait == pytest.approx(RESETS.get(wait, wait))


def test_every_provider_of_the_catalogue_has_its_refusals_in_the_corpus() -> None:
    """A provider without a quoted refusal has rows that nobody ever tried."""
    assert {row["preset"] for row in CORPUS} >= {p.stem for p in CATALOGUE.glob("[!_]*.yaml")}


# ---------------------------------------------------------------- without any row

GENERIC: list[tuple[int, Any, str, str, bool]] = [
    (401, b"", "auth", "key", True),
    (402, b"", "payment_required", "account", True),
    (403, b"", "auth", "key", True),
    (403, "<html><title>Attention</title></html>", "auth", "key", True),
    (404, b"", "model_not_found", "account_model", True),
    (405, b"", "model_not_found", "account_model", True),
    (410, b"", "model_not_found", "account_model", True),
    (408, b"", "timeout", "provider", False),
    (409, b"", "server_error", "provider", False),
    (413, b"", "context_length", "request", False),
    (400, wrapped("This model's maximum context length is 8192 tokens"), "context_length", "request", False),
    (422, wrapped("prompt is too long"), "context_length", "request", False),
    (400, wrapped("x", code="context_length_exceeded"), "context_length", "request", False),
    (400, wrapped("blocked by our content filter"), "content_filter", "request", False),
    (400, wrapped("x", code="content_policy_violation"), "content_filter", "request", False),
    (400, wrapped("Incorrect API key provided"), "auth", "key", True),
    (400, wrapped("The model `x` does not exist"), "model_not_found", "account_model", True),
    (400, wrapped("'n' must be 1"), "bad_request", "request", False),
    (422, {"detail": [{"loc": ["body", "x"], "msg": "no"}]}, "bad_request", "request", False),
    (429, b"", "rate_limited", "account_model", False),
    (429, wrapped("x", code="insufficient_quota"), "payment_required", "account", True),
    (429, wrapped("Your credit balance is too low"), "payment_required", "account", True),
    (429, wrapped("spending limit reached"), "payment_required", "account", True),
    (429, wrapped("Quota exceeded, limit: 0"), "quota_exhausted", "account_model", True),
    (429, wrapped("limit: 0.5 requests"), "rate_limited", "account_model", False),
    (429, wrapped("Limit of 100 requests per day"), "quota_exhausted", "account_model", False),
    (429, wrapped("daily quota"), "quota_exhausted", "account_model", False),
    (429, wrapped("monthly quota"), "quota_exhausted", "account_model", False),
    (429, wrapped("on requests per day (RPD): Limit 5"), "quota_exhausted", "account_model", False),
    (429, wrapped("5 requests per minute or 100 per day"), "rate_limited", "account_model", False),
    (429, wrapped(TPM), "rate_limited", "account_model", False),
    (429, quota("X-PerMinute"), "rate_limited", "account_model", False),
    (429, wrapped("The server is currently overloaded"), "overloaded", "model", False),
    (429, wrapped("x", code="queue_exceeded"), "overloaded", "model", False),
    (498, b"", "overloaded", "model", False),
    (503, b"", "overloaded", "model", False),
    (529, b"", "overloaded", "model", False),
    (500, "<html><title>Oops</title></html>", "server_error", "provider", False),
    (502, "<html><title>502 Bad Gateway</title></html>", "server_error", "provider", False),
    (504, b"", "server_error", "provider", False),
    (520, b"", "server_error", "provider", False),
    (418, b"", "bad_response", "provider", False),
    (204, b"", "bad_response", "provider", False),
]


@pytest.mark.parametrize(("status", "body", "kind", "scope", "permanent"), GENERIC)
def test_a_refusal_of_an_unknown_server_has_a_sound_meaning(
    status: int, body: Any, kind: str, scope: str, permanent: bool
) -> None:
    """Users name servers no catalogue knows."""
    failure = verdict(status, body)
    assert (failure.kind, failure.scope, failure.permanent) == (kind, scope, permanent), failure
    assert failure.http_status == status


@pytest.mark.parametrize(
    ("status", "free", "ambiguous"),
    [(429, True, False), (401, True, False), (402, True, False), (404, True, False), (503, True, False),
     (400, False, False), (413, False, False), (500, False, False), (502, False, True), (504, False, True)],
)  # fmt: skip
def test_what_was_not_processed_is_free_and_what_may_have_been_is_ambiguous(
    status: int, free: bool, ambiguous: bool
) -> None:
    """Free refusals must not use up a job's attempts; a gateway's timeout may already be billed."""
    failure = verdict(status)
    assert (failure.free, failure.ambiguous) == (free, ambiguous)


def test_a_redirect_is_a_fault_of_the_settings() -> None:
    """Followed, it would hand the key and the prompt to another host."""
    failure = verdict(302, b"<html>", {"location": "https://elsewhere/v1"})
    assert (failure.kind, failure.scope, failure.permanent) == ("bad_response", "provider", True)
    assert failure.message == "answered with a redirect to https://elsewhere/v1"


# ---------------------------------------------------------------- waits (pitfalls 7 and 12)


@pytest.mark.parametrize(
    ("body", "headers", "wait"),
    [
        (wrapped("quota resets 2030-01-01"), {}, 1_893_456_000 - NOW),
        (wrapped("resets at 2026-11-20T12:05:00Z"), {}, 300.0),
        (wrapped("resets at 2026-11-20 12:05:00 UTC"), {}, 300.0),
        (wrapped("try again after Fri, 20 Nov 2026 12:05:00 GMT"), {}, 300.0),
        ("7.66s", {}, 7.66),
        (wrapped("Please try again in 7.66s."), {}, 7.66),
        (wrapped("Please try again in 6m 11.52s. More?"), {}, 371.52),
        (wrapped("Please try again in 2m59.56s"), {}, 179.56),
        (wrapped("try again in 825ms"), {}, 0.825),
        (wrapped("Please retry in 38.079s."), {}, 38.079),
        (wrapped("Rate limit hit. Please wait 20 seconds."), {}, 20.0),
        (wrapped("Please retry after 2 minutes"), {}, 120.0),
        (wrapped("slow", retry_after=4), {}, 4.0),
        (wrapped("slow", metadata={"retry_after_ms": 500}), {}, 0.5),
        (wrapped("slow", availability={"retry_after": 3.5}), {}, 3.5),
        (wrapped("slow", metadata={"headers": {"Retry-After": "11"}}), {}, 11.0),
        (wrapped("try again in 9s"), {"retry-after": "4"}, 4.0),
        (wrapped("x"), {"retry-after-ms": "1500"}, 1.5),
        (wrapped("x"), {"retry-after": "Fri, 20 Nov 2026 12:00:30 GMT"}, 30.0),
        (wrapped("x"), {}, None),
        (wrapped("limit 20 in 60 s"), {}, None),
    ],
)
def test_the_rest_is_as_long_as_the_answer_says(body: Any, headers: dict[str, str], wait: float | None) -> None:
    """Pitfall 7: a key benched too briefly earns the next 429, one benched too long stands idle."""
    assert verdict(429, body, headers).wait == pytest.approx(wait)


def test_a_budget_in_flight_is_no_empty_purse() -> None:
    """Pitfall 12: taken for good, one burst would put a paying account out for the whole run."""
    for rows in (NONE, preset("openrouter"), preset("together")):
        failure = verdict(402, wrapped("x", code="in_flight_budget_exhausted"), {"retry-after": "6"}, rows)
        assert not failure.permanent
        assert failure.kind == "rate_limited"
        assert failure.wait == 6.0


def test_a_permanent_refusal_has_no_wait() -> None:
    """A Retry-After beside a spent credit only brings the next refusal."""
    assert verdict(429, wrapped("x", code="insufficient_quota"), {"retry-after": "1"}).wait is None


def row_preset(reset: str, **row: Any) -> Preset:
    rows = [ErrorRow(kind="quota_exhausted", scope="account", status=[429], **row)]
    return Preset(name="T", checked="2026-11-20", errors=rows, limiter=Limiter(reset=reset))


@pytest.mark.parametrize(
    ("reset", "until", "body", "wait"),
    [
        ("utc", "day", wrapped("try again in 5s"), TO_UTC_MIDNIGHT),
        ("America/Los_Angeles", "day", wrapped("x"), TO_PACIFIC_MIDNIGHT),
        ("Nowhere/Atlantis", "day", wrapped("x"), TO_UTC_MIDNIGHT),
        ("utc", "month", wrapped("x"), TO_MONTH),
        ("rolling", "day", wrapped("try again in 5s"), 5.0),
        ("rolling", "day", wrapped("on requests per day (RPD): Limit 1000, Used 1000"), 86.4),
        ("rolling", "day", wrapped("x"), 3600.0),
    ],
)
def test_a_spent_quota_rests_until_its_own_reset(reset: str, until: Any, body: Any, wait: float) -> None:
    """A short hint on a spent day costs a doomed attempt a minute until midnight."""
    assert verdict(429, body, {}, row_preset(reset, until=until)).wait == pytest.approx(wait)


def test_midnight_is_found_across_a_change_of_the_clock() -> None:
    """A day of 23 hours ends an hour early."""
    at = 1_772_951_400.0  # 2026-03-07 22:30 in Los Angeles, the night before clocks go forward
    failure = classify(429, {}, b"", row_preset("America/Los_Angeles", until="day"), at)
    assert failure.wait == pytest.approx(1.5 * 3600)
    failure = classify(429, {}, b"", row_preset("America/Los_Angeles", until="day"), at + 1.5 * 3600)
    assert failure.wait == pytest.approx(23 * 3600)


def test_a_rows_own_wait_stands_in_for_a_missing_hint() -> None:
    """Without one the same overloaded model would be asked again at once."""
    assert verdict(429, b"", {}, row_preset("utc", wait=30)).wait == 30
    assert verdict(429, b"", {"retry-after": "2"}, row_preset("utc", wait=30)).wait == 2


def test_an_unsaid_daily_quota_rests_until_the_day_turns() -> None:
    """Backing off by seconds against a spent day is a refusal a minute."""
    assert verdict(429, wrapped("daily limit reached")).wait == TO_UTC_MIDNIGHT
    assert verdict(429, wrapped("monthly limit reached")).wait == TO_MONTH


@pytest.mark.parametrize(("value", "kind"), [("0", "quota_exhausted"), ("60", "rate_limited"), ("05", "rate_limited")])
def test_a_header_sign_must_fit_the_whole_value(value: str, kind: str) -> None:
    """A limit of 60 taken for one of 0 would put a sound model out for a day."""
    rows = row_preset("utc", header="X-Limit: 0")
    assert verdict(429, wrapped("slow"), {"x-limit": value}, rows).kind == kind


def test_signs_count_before_statuses_wherever_they_stand() -> None:
    """A bare `429` row of the catalogue must not hide that the credit is spent."""
    rows = Preset(name="T", checked="2026-11-20", errors=[ErrorRow(kind="rate_limited", scope="account", status=[429])])
    assert verdict(429, wrapped("x", code="insufficient_quota"), rows=rows).kind == "payment_required"
    assert verdict(429, wrapped("x"), rows=rows).scope == "account"


# ---------------------------------------------------------------- bodies


@pytest.mark.parametrize(
    ("body", "codes", "message"),
    [
        (wrapped("m", type="t", code="c", param=None), ["c", "t"], "m"),
        (wrapped("m", code=429), ["429"], "m"),
        ({"message": "m", "type": "t", "param": "p", "code": "c"}, ["c", "t"], "m"),
        ([wrapped("m", code=400)], ["400"], "m"),
        (wrapped("m", code=400, status="S", details=[{"reason": "R"}]), ["400", "S", "R"], "m"),
        (cloud(7003, "m"), ["7003"], "m"),
        ({"message": "m", "id": "1"}, [], "m"),
        ({"detail": "m"}, [], "m"),
        ({"status": 404, "title": "m"}, ["404"], "m"),
        ({"detail": [{"loc": ["body", "x"], "msg": "m"}]}, [], "body.x: m"),
        ({"message": {"detail": [{"loc": ["body", "x"], "msg": "m", "type": "t"}]}}, ["t"], "body.x: m"),
        ({"error": "m"}, [], "m"),
        ({"type": "error", "error": {"type": "t", "message": "m"}}, ["t", "error"], "m"),
        (wrapped("m", metadata={"raw": "why"}), [], "m: why"),
        ("<html><head><title>502 Bad\n Gateway</title></head></html>", [], "502 Bad Gateway"),
        ("<h1>Busy &amp; <b>full</b></h1>", [], "Busy & full"),
        ("<p>x", [], "an HTML page"),
        ("plain  words\n", [], "plain words"),
        (b"", [], ""),
        (b"\xff\xfe", [], "\ufffd\ufffd"),
    ],
)
def test_every_shape_of_error_body_is_understood(body: Any, codes: list[str], message: str) -> None:
    """A refusal whose reason is lost cannot be told from any other."""
    raw = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    got = read_error(raw)
    assert (got.codes, got.message) == (codes, message)


def test_a_message_is_one_short_line_without_control_characters() -> None:
    """It goes to the terminal: an escape in it could repaint the screen."""
    failure = verdict(400, wrapped("a\x1b[31m\n b\u009b1m " + "x" * 1000))
    assert len(failure.message) == 300
    assert failure.message.startswith("a [31m b 1m xxx")
    assert failure.message.isprintable()


def test_a_failure_without_a_reason_still_says_something() -> None:
    """An empty cell in the table of errors helps nobody."""
    assert verdict(500).message == "HTTP status 500 without a reason"


@given(st.integers(100, 599), st.binary(max_size=200), st.text(max_size=20))
def test_no_answer_at_all_makes_the_classifier_crash(status: int, body: bytes, header: str) -> None:
    """Whatever a broken server sends, the run goes on."""
    headers = {"retry-after": header, "x-ratelimit-reset": header, "location": header}
    failure = classify(status, headers, body, preset("openrouter"), NOW)
    assert failure.wait is None or failure.wait >= 0
    assert len(failure.message) <= 300


def test_a_body_without_a_bottom_is_no_crash() -> None:
    """A hundred thousand brackets must not end the run."""
    assert verdict(500, b'{"error":' * 100_000).kind == "server_error"


# ---------------------------------------------------------------- faults of the network


@pytest.mark.parametrize(
    ("fault", "phase", "kind", "scope", "permanent", "free", "ambiguous"),
    [
        ("refused", "connect", "connection", "provider", False, True, False),
        ("dns", "connect", "connection", "provider", False, True, False),
        ("tls", "connect", "connection", "provider", True, True, False),
        ("connect_timeout", "connect", "connection", "provider", False, True, False),
        ("proxy", "connect", "connection", "provider", False, True, False),
        ("local", "connect", "connection", "request", False, True, False),
        ("reset", "connect", "connection", "provider", False, True, False),
        ("reset", "first_byte", "connection", "provider", False, False, True),
        ("disconnected", "first_byte", "connection", "provider", False, False, True),
        ("timeout", "first_byte", "timeout", "provider", False, False, True),
        ("timeout", "idle", "timeout", "provider", False, False, True),
        ("payload", "body", "truncated_stream", "provider", False, False, True),
        ("malformed", "body", "bad_response", "provider", False, False, False),
        ("too_large", "body", "bad_response", "provider", False, False, False),
        ("unheard_of", "body", "connection", "provider", False, False, True),
    ],
)
def test_a_network_fault_says_whether_the_request_may_have_arrived(
    fault: str, phase: str, kind: str, scope: str, permanent: bool, free: bool, ambiguous: bool
) -> None:
    """Pitfall 6: a request that may have been billed must not be sent again without end."""
    got = from_fault(fault, phase, "detail here")
    assert (got.kind, got.scope, got.permanent, got.free, got.ambiguous) == (kind, scope, permanent, free, ambiguous)
    assert "detail here" in got.message


@pytest.mark.parametrize(
    ("phase", "words"),
    [("first_byte", "first byte"), ("first byte", "first byte"), ("idle", "idle"), ("whole", "whole request")],
)
def test_a_timeout_names_its_phase(phase: str, words: str) -> None:
    """`timed out` alone does not tell a slow model from a dead line."""
    assert words in from_fault("timeout", phase, "").message
