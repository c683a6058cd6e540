"""What servers tell of their limits, in headers and in refusals, under every name and in every form in use."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from time import process_time
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

import llmfan
from llmfan.dialects.axis_words import header_sign
from llmfan.dialects.classify import classify
from llmfan.dialects.reports import ReportReader
from llmfan.records import Report
from llmfan.settings import AXES, HeaderRow, LimitRow, Preset

NOW = 1_795_176_000.0  # 2026-11-20 12:00:00 UTC
NONE = Preset(name="Test", checked="2026-11-20")
CATALOGUE = Path(llmfan.__file__).parent / "inputs" / "catalogue"
CORPUS = yaml.safe_load((Path(__file__).parent.parent / "exchanges" / "limits.yaml").read_text())
ANSWERS = [row for row in CORPUS if "status" not in row]
REFUSALS = [row for row in CORPUS if "status" in row]
USUAL = {"Date": "Fri, 20 Nov 2026 12:00:00 GMT", "Content-Type": "application/json", "Server": "x"}


@cache
def preset(name: str) -> Preset:
    return msgspec.convert(yaml.safe_load((CATALOGUE / f"{name}.yaml").read_text()), Preset) if name else NONE


def read(
    headers: dict[str, str], rows: list[HeaderRow] | None = None, refused: bool = False, named: str = ""
) -> dict[str, list[float | None]]:
    of = Preset(name="T", checked="2026-11-20", limit_headers=rows or [])
    return spelled(ReportReader(of).read(headers, NOW, refused, named))


def spelled(reports: tuple[Report, ...]) -> dict[str, list[float | None]]:
    found = {report.axis: [report.limit, report.remaining, report.resets_in] for report in reports}
    assert len(found) == len(reports), "two reports of one limit"
    return found


def named(rows: list[dict[str, Any]]) -> list[str]:
    return [f"{row['preset'] or 'anybody'}-{at}" for at, row in enumerate(rows)]


# ---------------------------------------------------------------- as recorded


@pytest.mark.parametrize("row", ANSWERS, ids=named(ANSWERS))
def test_an_answers_headers_tell_the_limits_in_force(row: dict[str, Any]) -> None:
    """A limit read on the wrong window is a key at a 1440th of its rate, or one that is refused all day."""
    reader = ReportReader(preset(row["preset"]))
    headers = USUAL | row["headers"]
    told = spelled(reader.read(CIMultiDictProxy(CIMultiDict(headers)), NOW, False))
    assert told == {axis: pytest.approx(figures) for axis, figures in row["reports"].items()}
    assert spelled(reader.read(headers, NOW, False)) == told, "read again, from a plain dict"


@pytest.mark.parametrize("row", REFUSALS, ids=named(REFUSALS))
def test_a_refusal_tells_which_limit_it_was_and_how_large_that_is(row: dict[str, Any]) -> None:
    """Blamed on the wrong limit, a day's end would cut the rate, and a burst would end the day."""
    failure = classify(
        row["status"], row.get("headers", {}), json.dumps(row["body"]).encode(), preset(row["preset"]), NOW
    )
    assert failure.axis == row["axis"]
    assert spelled(failure.reports) == {axis: pytest.approx(figures) for axis, figures in row["reports"].items()}


def test_every_provider_that_tells_its_limits_is_in_the_corpus() -> None:
    """Rows that nobody ever tried on a recorded exchange are guesses."""
    told = {path.stem for path in CATALOGUE.glob("[!_]*.yaml") if preset(path.stem).limit_headers}
    assert {row["preset"] for row in ANSWERS} >= told
    assert {row["preset"] for row in REFUSALS} >= told


# ---------------------------------------------------------------- rows and names


