"""The self-audit: a run that llmfan itself held back says so, and no other does."""

from __future__ import annotations

import pytest

from llmfan.audit import Arrivals, Audit
from llmfan.measures.metrics import CLIENT
from llmfan.measures.sketch import Sketch


def lags(*values: float) -> Sketch:
    sketch = Sketch()
    for value in values:
        sketch.add(value)
    return sketch


def arrivals(capped: int = 0) -> Arrivals:
    return Arrivals(places=1, planned=101, planned_s=10.0, sent=51, sent_s=10.0, capped=capped)


def test_a_quiet_process_is_not_limited() -> None:
    """A flag that is always up is read by nobody."""
    found = Audit().document(lags(*[0.001] * 200))
    assert (found["limited"], found["why"]) == (False, "")
    assert found["peak_rss_bytes"] > 1_000_000


def test_a_late_event_loop_is_named() -> None:
    """Latencies measured by a process that was late are the process's, not the provider's."""
    found = Audit().document(lags(*[0.001] * 50, *[0.4] * 50))
    assert found["limited"]
    assert "event loop" in found["why"]


def test_a_full_core_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """One process uses one core: beyond it every figure is too large."""
    moments, spent = iter([0.0, 10.0]), iter([1.0, 10.5, 10.5])
    monkeypatch.setattr("llmfan.audit.time.perf_counter", lambda: next(moments))
    monkeypatch.setattr("llmfan.audit._cpu", lambda: next(spent))
    found = Audit().document(Sketch())
    assert found["cpu_share"] == 0.95
    assert "core" in found["why"]


def test_asked_and_achieved_rates_count_gaps_and_a_cap_of_our_own_is_named() -> None:
    """A load that was never offered must not be read as one that was carried."""
    found = Audit().document(Sketch(), arrivals())
    assert (found["asked_per_s"], found["achieved_per_s"], found["limited"]) == (10.0, 5.0, False)
    assert "--concurrency" in Audit().document(Sketch(), arrivals(capped=40))["why"]


def test_every_figure_of_the_client_is_declared() -> None:
    """The README and --definitions go by the declaration."""
    assert set(Audit().document(Sketch())) == {m.name for m in CLIENT} | {"limited", "why"}
