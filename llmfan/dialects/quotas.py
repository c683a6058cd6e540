"""Which limit refused a request, and what the body of the refusal tells of it: in details, in a sentence, in words.

`… on tokens per minute (TPM): Limit 8000, Used 7800, Requested 1221`, a `QuotaFailure` with quota ids and values,
`limited to 20 API calls / minute`, `free-models-per-day`, `too many concurrent requests`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from llmfan.dialects.axis_words import axis_of, counted_by, window_of
from llmfan.dialects.bodies import ErrorBody
from llmfan.dialects.figures import joined, sound
from llmfan.dialects.headers import leading_number
from llmfan.dialects.reports import ReportReader
from llmfan.records import Report
from llmfan.settings import AXES, ErrorRow, Preset

_AMOUNT = r"~?(\d{1,3}(?:,\d{3})+|\d{1,15})"
_PERIOD = r"(second|sec|minute|min|hour|hr|day|month)s?\b"
_COUNTED = r"(?:(?:input|output|prompt|completion)[ _-]?)?(?:requests?|tokens?|calls?|neurons?)"
#: Dimensions as they are abbreviated.
_SHORT = re.compile(r"(\(?)\b(RP[SMHD]|TP[SMHD]|ITPM|OTPM)\b")
_LIMIT_USED = re.compile(rf"\blimit:?\s?{_AMOUNT}(?:[^\d]{{1,20}}\b(?:used|current):?\s?{_AMOUNT})?", re.I)
#: A figure with its unit, after a word that makes it a limit, in one sentence.
_LIMITED_TO = re.compile(
    rf"\b(?:limit|limited|max|maximum|allowed|quota|allocation)\b(?:(?!\. ).){{0,80}}?(?<![\w.-]){_AMOUNT}\s"
    rf"(?:API\s)?({_COUNTED})\b",
    re.I,
)
_PAIR = re.compile(rf"(?<![a-z])({_COUNTED}|models)[ _-]{{0,2}}(?:per[ _-]|/ ?){_PERIOD}", re.I)
_WINDOW = re.compile(rf"(?<![a-z])per[ _-]?{_PERIOD}|(?<=[\s\d])/ ?{_PERIOD}|\b(hourly|daily|monthly)\b", re.I)
_UNIT = re.compile(rf"\b{_COUNTED}\b", re.I)
_MONEY = re.compile(r"\bcredits?\b|\bUSD\b|\$|\bspend", re.I)
#: What is counted, where only a code or the word before `limit` says it.
_CODE = re.compile(r"(?:dynamic_)?(request|token)s?(?:_(?:quota_exceeded|limited|(?:rate_)?limit\w*))?", re.I)
_SAID = re.compile(r"\b(request|token)s? (?:rate |usage )?(?:limit|quota)", re.I)
_CONCURRENT = re.compile(
    r"concurren|\bparallel (?:requests?|calls?)|\bsimultaneous|in[- ]flight requests|requests in[- ]flight", re.I
)
_AT_ONCE = re.compile(
    r"concurren\w*(?:[\s:=(]+(?:requests?|calls?|limit|max|maximum|of|is|to|reached|exceeded)\b){0,4}[\s:=(]+"
    r"(\d{1,6})\b(?!\s*(?:ms|s|sec\w*|min\w*)\b)"
    r"|\b(?:limit|max|maximum|only|at most|up to)\W+(?:\w+\W+){0,3}?(\d{1,6})\s+(?:concurrent|parallel)",
    re.I,
)
_ADDRESS = re.compile(r"https?://\S+")
_QUOTA_WINDOW = re.compile(r"Per(Second|Minute|Hour|Day|Month)")
_QUOTA_UNIT = re.compile(r"(input|output)?_?(token|request)s?", re.I)
#: Kinds of failure that a limit stands behind, and statuses with which a request is too large for one.
_LIMITS = ("rate_limited", "quota_exhausted")
_TOO_LARGE = (413, 429)


class Told(NamedTuple):
    """`axis`: the limit that refused, "" if nobody says. Reports: of the headers, of copies of headers, of all."""

    axis: str
    headers: tuple[Report, ...]
    copies: tuple[Report, ...]
    reports: tuple[Report, ...]


def told(
    row: ErrorRow, status: int, headers: Mapping[str, str], error: ErrorBody, preset: Preset, now_wall: float | None
) -> Told:
    """What a refusal tells of limits. Figures of the body come from the very limit that refused: they win."""
    limited = row.kind in _LIMITS or (row.kind == "bad_request" and status in _TOO_LARGE)
    axis, figures = _body(error) if limited else ("", [])
    reader = ReportReader(preset)
    of_headers = reader.read(headers, now_wall, True, axis)
    copies = copied_headers(error.details) if limited else {}
    of_copies = reader.read(copies, now_wall, True, axis) if copies else ()
    if row.kind in _LIMITS:
        axis = _narrowed(axis, of_headers or of_copies) or (_only_kind(preset) if row.kind == "rate_limited" else "")
    return Told(axis, of_headers, of_copies, joined([*figures, *of_headers, *of_copies]))


def copied_headers(details: dict[str, Any]) -> dict[str, str]:
    """A router's copies of the headers it means, in `metadata.headers`."""
    metadata = details.get("metadata")
    copied = metadata.get("headers") if isinstance(metadata, dict) else None
    if not isinstance(copied, dict):
        return {}
    return {str(name).lower(): str(value) for name, value in copied.items()}


