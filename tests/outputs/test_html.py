"""The report's page as text: well-formed, harmless whatever was said to it, and saying the main things unscripted."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import sys
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from llmfan.errors import UserError
from llmfan.outputs.html import charts
from llmfan.outputs.html.markup import data, text
from llmfan.outputs.html.page import Page, Timeline
from llmfan.outputs.html.render import render
from llmfan.outputs.html.shell import shell
from llmfan.outputs.html.spelling import money, number, share, span
from tests.outputs.html_pages import BIDI, HOSTILE, LONG_WORD, empty_run, page, run

VOID = {"meta", "br", "input", "link", "img", "hr"}


class Reader(HTMLParser):
    """What a browser would make of it: elements that must match, the text that is seen, and what scripts hold."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.seen: list[str] = []
        self.held: list[tuple[dict[str, str | None], str]] = []
        self.comments: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.held.append((self.tags[-1][1], data))
        elif not (self.open and self.open[-1] == "style"):
            self.seen.append(data)

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)


def read(made: Page) -> tuple[str, Reader]:
    whole = "".join(render(made))
    reader = Reader()
    reader.feed(whole)
    reader.close()
    assert not reader.open
    return whole, reader


def documents(reader: Reader) -> list[Any]:
    return [json.loads(held) for attrs, held in reader.held if attrs.get("type") == "application/json"]


def scripts(reader: Reader) -> list[str]:
    return [held for attrs, held in reader.held if "type" not in attrs]


@pytest.mark.parametrize(
    "made",
    [page(run()), page(run(), run(seed=2, graded=False, priced=False)), page(empty_run()), page(run(said=HOSTILE))],
    ids=["one", "two", "empty", "hostile"],
)
def test_the_page_is_well_formed_and_marked(made: Page) -> None:
    """A broken nesting swallows whatever follows it; without the mark it would be taken for somebody else's file."""
    whole, reader = read(made)
    assert whole.startswith("<!doctype html>\n<!-- llmfan report -->\n")
    assert reader.comments == [" llmfan report "]
    whole.encode("utf-8")
    documents(reader)
    idents = [attrs["id"] for _, attrs in reader.tags if "id" in attrs]
    assert len(idents) == len(set(idents))
    inside = {attrs["href"] for tag, attrs in reader.tags if tag == "a"}
    assert inside <= {f"#{ident}" for ident in idents}


