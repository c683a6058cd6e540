"""Gates: what may be written, what it means, and what is said of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from llmfan.errors import UserError
from llmfan.measures.gate_values import spelled
from llmfan.measures.gates import MINIMUM_SAMPLE, judge, parse, refuse_early, sample, sentence, trips
from llmfan.measures.metrics import figures

NAMES = ["good", "good/org/model-1:free", "good/odd[1]", "good#1", "my label"]


def entry(name: str = "", **totals: Any) -> dict[str, Any]:
    whole = {"jobs": 100, "ok": 90, "failed": 10, "failed_rate": 0.1, "attempts": 120, **totals}
    return {"name": name, "totals": whole, "latency_s": {"n": 90, "p50": 0.8, "p95": 2.41, "max": 3.0}}


def summary(**totals: Any) -> dict[str, Any]:
    return {
        **entry(**totals),
        "providers": [entry("good", failed_rate=0.2)],
        "models": [entry("good/odd[1]", failed_rate=0.3)],
        "keys": [entry("good#1", failed_rate=0.4)],
        "client": {"peak_rss_bytes": 70_000_000},
    }


# ---------------------------------------------------------------- what may be written


@pytest.mark.parametrize(
    ("expr", "figure", "name", "op", "value"),
    [
        ("failed_rate > 1%", "failed_rate", "", ">", 0.01),
        ("failed_rate>0.01", "failed_rate", "", ">", 0.01),
        ("failed_rate > 100%", "failed_rate", "", ">", 1.0),
        ("rate_limited_rate > 0", "rate_limited_rate", "", ">", 0.0),
        ("latency_p95 > 2s", "latency_p95", "", ">", 2.0),
        ("latency_s_p95 > 2", "latency_p95", "", ">", 2.0),
        ("  latency_p95\t>=  300 ms ", "latency_p95", "", ">=", 0.3),
        ("ttft_p50[good] > 300ms", "ttft_p50", "good", ">", 0.3),
        ("ttft_p50 [ good/org/model-1:free ]>300ms", "ttft_p50", "good/org/model-1:free", ">", 0.3),
        ("ttft_p50[good/odd[1]] > 1s", "ttft_p50", "good/odd[1]", ">", 1.0),
        ("ttft_p50[my label] > 1s", "ttft_p50", "my label", ">", 1.0),
        ("output_tokens_per_s[good#1] < 500", "output_tokens_per_s", "good#1", "<", 500.0),
        ("output_tokens_per_s < 500/s", "output_tokens_per_s", "", "<", 500.0),
        ("requests_per_s <= .5 /s", "requests_per_s", "", "<=", 0.5),
        ("accuracy < 0.9", "accuracy", "", "<", 0.9),
        ("accuracy < 1", "accuracy", "", "<", 1.0),
        ("accuracy_low < 90 %", "accuracy_low", "", "<", 0.9),
        ("cost_usd > 1.50", "cost_usd", "", ">", 1.5),
        ("cost_usd > $1.50", "cost_usd", "", ">", 1.5),
        ("cost_usd > 1.50 USD", "cost_usd", "", ">", 1.5),
        ("duration > 10m", "duration_s", "", ">", 600.0),
        ("duration_s > 1h30m", "duration_s", "", ">", 5400.0),
        ("efficiency < 0.9", "efficiency", "", "<", 0.9),
        ("unsent != 0", "unsent", "", "!=", 0.0),
        ("jobs == 1319", "jobs", "", "==", 1319.0),
        ("output_tokens > 1e6", "output_tokens", "", ">", 1e6),
        ("peak_rss_bytes > 64MB", "peak_rss_bytes", "", ">", 64e6),
        ("peak_rss_bytes > 64 MiB", "peak_rss_bytes", "", ">", 64.0 * 1024**2),
        ("cpu_share > 1.2", "cpu_share", "", ">", 1.2),
    ],
)
def test_gates_of_the_grammar_are_read(expr: str, figure: str, name: str, op: str, value: float) -> None:
    """A value read in another unit lets a slow run through, or fails a good one."""
    gate = parse(expr, NAMES)
    assert (gate.figure.name, gate.name, gate.op) == (figure, name, op)
    assert gate.value == pytest.approx(value, abs=0)
    assert gate.expr == expr.strip()


@pytest.mark.parametrize(
    ("expr", "said"),
    [
        ("latncy_p95 > 2s", 'no figure "latncy_p95" (did you mean "latency_p95"?)'),
        ("latency > 2s", 'did you mean "latency_p95"?'),
        ("Accuracy < 0.9", 'did you mean "accuracy"?'),
        ("latency_p95[godo] > 2s", 'no provider, model or key "godo" (did you mean "good"?)'),
        ("latency_p95[elsewhere] > 2s", "(there is good, good#1"),
        ("latency_p95[] > 2s", "the brackets are empty"),
        ("latency_p95[good > 2s", "the bracket is not closed"),
        ("latency_p95 => 2s", 'did you mean ">="?'),
        ("latency_p95 = 2s", 'did you mean "=="?'),
        ("latency_p95 ≥ 2s", 'did you mean ">="?'),
        ("latency_p95 over 2s", "expected one of > >= < <= == !="),
        ("latency_p95", "got nothing"),
        ("latency_p95 >", "there is no value"),
        ("latency_p95 > fast", '"fast" is no value'),
        ("latency_p95 > nan", '"nan" is no value'),
        ("latency_p95 > inf", '"inf" is no value'),
        ("latency_p95 > -1", '"-1" is no value'),
        ("latency_p95 > 2 sec", '"2 sec" is no value'),
        ("jobs > 1e999", "is no value"),
        (f"latency_p95 > {'9' * 400}s", "is no value"),
        ("jobs > 1,000", '"1,000" is no value'),
        ("failed_rate > 2s", 'failed_rate is a share, such as 1% or 0.01, and "2s" is a time'),
        ("latency_p95 > 1%", '"1%" is a share'),
        ("latency_p95 > $2", '"$2" is an amount of money'),
        ("jobs > 5MB", '"5MB" is a size'),
        ("cost_usd > 5/s", '"5/s" is a rate'),
        ("failed_rate > 5", 'did you mean "5%"?'),
        ("failed_rate > 1", 'did you mean "failed_rate > 1%"?'),
        ("failed_rate > 500%", "a share of at most 1"),
        ("latency_p95 > +10%", "nothing is compared here"),
        ("efficiency[good] < 0.9", "efficiency is of the run as a whole"),
        ("peak_rss_bytes[good] > 1MB", "of the run as a whole"),
        ("latency_p95 > 2s and failed_rate > 1%", "is no value"),
        ("", "METRIC[NAME] OP VALUE"),
        ("> 2s", "METRIC[NAME] OP VALUE"),
    ],
)
def test_a_bad_gate_is_refused_with_the_reason(expr: str, said: str) -> None:
    """A gate misread, or one that can never fail, is noticed when the bad release is out."""
    with pytest.raises(UserError) as caught:
        parse(expr, NAMES)
    assert said in str(caught.value)
    assert f'gate "{expr[:20]}' in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("expr", "value"), [("latency_p50 > +10%", 0.1), ("accuracy[good] < -2%", -0.02), ("latency_p50>+ 2.5 %", 0.025)]
)
def test_a_change_is_relative_and_signed(expr: str, value: float) -> None:
    """`+10%` read as 10 seconds, or without its sign, would gate on something else."""
    gate = parse(expr, NAMES, change=True)
    assert gate.value == pytest.approx(value)
    assert gate.change


@pytest.mark.parametrize("expr", ["latency_p50 > 10%", "latency_p50 > 2s", "latency_p50 > +2s", "latency_p50 > +x%"])
def test_a_level_is_no_change(expr: str) -> None:
    """Whoever writes a level to `compare` must hear that it compares changes."""
    with pytest.raises(UserError, match="is no change"):
        parse(expr, NAMES, change=True)


@given(
    st.one_of(
        st.text(),
        st.builds(
            "".join,
            st.lists(
                st.sampled_from(
                    [*figures(), "[", "]", "good", ">", "<=", "==", " ", "1", "9" * 320, ".", "e", "%", "s", "m", "h",
                     "/s", "$", "MiB", "+", "-", "_", "\x00", "٣", "²"]
                ),
                max_size=8,
            ),
        ),
    ),
    st.booleans(),
)  # fmt: skip
@example("jobs > 1_", False)
@example("latency_p95 > ²s", False)
def test_whatever_is_written_a_gate_comes_out_or_a_reason(expr: str, change: bool) -> None:
    """A traceback for a typing mistake."""
    try:
        gate = parse(expr, NAMES, change=change)
    except UserError as error:
        assert len(str(error)) < 1000
    else:
        assert abs(gate.value) < float("inf")
        assert judge([gate], summary())[0]["expr"] == expr.strip()


@given(
    st.sampled_from(["latency_p95", "failed_rate", "requests_per_s", "cost_usd", "jobs"]),
    st.sampled_from([">", ">=", "<", "<=", "==", "!="]),
    st.floats(0, 0.999),
    st.floats(0, 2),
)
def test_a_gate_holds_exactly_where_its_comparison_is_false(metric: str, op: str, bound: float, value: float) -> None:
    """Turned round, every good run fails and every bad one passes."""
    gate = parse(f"{metric} {op} {bound!r}", NAMES)
    true = {
        ">": value > bound, ">=": value >= bound, "<": value < bound, "<=": value <= bound, "==": value == bound,
        "!=": value != bound,
    }[op]  # fmt: skip
    assert gate.holds(value) is not true
    assert not gate.holds(None)
    assert not gate.holds(float("nan"))


# ---------------------------------------------------------------- judged


def test_a_gate_reads_the_entry_it_names() -> None:
    """The run as a whole may be good while one provider is broken."""
    exprs = ["failed_rate > 0", *(f"failed_rate[{name}] > 0" for name in ("good", "good/odd[1]", "good#1"))]
    gates = [parse(expr, NAMES) for expr in exprs]
    assert [gate.read(summary()) for gate in gates] == [0.1, 0.2, 0.3, 0.4]
    assert parse("peak_rss_bytes > 64MB", NAMES).read(summary()) == 70_000_000


def test_a_verdict_says_figure_and_bound() -> None:
    """A pipeline that is red without a reason gets its gate removed."""
    held, broken = judge([parse("failed_rate > 20%", NAMES), parse("latency_p95 > 2s", NAMES)], summary())
    assert held == {
        "expr": "failed_rate > 20%", "value": 0.1, "held": True,
        "why": "failed_rate is 10 %, and must not be over 20 %",
    }  # fmt: skip
    assert broken == {
        "expr": "latency_p95 > 2s", "value": 2.41, "held": False,
        "why": "latency_p95 is 2.41 s, and must not be over 2 s",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("expr", "value", "said"),
    [
        ("latency_p95 > 2s", 2.0004, "is 2.0004 s, and must not be over 2 s"),
        ("accuracy < 0.9", 0.8999, "is 89.99 %, and must not be under 90 %"),
        ("cost_usd > 1.5", 1.50001, "is $1.50001, and must not be over $1.50"),
        ("duration > 10m", 600.2, "is 600.2 s, and must not be over 600 s"),
        ("duration > 10m", 754.0, "is 12 m 34 s, and must not be over 10 m 00 s"),
        ("itl_p50 >= 1ms", 0.001, "is 1 ms, and must not be 1 ms or more"),
        ("jobs != 1319", 1318.0, "is 1,318, and must be 1,319"),
        ("latency_p95[good] <= 300ms", 0.25, "latency_p95[good] is 250 ms, and must not be 300 ms or less"),
    ],
)
def test_value_and_bound_are_told_apart(expr: str, value: float, said: str) -> None:
    """`2 s, and must not be over 2 s` explains nothing."""
    assert said in sentence(parse(expr, NAMES), value)


@pytest.mark.parametrize(
    ("expr", "found", "said"),
    [
        ("accuracy < 0.9", summary(), "accuracy is undefined: nothing was graded, so this gate cannot hold"),
        ("accuracy < 0.9", summary(ok=0), "nothing was answered"),
        ("ttft_p50 > 1s", summary(), "no answer gave one to measure"),
        ("ttft_p50 > 1s", summary(ok=0), "nothing was answered"),
        ("cost_usd > 1", summary(cost_usd=None, cost_unknown=90), "no answer's price is known"),
        ("cost_per_right_usd > 1", summary(cost_unknown=1, right=5), "the price of 1 answer is not known"),
        ("cost_per_right_usd > 1", summary(cost_unknown=0, right=0), "no answer was right"),
        ("failed_rate > 1%", summary(jobs=0, failed_rate=None), "no job ended"),
        ("rate_limited_rate > 1%", summary(attempts=0), "nothing was sent"),
        ("requests_per_s < 1", summary(ok=0, requests_per_s=None), "nothing was answered"),
        ("latency_p95[my label] > 1s", summary(), 'this run has no figures of "my label"'),
        ("efficiency < 0.9", summary(efficiency=None), "no ideal duration"),
        ("achieved_per_s < 9", summary(), "no --rate was asked for"),
        ("wrong > 3", summary(), "this summary does not have it"),
        ("wrong > 3", {}, "so this gate cannot hold"),
    ],
)
def test_an_undefined_figure_does_not_hold_and_says_why(expr: str, found: dict[str, Any], said: str) -> None:
    """Nothing graded, yet green: the gate that was to catch it let it through."""
    (verdict,) = judge([parse(expr, NAMES)], found)
    assert (verdict["value"], verdict["held"]) == (None, False)
    assert said in verdict["why"]


@given(st.floats(0, 1e12), st.sampled_from(["s", "share", "1/s", "USD", "B", ""]), st.integers(3, 12))
def test_every_figure_can_be_spelled(value: float, unit: str, digits: int) -> None:
    """A figure of an unforeseen size would end the run in a traceback, after all its requests."""
    assert any(char.isdigit() for char in spelled(value, unit, digits))


# ---------------------------------------------------------------- while a run goes on


@pytest.mark.parametrize(
    "expr",
    [
        "efficiency < 0.9", "ideal_duration_s > 1m", "unsent > 0", "peak_rss_bytes > 1GB", "ok < 100", "jobs != 100",
        "duration < 1m", "duration > 10m", "output_tokens <= 5", "latency_max < 1s", "failed == 0",
        "accuracy_low < 0.9", "accuracy_high > 0.9",
    ],
)  # fmt: skip
def test_what_says_nothing_early_is_refused_early(expr: str) -> None:
    """Each of these would stop every run at its twentieth answer."""
    with pytest.raises(UserError, match="--fail-if"):
        refuse_early(parse(expr, NAMES))


@pytest.mark.parametrize(
    "expr",
    [
        "failed_rate > 5%", "failed > 3", "failed != 0", "cost_usd[good] > 1", "latency_p95 > 2s",
        "accuracy < 0.5", "accuracy_high < 0.9", "requests_per_s < 1", "latency_max > 10s",
    ],
)  # fmt: skip
def test_what_can_be_known_early_is_taken(expr: str) -> None:
    """A broken endpoint has to cost little."""
    gate = parse(expr, NAMES)
    refuse_early(gate)  # raises for what cannot
    assert gate.expr == expr
    assert not gate.figure.whole_run


@pytest.mark.parametrize(
    ("expr", "size"),
    [
        ("failed_rate > 1%", 100), ("rate_limited_rate > 0", 120), ("latency_p95 > 2s", 90), ("ttft_p95 > 2s", 0),
        ("accuracy < 0.5", 25), ("requests_per_s < 5", 90), ("cost_usd > 1", 90), ("output_tokens > 5", 90),
    ],
)  # fmt: skip
def test_a_figure_rests_on_its_own_observations(expr: str, size: int) -> None:
    """A hundred answers say nothing of the accuracy if two were graded."""
    assert sample(parse(expr, NAMES), entry(right=20, wrong=5)) == size


def test_a_run_is_stopped_from_the_minimum_sample_on_and_not_before() -> None:
    """Sooner, one unlucky first answer stops a good run; later, a broken endpoint costs more."""
    gate = parse("failed_rate > 1%", NAMES)
    for jobs in range(1, 2 * MINIMUM_SAMPLE):
        assert trips(gate, entry(jobs=jobs, failed_rate=0.5)) is (jobs >= MINIMUM_SAMPLE)
    assert not trips(gate, entry(failed_rate=0.01))
    assert not trips(gate, entry(failed_rate=None))


def test_a_cost_that_leaves_answers_out_holds_no_bound() -> None:
    """The half with a known price may be the cheap one."""
    known = {"totals": {"cost_usd": 0.5, "cost_unknown": 0, "ok": 9}}
    part = {"totals": {"cost_usd": 0.5, "cost_unknown": 3, "ok": 9}}
    gate = parse("cost_usd > 1", set())
    assert [judge([gate], document)[0]["held"] for document in (known, part)] == [True, False]
    assert "price: {input: 0, output: 0}" in judge([gate], part)[0]["why"]