def _narrowed(axis: str, reports: tuple[Report, ...]) -> str:
    """What the body leaves open, the headers may tell: the one limit with nothing left."""
    if axis in AXES:
        return axis
    spent = [report.axis for report in reports if report.remaining == 0]
    fitting = [name for name in spent if not axis or name == axis or (name in AXES and AXES[name][0] == axis)]
    return fitting[0] if len(fitting) == 1 else axis


def _only_kind(preset: Preset) -> str:
    """Where calls in flight are all a provider limits, its refusals mean them, whatever they say."""
    documented = {axis for row in preset.limits for axis in row.axes}
    return "concurrency" if documented == {"concurrency"} else ""


# ---------------------------------------------------------------- bodies


def _body(error: ErrorBody) -> tuple[str, list[Report]]:
    """(axis, figures), from the plainest way of telling to the vaguest."""
    violated = sorted(_violations(error.details), key=lambda violation: -violation[1])
    if violated:
        return violated[0][0], [report for axis, _, limit in violated for report in _report(axis, limit, None)]
    message = _ADDRESS.sub(" ", error.message)
    axis = _abbreviated(message)
    if not axis and _CONCURRENT.search(message) and not _PAIR.search(message):
        found = _AT_ONCE.search(message) or _LIMIT_USED.search(message)
        return "concurrency", _report("concurrency", _amount(found[1] or found[2]) if found else None, None)
    axis = axis or _in_words(message, error.codes)
    return axis, _figures(axis, message) or _plain_fields(axis, error.details)


def _violations(details: dict[str, Any]) -> Iterator[tuple[str, float, float | None]]:
    """(axis, window, limit) of each quota that a `QuotaFailure` names; days first, for they last longest."""
    entries = details.get("details")
    for entry in entries if isinstance(entries, list) else []:
        violations = entry.get("violations") if isinstance(entry, dict) else None
        for violation in violations if isinstance(violations, list) else []:
            ident = str(violation.get("quotaId") or violation.get("quotaMetric")) if isinstance(violation, dict) else ""
            window, unit = _QUOTA_WINDOW.search(ident[:300]), _QUOTA_UNIT.search(ident[:300])
            if window and unit:
                span = window_of(window[1]) or 0.0
                counted = counted_by([(unit[1] or "").lower(), unit[2].lower()])
                # Nobody counts the input of a day apart: its limit is told as nothing, but it did refuse.
                axis = axis_of(counted, span)
                yield axis or "tokens", span, leading_number(str(violation.get("quotaValue"))) if axis else None


def _abbreviated(message: str) -> str:
    """`(TPM)`; without brackets only where there is no second one."""
    found = _SHORT.findall(message)
    named = {name.lower() for bracket, name in found if bracket} or {name.lower() for _, name in found}
    return named.pop() if len(named) == 1 else ""


def _in_words(message: str, codes: list[str]) -> str:
    """`requests per minute`, `/ day`, `free-models-per-day`, `daily`. Two windows name neither."""
    text = " ".join((message, *codes))
    pairs = [(counted_by(re.findall("[a-z]+", unit.lower())) or "requests", word) for unit, word in _PAIR.findall(text)]
    windows = {window_of(word) for words in _WINDOW.findall(text) for word in words if word}
    windows |= {window_of(word) for _, word in pairs}
    if len(windows) > 1:
        return ""
    units = {unit for unit, _ in pairs} or {
        counted_by(re.findall("[a-z]+", unit.lower())) for unit in _UNIT.findall(message)
    }
    if not windows or len(units) > 1:
        units = _units_said(message, codes)
    if not units and windows:
        units = {"usd" if _MONEY.search(message) else "requests"}
    return axis_of(units.pop(), windows.pop() if windows else None) if len(units) == 1 else ""


def _units_said(message: str, codes: list[str]) -> set[str]:
    found = [match[1] for match in (_CODE.fullmatch(code) for code in codes) if match] or _SAID.findall(message)
    return {f"{unit.lower()}s" for unit in found}


def _figures(axis: str, message: str) -> list[Report]:
    """`Limit 8000, Used 7800` is the server's own count of that moment; `limited to 20 calls / minute` the limit."""
    found = _LIMIT_USED.search(message)
    if axis and found:
        limit, used = _amount(found[1]), _amount(found[2])
        return _report(axis, limit, None if limit is None or used is None else max(0.0, limit - used))
    worded = _LIMITED_TO.search(message)
    unit = counted_by(re.findall("[a-z]+", worded[2].lower())) if worded else ""
    return _report(axis, _amount(worded[1]), None) if worded and axis in AXES and AXES[axis][0] == unit else []


def _plain_fields(axis: str, details: dict[str, Any]) -> list[Report]:
    figures = [details.get(name) for name in ("limit", "remaining")]
    limit, remaining = (float(n) if isinstance(n, int | float) and not isinstance(n, bool) else None for n in figures)
    return _report(axis or "requests", limit, remaining)


def _report(axis: str, limit: float | None, remaining: float | None) -> list[Report]:
    report = sound(axis, limit, remaining, None)
    return [] if report is None else [report]


def _amount(text: str | None) -> float | None:
    return float(text.replace(",", "")) if text else None