def test_rows_hold_where_they_say_they_do() -> None:
    """A header that means something only on a refusal would be a false limit on every answer."""
    rows = [
        HeaderRow(name="x-left", axis="rpm", role="remaining", when="refused"),
        HeaderRow(name="x-all", axis="rpd", role="limit", when="success"),
        HeaderRow(name="x-cost", axis="tpm", role="cost"),
    ]
    headers = {"x-left": "3", "x-all": "100", "x-cost": "12"}
    assert read(headers, rows) == {"rpd": [100, None, None]}
    assert read(headers, rows, refused=True) == {"rpm": [None, 3, None]}


def test_a_presets_row_overrules_what_the_name_would_say() -> None:
    """Some send the day's figures under a name that says nothing, or even something else."""
    rows = [HeaderRow(name="x-ratelimit-limit-minute", axis="rph", role="limit", when="refused")]
    headers = {"x-ratelimit-limit-minute": "9", "x-ratelimit-remaining-requests-day": "7"}
    assert read(headers, rows) == {"rpd": [None, 7, None]}
    assert read(headers, rows, refused=True) == {"rph": [9, None, None], "rpd": [None, 7, None]}


def test_rows_of_one_axis_are_one_report_and_the_later_row_counts() -> None:
    """What is in force just now stands beside what is promised in general."""
    rows = [
        HeaderRow(name="x-a", axis="rps", role="limit"),
        HeaderRow(name="x-a-reset", axis="rps", role="reset"),
        HeaderRow(name="x-b", axis="rps", role="limit"),
    ]
    assert read({"x-b": "5", "x-a": "9", "x-a-reset": "1"}, rows) == {"rps": [5, None, 1]}


@pytest.mark.parametrize(
    ("name", "sign"),
    [
        ("x-ratelimit-limit-requests", ("requests", "limit")),
        ("x-ratelimit-remaining-tokens-minute", ("tpm", "remaining")),
        ("x-ratelimit-reset", ("requests", "reset")),
        ("x-rate-limit-limit", ("requests", "limit")),
        ("x-rate-limit-remaining", ("requests", "remaining")),
        ("x-ratelimit-reset-after", ("requests", "reset")),
        ("ratelimit-limit", ("requests", "limit")),
        ("x-ratelimit-tokens-limit", ("tokens", "limit")),
        ("x-ratelimit-limit-output-tokens", ("otpm", "limit")),
        ("x-ratelimit-limit-neurons-day", ("neurons_per_day", "limit")),
        ("x-ratelimit-limit-input-tokens-day", None),
        ("x-ratelimit-limit-images", None),
        ("x-ratelimit-type", None),
        ("ratelimit", None),
        ("limit", None),
    ],
)
def test_a_name_says_axis_and_role_or_nothing(name: str, sign: tuple[str, str] | None) -> None:
    """Half understood, `limit-images` would be a limit on requests."""
    found = header_sign(name)
    assert (found and (found.axis, found.role)) == sign


# ---------------------------------------------------------------- windows


def test_a_body_names_the_window_that_a_header_leaves_open() -> None:
    """The same header speaks of the minute and of the day: 50 a day taken for 50 a minute is 49 refusals."""
    rows = [HeaderRow(name=f"x-ratelimit-{role}", axis="rpm", role=role) for role in ("limit", "remaining", "reset")]  # type: ignore[arg-type]
    headers = {"x-ratelimit-limit": "50", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "40"}
    assert read(headers, rows, True, "rpd") == {"rpd": [50, 0, 40]}
    assert read(headers, rows, True, "rpm") == {"rpm": [50, 0, 40]}
    assert read(headers, [], True, "rpm") == {"rpm": [50, 0, 40]}
    assert read(headers, [], True, "tpm") == {"requests": [50, 0, 40]}
    unspent = headers | {"x-ratelimit-remaining": "9"}
    assert read(unspent, rows, True, "rpd") == {"rpm": [50, 9, 40]}, "a limit with something left refused nobody"
    assert read(unspent, [], True, "rpd") == {"requests": [50, 9, 40]}