def test_only_the_pages_own_scripts_may_run_and_nothing_is_fetched() -> None:
    """A page of strangers' texts that ran one of them, or told a server that it was opened, could be sent to nobody."""
    _, reader = read(page(run(said=HOSTILE)))
    policy = next(str(a["content"]) for t, a in reader.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy and "connect-src 'none'" in policy
    rule = next(part for part in policy.split(";") if "script-src" in part)
    assert "unsafe" not in rule
    hashes = {f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in scripts(reader)}
    assert set(rule.split()[1:]) == hashes and len(hashes) == 2
    for tag, attrs in reader.tags:
        assert not attrs.keys() & {"src", "srcset", "data", "action", "poster"}, tag
        assert not any(name.startswith("on") for name in attrs)


def test_what_was_said_stands_as_text_wherever_it_comes() -> None:
    """Prompts, answers, errors, names, notes and titles are strangers' words: one raw `<` of theirs is a way in."""
    plain, hostile = read(page(run()))[1], read(page(run(said=HOSTILE), title=HOSTILE))[1]
    assert [tag for tag, _ in hostile.tags] == [tag for tag, _ in plain.tags]
    seen = "".join(hostile.seen)
    assert "<script>alert(1)</script>" in seen and "=cmd()|' /C calc'!A0" in seen
    assert r"\x1b[31m" in seen and r"\u202e" in seen
    assert not set(seen) & set("\x00\x07\x1b\ud800" + BIDI.replace("right to left", ""))
    rows = next(d["rows"] for d in documents(hostile) if "rows" in d)
    assert any(HOSTILE in str(value) for value in rows[1])


def test_the_page_speaks_without_its_scripts() -> None:
    """Mailed, printed from a reader or opened where scripts are off, it must still say how the run went."""
    seen = "".join(read(page(run()))[1].seen)
    for words in ("1,188 of 1,200", "simulated", "not held", "latency p95", "dogwood", "rate_limited", "p50", "unknown",
                  "63–75 %", "the day's quota is spent", "itself held this run back", "need JavaScript"):  # fmt: skip
        assert words in seen, words


def test_nothing_known_is_said_and_never_drawn_as_zero() -> None:
    """A zero in a chart reads as a measurement."""
    _, reader = read(page(empty_run()))
    seen = "".join(reader.seen)
    assert "No answer, so no latency." in seen and "No answer, so nothing to weigh." in seen
    assert documents(reader) == []
    _, ungraded = read(page(run(graded=False, priced=False)))
    assert not any(d.keys() & {"output_tokens_per_s"} for d in documents(ungraded))
    _, priced = read(page(run(graded=False)))
    assert "Nothing was graded, so there is no accuracy" in "".join(priced.seen)


def test_a_run_of_failures_has_no_empty_table_and_no_empty_chart() -> None:
    """Twelve headers over nothing look like a fault of the report."""
    made, none = run(), empty_run()
    totals = {**none.summary["totals"], "jobs": 4, "failed": 4}
    idle = [{"name": name, "totals": {**totals, "jobs": 0, "failed": 0}} for name in ("ash", "birch")]
    example = replace(made.failures[0].examples[0], key="", provider="", id="a0")
    line = Timeline(step_s=1.0, steps=2, ok={}, rate_limited={}, failed={"ash": [0, 4]}, tokens={})
    failed = replace(
        none, summary={"totals": totals, "providers": idle}, timeline=line, warmed=["birch"], results=4,
        failures=[replace(made.failures[0], examples=[example])], rows=made.rows[:1],
    )  # fmt: skip
    reader = read(page(failed))[1]
    seen = "".join(reader.seen)
    assert "Warm-up only: birch." in seen and "Not used: ash." in seen and "429s and failures" not in seen
    assert "No answer, so no throughput." in seen and "(a0, " in seen


def test_the_list_says_what_it_is() -> None:
    """ "Slowest, wrong and failed" over a list of everything makes a fine run look bad."""
    made = run(rows=4)
    rows = [replace(made.rows[1], why="wrong slow"), *made.rows[2:]]
    seen = "".join(read(page(replace(made, rows=rows, results=9)))[1].seen)
    assert "3 of 9 results: 1 wrong, 2 slowest (1 of them wrong), 1 a sample." in seen
    assert "Wrong, slowest and a sample" in seen and "wrong slow" not in seen
    seen = "".join(read(page(replace(made, rows=[replace(each, why="other") for each in rows], results=3)))[1].seen)
    assert "All 3 results: 3 others." in seen and "All results" in seen


def test_a_gate_keeps_its_unit_however_it_is_written() -> None:
    """0.31 of what?"""
    made = run()
    made.summary["gates"] = [{"expr": "latency_p95[a b]>0.1s", "value": 0.31, "held": False}]
    assert "0.310 s" in "".join(read(page(made))[1].seen)


def test_what_was_never_sent_is_counted_in() -> None:
    """`460 of 460` of a run that was cut off at 460 of 480 reads as a whole one."""
    made = run()
    made.summary["totals"]["unsent"] = 20
    ok, jobs = made.summary["totals"]["ok"], made.summary["totals"]["jobs"]
    seen = "".join(read(page(made))[1].seen)
    assert f"answered{ok:,}of {jobs + 20:,}, " in seen and ", 20 not done" in seen


def test_two_hundred_providers_stay_readable() -> None:
    """200 lines in one chart are a grey area; the page says what it left out."""
    fleet = {f"provider-{i:03d}": 0.3 + i / 50 for i in range(200)}
    whole, reader = read(page(run(fleet=fleet, results=10_000, rows=1000)))
    assert len(whole.encode()) < 6_000_000
    seen = "".join(reader.seen)
    assert "Drawn: the 8 with the most answers of 200." in seen and "provider-199" in seen
    stacked = next(d["ok"] for d in documents(reader) if "ok" in d)
    assert {v["who"] for v in stacked["data"]["values"]} >= {"others"}
    assert len(stacked["encoding"]["color"]["scale"]["domain"]) == 8


def test_ten_thousand_results_with_long_texts_stay_under_six_megabytes() -> None:
    """A report too large to mail is a report nobody opens."""
    made = page(run(results=10_000, rows=1000, said=f" {LONG_WORD}"))
    assert sum(len(piece.encode()) for piece in render(made)) < 6_000_000


@given(
    st.recursive(st.text() | st.characters(categories=["Cs"]), lambda each: st.lists(each, max_size=3), max_leaves=6)
)
@settings(max_examples=80, deadline=None)
def test_data_in_a_script_comes_back_whole_and_cannot_end_it(document: Any) -> None:
    """One `</script>` in an answer, unescaped, ends the page's data in the middle and begins the attacker's."""
    made = data(document)
    assert not set(made) & set("<>&\x00\u2028\u2029")
    made.encode("utf-8")
    assert json.loads(made) == document


@given(st.text() | st.characters(categories=["Cs", "Cc", "Cf"]))
@settings(max_examples=80, deadline=None)
def test_text_in_markup_is_harmless(said: str) -> None:
    """It stands between tags and in quoted attributes alike."""
    made = text(said)
    assert not re.search(r"""[<>"'\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]""", made)
    made.encode("utf-8")


def test_a_script_cannot_end_itself() -> None:
    """The library may say `</script>` in a string one day; the page would break off there."""
    whole = "".join(shell("t", ["<p>x</p>"], scripts=["x = '</script><!--<script>'\r\ny = 1"]))
    reader = Reader()
    reader.feed(whole)
    assert scripts(reader) == [r"x = '\x3c/script>\x3c!--\x3cscript>'" + "\ny = 1"]


def test_a_frame_of_other_marks_and_styles() -> None:
    """The page of a comparison stands in the same frame; its mark must not break out of its comment."""
    whole = "".join(shell("a & b", ["\ud800"], styles=".x { color: red }", marker="llmfan compare --><script>"))
    reader = Reader()
    reader.feed(whole)
    assert len(reader.comments) == 1 and reader.comments[0].startswith(" llmfan compare ") and not scripts(reader)
    assert "<title>a &amp; b</title>" in whole and ".x { color: red }" in whole and "script-src 'none'" in whole
    whole.encode("utf-8")


def test_without_the_extra_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A traceback helps nobody; and it comes before the first piece, so that no half page is left."""
    charts.bundle.cache_clear()
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    with pytest.raises(UserError, match=r"llmfan\[analysis\]") as told:
        render(page(empty_run()))
    assert told.value.exit_code == 2


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        (span(None), "—"), (span(0.0251), "0.025 s"), (span(1.237), "1.24 s"), (span(12.34), "12.3 s"),
        (span(312), "5 m 12 s"),
        (share(0.0), "0 %"), (share(0.0004), "under 0.1 %"), (share(0.12345), "12.3 %"),
        (share(0.9999), "over 99.9 %"), (share(1), "100 %"),
        (money(None), "—"), (money(0), "$0.00"), (money(1234.5), "$1,234.50"),
        (money(0.01234), "$0.0123"), (money(0.0000042), "$0.0000042"),
        (number(1200), "1,200"), (number(0.639), "0.64"), (number(33.33), "33.3"), (number(None), "—"),
    ],
)  # fmt: skip
def test_figures_are_spelled_with_the_digits_that_matter(made: str, wanted: str) -> None:
    """A rate of 0.04 % that reads `0 %` says that nothing failed."""
    assert made == wanted
