"""From a refusal to the state of a key. Pure: `now` comes in."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from llmfan.dialects.bodies import is_html, one_line
from llmfan.entries import State
from llmfan.records import Failure
from llmfan.settings import AXES, ErrorRow, Preset
from llmfan.units import DAY, MINUTE

LONGEST_WHY = 200
_LONGEST_WAIT = 366 * DAY
_NAMES_A_KEY = (
    r"(invalid|incorrect|wrong|expired|revoked|missing|unknown)[ _-](\w+[ _-]){0,2}(api[ _-]?key|key|token|credential)"
    r"|(api[ _-]?key|\bkey|\btoken|credentials?)[ _-](\w+ ){0,3}?(invalid|not valid|incorrect|expired|revoked|disabled)"
)
#: A 403 with nothing in it that names the key says only that this is not allowed: the key may well be good.
_OF_403 = (
    ErrorRow(kind="auth", scope="key", status=[403], code=rf"({_NAMES_A_KEY}).*|authentication_error|unauthenticated"),
    ErrorRow(kind="auth", scope="key", status=[403], message=_NAMES_A_KEY),
    ErrorRow(kind="content_filter", scope="key", status=[403]),
)
_GONE = re.compile(
    r"decommission|deprecat|\bretired\b|no longer (available|supported|exists)|end[ -]of[ -]life|sunset|shut ?down",
    re.I,
)
_CAP = re.compile(r"max[ _]?(completion_|output_|new_)?tokens|max_?output_?tokens|output (token|limit)", re.I)
_TOO_SMALL = re.compile(
    r"at least|minimum|\bmin\b|greater|larger|higher|too (small|low|few)|below|less than|>=?|≥", re.I
)


class Verdict(Struct, frozen=True):
    """`until`: Unix time at which it is over, if somebody said so."""

    state: State
    why: str = ""
    until: float | None = None


OK = Verdict("ok")


def for_probe(preset: Preset) -> Preset:
    """The preset with more said of 403s: a run leaves the key alone in any case, a probe has to name the cause."""
    return replace(preset, errors=[*preset.errors, *_OF_403])


def judge(failure: Failure, *, proven: bool, now: float) -> Verdict:
    """What a refused completion says of its key at this model. `proven`: something else has shown the key is good."""
    why, until = failure.message, None
    if failure.wait is not None and failure.wait < _LONGEST_WAIT:  # beyond it nobody has said anything
        until = now + failure.wait
    match failure.kind:
        case "auth":
            # A refused account (a country, a lock) is no wrong key.
            good = proven or failure.scope != "key"
            return Verdict("forbidden" if good else "invalid", why)
        case "payment_required":
            return Verdict("no_credit", why)
        case "quota_exhausted":
            # A quota of nothing never resets: the plan does not hold this model.
            return Verdict("forbidden", why) if failure.permanent else Verdict("exhausted", why, until)
        case "rate_limited":
            return Verdict("rate_limited", why, until or now + _window(failure.axis))
        case "overloaded" if failure.http_status == 429:
            return Verdict("rate_limited", f"overloaded: {why}", until)
        case "overloaded":
            return Verdict("unreachable", f"overloaded: {why}", until)
        case "model_not_found":
            return Verdict("no_model", why)
        case "bad_request" if failure.http_status == 404:  # the address: an account that is not there, a wrong path
            return Verdict("unreachable", f"answers, but not as this API: {why}")
        case "content_filter" | "bad_request" | "context_length":
            # Servers look at the key first: who is told what is wrong with the request has a good one.
            return Verdict("forbidden", why)
        case "bad_response":
            return Verdict("unreachable", f"answers, but not as this API: {why}")
    return Verdict("unreachable", f"HTTP {failure.http_status}: {why}" if failure.http_status else why)


def is_answer(failure: Failure) -> bool:
    """Whether a failure is an answer all the same: what a filter stopped was being written for a good key."""
    return failure.http_status == 200 and failure.kind in ("content_filter", "truncated_stream")


def is_gone(failure: Failure) -> bool:
    return failure.http_status == 410 or _GONE.search(failure.message) is not None


def wants_more_tokens(failure: Failure) -> bool:
    """Some models refuse a cap of one."""
    text = failure.message
    return failure.kind == "bad_request" and bool(_CAP.search(text)) and bool(_TOO_SMALL.search(text))


def wants_another_try(failure: Failure) -> bool:
    return failure.kind == "server_error" or (failure.kind == "overloaded" and failure.http_status != 429)


def is_of_the_way(failure: Failure, fault: str, answered: bool) -> bool:
    """Whether every key of that host would find the same: it cannot be reached, or nobody there has said a word."""
    if failure.kind not in ("connection", "timeout"):
        return False
    return fault in ("refused", "dns", "tls", "connect_timeout", "proxy") or not answered


def is_no_api(status: int, body: bytes) -> bool:
    """A page for people where a model was asked for: the address is wrong rather than the model."""
    return status in (404, 405) and (is_html(body) or not body.strip())


def told(text: str, redact: Callable[[str], str]) -> str:
    """A provider's words as they may be kept and shown: one line, no key in it, not too long."""
    text = redact(one_line(text))
    return text if len(text) <= LONGEST_WHY else text[: LONGEST_WHY - 1] + "…"


def _window(axis: str) -> float:
    unit_and_window: tuple[Any, float] = AXES.get(axis, ("", MINUTE))
    return unit_and_window[1] or MINUTE