def test_a_row_that_names_its_window_is_never_moved() -> None:
    """`-minute` is the minute's, whatever the body speaks of."""
    rows = [HeaderRow(name="x-left-minute", axis="rpm", role="remaining")]
    assert read({"x-left-minute": "0"}, rows, True, "rpd") == {"rpm": [None, 0, None]}


def test_a_clock_that_is_hours_off_makes_no_day_of_a_minute() -> None:
    """A computer on the wrong time zone would take 60 a minute for 60 a day."""
    headers = {"x-ratelimit-limit": "60", "x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(NOW + 7230))}
    ahead = headers | {"Date": "Fri, 20 Nov 2026 14:00:00 GMT"}
    assert read(headers, refused=True) == {"rpd": [60, 0, 7230]}
    assert read(ahead, refused=True) == {"requests": [60, 0, 30]}
    rows = [HeaderRow(name=f"x-ratelimit-{role}", axis="rpm", role=role) for role in ("limit", "remaining", "reset")]  # type: ignore[arg-type]
    assert read(ahead, rows, True) == {"rpm": [60, 0, 30]}


def test_a_reset_is_held_to_its_window() -> None:
    """A minute's limit that asks for an hour is a mistake of the server's, and would cost the hour."""
    rows = [HeaderRow(name="x-reset", axis="rpm", role="reset"), HeaderRow(name="x-day", axis="rpd", role="reset")]
    assert read({"x-reset": "3600", "x-day": "3600"}, rows) == {"rpm": [None, None, 63], "rpd": [None, None, 3600]}


def test_a_month_is_told_by_its_reset() -> None:
    """Two weeks to the reset is no day's limit."""
    headers = {"x-ratelimit-limit": "1000", "x-ratelimit-reset": str(14 * 86400)}
    assert read(headers) == {"requests_per_month": [1000, None, 14 * 86400]}


# ---------------------------------------------------------------- nonsense


@pytest.mark.parametrize(
    ("limit", "remaining", "told"),
    [
        ("60", "-3", [60, 0]),
        ("60", "61", [60, None]),
        ("60", "nan", [60, None]),
        ("60", "many", [60, None]),
        ("0", "0", None),
        ("-1", "-1", None),
        ("9223372036854775807", "9223372036854775806", None),
        ("inf", "5", [None, 5]),
        ("nan", "5", [None, 5]),
        ("", "-1", None),
        ("1e3", "1e2", [1000, 100]),
        ("1,000", "1,000", [1000, 1000]),
        ("²", "٣", [None, 3]),
        ("9" * 1_000_000, "1" + "0" * 1_000_000, None),
    ],
)
def test_absurd_figures_are_no_limits(limit: str, remaining: str, told: list[float | None] | None) -> None:
    """`-1` means unlimited: taken at its word it would stop the key."""
    headers = {"x-ratelimit-limit-minute": limit, "x-ratelimit-remaining-minute": remaining}
    assert read(headers) == ({} if told is None else {"rpm": [*told, None]})


HEADER_NAMES = st.sampled_from(
    [
        "ratelimit", "ratelimit-policy", "ratelimit-limit", "ratelimit-remaining", "ratelimit-reset", "date",
        "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "x-ratelimit-limit-requests",
        "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests", "x-ratelimit-limit-tokens",
        "x-ratelimit-reset-tokens-minute", "anthropic-ratelimit-tokens-reset", "X-RateLimit-Reset-Requests-Day",
    ]
)  # fmt: skip
TEXTS = st.one_of(
    st.text(max_size=80),
    st.floats().map(str),
    st.integers().map(str),
    st.from_regex(r'"?[a-z]{0,3}"?(;[qwrt]=-?[0-9]{0,20}){0,4}', fullmatch=True),
    st.from_regex(r"([0-9]{0,20}\.?[0-9]{0,3}(d|h|m|s|ms)){1,4}", fullmatch=True),
    st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{0,12}Z?", fullmatch=True),
)


@settings(derandomize=True, database=None, deadline=None)
@example({"ratelimit": "0;T=-1"}, False, "", "")
@given(
    st.dictionaries(HEADER_NAMES, TEXTS),
    st.booleans(),
    st.sampled_from(["", *AXES]),
    st.sampled_from(["", "anthropic", "openai", "openrouter"]),
)
def test_no_header_at_all_makes_the_reader_crash(headers: dict[str, str], refused: bool, axis: str, name: str) -> None:
    """Whatever a server writes there, the answer is paid for and the run goes on."""
    reader = ReportReader(preset(name))
    for now in (NOW, None):
        for report in reader.read(headers, now, refused, axis):
            assert report.axis in AXES or report.axis in ("requests", "tokens")
            assert report.limit is None or 0 < report.limit <= 1e12
            assert report.remaining is None or 0 <= report.remaining <= (report.limit or 1e12)
            assert report.resets_in is None or 0 <= report.resets_in <= 32 * 86400


SCALARS = st.sampled_from(
    [None, True, 5, -1.5, "x", "limit 5 requests per day", "GenerateRequestsPerDay", "concurrency: 3"]
)
FIELDS = st.sampled_from(
    [
        "error", "message", "details", "violations", "quotaId", "quotaValue", "metadata", "headers", "limit",
        "remaining", "code", "X-RateLimit-Limit",
    ]
)  # fmt: skip
BODIES = st.recursive(SCALARS, lambda part: st.lists(part, max_size=3) | st.dictionaries(FIELDS, part, max_size=5))


@given(st.sampled_from([402, 403, 413, 429, 503]), BODIES)
def test_no_body_at_all_makes_the_classifier_crash(status: int, body: Any) -> None:
    """A refusal in a shape nobody thought of is still only a refusal."""
    failure = classify(status, {}, json.dumps(body).encode(), preset("gemini"), NOW)
    assert failure.axis in ("", "requests", "tokens", *AXES)


def test_a_huge_header_or_body_costs_no_time() -> None:
    """A hostile server must not hold up the other keys: everything runs in one thread."""
    texts = ("1" * 1_000_000, '"a";q=1,' * 100_000, "1m" * 500_000, "2026-" + "1" * 1_000_000, ";" * 1_000_000)
    names = ("x-ratelimit-limit", "x-ratelimit-reset", "ratelimit-policy", "ratelimit", "retry-after")
    words = ("limit ", "concurrent of ", "limit 1,", "max ( ", "1 requests per ", "a/", "resets ")
    began = process_time()
    for text in texts:
        classify(429, dict.fromkeys(names, text), b"", NONE, NOW)
    for word in words:
        classify(429, {}, json.dumps({"error": {"message": word * 100_000}}).encode(), NONE, NOW)
    assert process_time() - began < 5, "twelve of them take a tenth of a second; one slow pattern takes minutes"


def test_a_server_that_makes_up_names_does_not_fill_the_memory() -> None:
    """A header named for the request would grow a table for each of a million answers."""
    reader = ReportReader(NONE)
    for n in range(1000):
        reader.read(
            {f"x-request-{n}": "1", "ratelimit-policy": f"{n};w=60", "x-ratelimit-reset": f"2026-11-20T12:00:{n}"},
            NOW,
            False,
        )
    sizes = [len(reader._plans[False]), len(reader._policies), len(reader._moments)]
    assert max(sizes) <= 64


def test_only_calls_in_flight_can_be_meant_where_nothing_else_is_limited() -> None:
    """Such a server needs fewer at once, not a pause: a bare 429 must say so."""
    rows = Preset(name="T", checked="", limits=[LimitRow(source="", checked="", axes={"concurrency": 4})])
    assert classify(429, {}, b"", rows, NOW).axis == "concurrency"
    assert classify(402, {}, b"", rows, NOW).axis == ""
    assert classify(429, {}, b"", NONE, NOW).axis == ""
