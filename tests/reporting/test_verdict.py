"""The one line about a run: what it must say, and what it must not claim."""

from __future__ import annotations

from typing import Any

import pytest

from llmfan.reporting.verdict import percent, verdict

TOTALS = {
    "jobs": 1319, "ok": 1317, "failed": 2, "attempts": 1330, "rate_limited": 5, "duration_s": 501.0,
    "efficiency": 0.97, "accuracy": 0.91, "accuracy_low": 0.89, "accuracy_high": 0.93, "cost_usd": 0.12, "unsent": 0,
}  # fmt: skip


def summary(**more: Any) -> dict[str, Any]:
    places = [place("one", 0.84), place("two", 1.2)]
    gates = [{"expr": f"g{i}", "held": True} for i in range(3)]
    return {"run": {"ending": "done"}, "totals": TOTALS, "providers": places, "gates": gates, **more}


def place(name: str, median: float | None, ok: int = 50) -> dict[str, Any]:
    return {"name": name, "totals": {"ok": ok}, "latency_s": {"p50": median}}


def test_it_says_all_a_person_needs() -> None:
    """It is read out in a meeting: what is not in it was not said."""
    assert verdict(summary()) == (
        "1,317 of 1,319 prompts answered in 8 m 21 s, 97 % of what the limits permit; 2 failed; "
        "0.4 % of requests met a 429; accuracy 91 % (89 to 93); "
        "the fastest provider was one (median 0.84 s); cost $0.12; all 3 gates held."
    )


def test_what_limits_it_comes_first() -> None:
    """A figure of a simulated fleet that is taken for a real one is the worst a report can do."""
    text = verdict(summary(simulated=True, client={"limited": True, "why": "its loop was late"}))
    assert text.startswith(
        "Simulated, no real provider was asked; this run was held back by llmfan itself (its loop was late); "
    )


def test_what_was_not_done_counts() -> None:
    """10 of 10 answered, of a hundred that were asked, is no success."""
    early = summary(run={"ending": "stalled", "why": "every quota is spent"}, totals={**TOTALS, "unsent": 81})
    assert verdict(early).startswith("1,317 of 1,400 prompts answered")
    assert "; 2 failed, 81 not done; stopped early: every quota is spent; " in verdict(early)


def test_where_nothing_was_answered_it_says_why() -> None:
    """`0 of 10 answered` alone sends its reader through the whole page for the one word that matters."""
    none = {"totals": {**TOTALS, "ok": 0, "failed": 10}, "providers": [], "errors": {"timeout": 3, "auth": 7}}
    assert "; 10 failed (mostly auth, 7); " in verdict(none)
    assert "; 10 failed (auth); " in verdict({**none, "errors": {"auth": 10}})
    assert "auth" not in verdict(summary(errors={"auth": 2}))


def test_a_gate_that_did_not_hold_is_named() -> None:
    """That one of three broke is half the news."""
    gates = [{"expr": "latency_p95 > 2s", "held": False}, {"expr": "b", "held": True}]
    assert verdict(summary(gates=gates)).endswith("1 of 2 gates did not hold: latency_p95 > 2s.")


@pytest.mark.parametrize(
    ("places", "said"),
    [
        ([place("one", 0.84)], ""),
        ([place("one", None, 0), place("two", None, 0)], ""),
        ([place("one", 0.1, ok=1), place("two", 0.5), place("three", 0.9)], "the fastest provider was two"),
        ([place("one", 0.500), place("two", 0.505), place("three", 0.9)], "the fastest providers were one and two"),
        ([place(n, 0.5) for n in "abc"], "3 providers were about as fast as each other (median 0.50 s)"),
    ],
)
def test_it_crowns_nobody_who_did_not_win(places: list[dict[str, Any]], said: str) -> None:
    """One lucky answer, or a hundredth of a second, makes no fastest provider."""
    text = verdict(summary(providers=places))
    assert said in text
    assert said or "fast" not in text


def test_undefined_figures_are_left_out() -> None:
    """Accuracy 0 % and cost $0.00 are claims; nothing known is none."""
    text = verdict({"totals": {"jobs": 2, "ok": 0, "failed": 2, "attempts": 0}})
    assert text == "0 of 2 prompts answered; 2 failed; no request was sent."


def test_costs_that_leave_answers_out_say_so() -> None:
    """A sum over half of the answers looks like a bargain."""
    assert "cost $0.12, not counting 300 answers of unknown price" in verdict(
        summary(totals={**TOTALS, "cost_unknown": 300})
    )


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0, "0 %"), (1, "100 %"), (0.99999, "99.9 %"), (0.0000001, "0.01 %"), (0.004, "0.4 %"), (0.0379, "4 %"),
        (0.996, "99.6 %"),
    ],
)  # fmt: skip
def test_all_and_nothing_are_said_of_all_and_nothing_only(share: float, text: str) -> None:
    """100 % answered, with one failed, is false."""
    assert percent(share) == text
