"""Which keys a forecast counts on."""

from __future__ import annotations

import pytest

from llmfan.entries import KeyState, State
from llmfan.forecasting.fit import fit
from llmfan.settings import Fleet
from tests.scenarios.world import provider

FLEET = Fleet(file="p", providers=[provider("a", 2, models=["m", "n"]), provider("b")])


def labels(fleet: Fleet) -> list[str]:
    return [key.label for p in fleet.providers for key in p.keys]


@pytest.mark.parametrize(
    ("state", "model", "left"),
    [
        ("invalid", "", ["a#1", "b#1"]),
        ("no_credit", "m", ["a#1", "a#2", "b#1"]),  # its other model may do
        ("exhausted", "", ["a#1", "a#2", "b#1"]),  # comes back
        ("unreachable", "", ["a#1", "b#1"]),
    ],
)
def test_a_key_that_does_not_work_is_not_counted_on(state: State, model: str, left: list[str]) -> None:
    """A forecast that shares a batch out over dead keys is half the time it will take."""
    fleet, said = fit(FLEET, [KeyState(key="a#2", model=model, state=state, at=1763683200.0)])
    assert labels(fleet) == left
    assert len(said) == 3 - len(left)
    assert all(f"a#2 is left out: {state} on 2025-11-21" in line for line in said)
    assert all(place[0] in labels(fleet) for p in fleet.providers for place in p.limits)


def test_a_key_that_has_answered_since_is_counted_on() -> None:
    """Credit was bought after the probe, and a run has shown it."""
    said = [KeyState(key="a#2", state="no_credit", at=1.0), KeyState(key="a#2", model="m", state="ok", at=2.0)]
    assert fit(FLEET, said) == (FLEET, [])


def test_a_fleet_of_which_nothing_works_is_forecast_whole() -> None:
    """It is for when the keys are mended; an empty fleet would be no forecast at all."""
    dead = [KeyState(key=label, state="invalid") for label in labels(FLEET)]
    assert fit(FLEET, dead) == (FLEET, [])
