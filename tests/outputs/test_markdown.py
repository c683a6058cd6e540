"""The Markdown summary, as a CI site shows it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from llmfan.outputs.markdown import gates_markdown, markdown
from llmfan.outputs.markdown_text import code, row, table

HOSTILE = (
    "<script>alert(1)</script> ![x](http://e/x.png) [l](http://e) **b** _i_ `c` a|b a\\|b @octocat #123 http://e.com"
    " $x$\n# h\x1b[2J"
)


def entry(name: str, **totals: Any) -> dict[str, Any]:
    whole = {
        "jobs": 1000, "ok": 997, "failed": 3, "failed_rate": 0.003, "attempts": 1050, "rate_limited": 50,
        "duration_s": 61.0, "requests_per_s": 16.34, "output_tokens_per_s": 1234.5, "cost_usd": 0.0123,
        "cost_unknown": 0, "estimated_token_counts": 0, "right": 470, "wrong": 30, "accuracy": 0.94,
        "accuracy_low": 0.9158, "accuracy_high": 0.9575, **totals,
    }  # fmt: skip
    return {
        "name": name, "totals": whole, "latency_s": {"n": 997, "p50": 0.812, "p95": 2.41},
        "ttft_s": {"n": 0, "p50": None},
    }  # fmt: skip


def summary(**more: Any) -> dict[str, Any]:
    return {
        **entry(""),
        "providers": [entry("one"), entry("two", accuracy=None, cost_usd=None)],
        "gates": [
            {"expr": "latency_p95 > 2s", "value": 2.41, "held": False, "why": "latency_p95 is 2.41 s"},
            {"expr": "accuracy[one]<0.9", "value": 0.94, "held": True, "why": "accuracy is 94 %"},
            {"expr": "cost_usd > 1", "value": None, "held": False, "why": "cost_usd is undefined"},
        ],
        "paired_accuracy": [
            {"a": "one", "b": "two", "n": 400, "a_right": 360, "b_right": 368, "difference": 0.02, "low": -0.004,
             "high": 0.044}
        ],
        "errors": {"timeout": 1, "bad_request": 2},
        "examples": {"bad_request": "no such field", "timeout": "after 60 s"},
        **more,
    }  # fmt: skip


def tokens(text: str) -> list[Token]:
    """All of them, those inside paragraphs and cells too."""
    found = MarkdownIt("gfm-like", {"linkify": False}).parse(text)
    return [inner for token in found for inner in (token, *(token.children or ()))]


def cells(text: str) -> list[list[str]]:
    """The rows of all tables, as a reader sees them."""
    rows: list[list[str]] = []
    kept = tokens(text)
    for at, token in enumerate(kept):
        if token.type == "tr_open":
            rows.append([])
        elif token.type in ("td_open", "th_open"):
            rows[-1].append("".join(t.content for t in kept[at + 1].children or ()))
    return rows


def test_a_reader_sees_the_verdict_and_every_figure() -> None:
    """Whoever opens the CI page decides by it whether to merge."""
    text = markdown(summary())
    assert text.startswith("## llmfan: 2 of 3 gates did not hold, 997 of 1,000 prompts answered\n")
    rows = cells(text)
    assert ["latency_p95 > 2s", "2.41 s", "no", "latency_p95 is 2.41 s"] in rows
    assert ["accuracy[one]<0.9", "94 %", "yes", "accuracy is 94 %"] in rows
    assert ["cost_usd > 1", "—", "no", "cost_usd is undefined"] in rows
    assert ["provider", "ok", "failed", "429s", "TTFT p50", "latency p50", "latency p95", "tok/s", "accuracy",
            "cost (USD)"] in rows  # fmt: skip
    assert ["one", "997", "3 (0.3 %)", "50 (4.76 %)", "—", "812 ms", "2.41 s", "1,234",
            "94 % (91.6 to 95.8, n = 500)", "0.0123"] in rows  # fmt: skip
    assert ["two", "997", "3 (0.3 %)", "50 (4.76 %)", "—", "812 ms", "2.41 s", "1,234", "—", "—"] in rows
    assert ["one", "two", "400", "360", "368", "+2.0 (-0.4 to +4.4)"] in rows
    assert rows[-2:] == [["bad_request", "2", "no such field"], ["timeout", "1", "after 60 s"]]


@pytest.mark.parametrize(
    ("held", "said"),
    [
        ([], "## llmfan: 997 of 1,000 prompts answered\n"),
        ([True], "## llmfan: the gate held, 997"),
        ([True, True], "## llmfan: all 2 gates held, 997"),
        ([False], "## llmfan: 1 of 1 gate did not hold, 997"),
    ],
)
def test_the_heading_is_the_verdict(held: list[bool], said: str) -> None:
    """The heading is often all that is read."""
    gates = [{"expr": "jobs > 1", "value": 2, "held": one, "why": ""} for one in held]
    assert markdown(summary(gates=gates)).startswith(said)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"simulated": True}, "no real provider was asked"),
        ({"client": {"limited": True, "why": "it was late"}}, "llmfan itself held the run back: `it was late`"),
        ({"client": {"limited": True}}, "llmfan itself held the run back."),
        ({"totals": {"estimated_token_counts": 12}}, "The token counts of 12 answers are estimates"),
        ({"totals": {"cost_unknown": 3, "cost_usd": 0.5}}, "The price of 3 answers is not known"),
        ({"totals": {"cost_unknown": 3, "cost_usd": 0.5}}, "cost over 0.50 USD"),
        ({"totals": {"ungraded": 4}}, "4 answers could not be graded"),
        ({"totals": {"unsent": 5}}, "5 prompts were not done"),
    ],
)  # fmt: skip
def test_what_weakens_the_figures_is_said(more: dict[str, Any], said: str) -> None:
    """Simulated, estimated or held back by ourselves, yet shown like the rest, is a lie."""
    assert said in markdown(summary(**more))
    assert said not in markdown(summary())


def test_models_are_shown_where_a_provider_has_several() -> None:
    """Two models under one name would be averaged away; the same table twice would hide the rest."""
    assert "| model |" in markdown(summary(models=[entry("one/a"), entry("one/b"), entry("two/c")]))
    assert "| model |" not in markdown(summary(models=[entry("one/a"), entry("two/c")]))


def test_an_older_or_empty_summary_will_do() -> None:
    """A baseline of another version is still to be read."""
    assert markdown({}).startswith("## llmfan: 0 of 0 prompts answered")
    bare = markdown({"providers": [{"name": "one"}], "gates": [{"expr": "gone_figure > 1", "value": 2.0}]})
    assert ["one", *["—"] * 9] in cells(bare)
    assert ["gone_figure > 1", "2", "no", "—"] in cells(bare)


def test_changes_are_shown_as_changes() -> None:
    """0.12 beside `> +10%` is read as seconds."""
    gates = [{"expr": "latency_p50 > +10%", "value": 0.12, "held": False, "why": ""}]
    assert ["latency_p50 > +10%", "+12 %", "no", "—"] in cells(gates_markdown(gates, change=True))
    assert gates_markdown([]) == ""


# ---------------------------------------------------------------- hostile text


def hostile_summary(text: str) -> dict[str, Any]:
    return summary(
        providers=[entry(text)], models=[entry(text), entry(text)], errors={text: 2}, examples={text: text},
        out={text: text}, client={"limited": True, "why": text},
        gates=[{"expr": text, "value": 1.0, "held": False, "why": text}],
        paired_accuracy=[{"a": text, "b": text, "n": 1, "a_right": 1, "b_right": 1, "difference": 0.0, "low": -1.0,
                          "high": 1.0}],
    )  # fmt: skip


@given(st.text(alphabet=st.one_of(st.characters(), st.sampled_from("|`<>[]()*_\\\n@#!&~$ \x1b\u202e")), min_size=1))
@example(HOSTILE)
@example("`")
@example("``|`\\|\\")
@example("\\")
def test_nothing_that_was_said_becomes_markup(hostile: str) -> None:
    """An answer that writes links, mentions or HTML into a pull request speaks in our name."""
    calm = [t.type for t in tokens(markdown(hostile_summary("calm"))) if t.type != "text"]
    shown = [t.type for t in tokens(markdown(hostile_summary(hostile))) if t.type != "text"]
    if hostile.strip():
        assert shown == calm
    else:
        assert [t for t in shown if t != "code_inline"] == [t for t in calm if t != "code_inline"]


@given(st.text(alphabet="a`|\\ @<", min_size=1))
def test_text_in_a_table_stays_in_its_cell_and_reads_as_it_was(text: str) -> None:
    """A bar too many, and every figure stands under another title."""
    (_, shown) = cells(table(["a", "b"], [row(code(text), "1")]))
    assert len(shown) == 2
    assert shown[1] == "1"
    assert shown[0].replace("\\ |", "\\|") == (text.strip().replace("\\ |", "\\|") or "—")


def test_mentions_and_references_stand_in_code() -> None:
    """Only code is left alone when a site looks for names and numbers to link."""
    text = markdown(hostile_summary("@octocat #123 http://e.com"))
    assert not re.search(r"@octocat|#123|http", re.sub(r"`[^`]*`", "", text))


def test_a_large_fleet_stays_within_a_comment() -> None:
    """A site cuts or refuses a comment of more than 65,536 characters, and the verdict is not posted."""
    many = [entry(f"provider-{at}") for at in range(1000)]
    gates = [{"expr": f"jobs > {at}", "value": 1, "held": at != 900, "why": "w"} for at in range(1000)]
    errors = {f"kind{at}": 1 for at in range(100)}
    text = markdown(summary(providers=many, models=many, gates=gates, errors=errors, examples={"kind0": "x" * 9999}))
    assert len(text) < 65_536
    assert "… and 800 more providers." in text
    assert "… and 80 more kinds." in text
    assert "jobs > 900" in text
