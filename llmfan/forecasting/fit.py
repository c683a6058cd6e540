"""Keys that were last found not to work are no part of a forecast."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from msgspec.structs import replace

from llmfan.entries import KeyState
from llmfan.settings import Fleet, KeySettings, Provider

#: What no wait is known to cure.
UNFIT = ("invalid", "forbidden", "no_credit", "no_model", "retired", "unreachable")


def fit(fleet: Fleet, states: Iterable[KeyState]) -> tuple[Fleet, list[str]]:
    """The fleet without them, and a line for each; the whole fleet if nothing would be left of it."""
    states = list(states)
    well = {state.key: state.at for state in sorted(states, key=lambda s: s.at) if state.state == "ok"}
    bad = {
        (state.key, state.model): state
        for state in states
        if state.state in UNFIT and (state.model or state.at >= well.get(state.key, 0.0))
    }  # what was said of a whole key is void once a model of it answered
    providers, said = [], []
    for provider in fleet.providers:
        kept = [key for key in provider.keys if not _unfit(provider, key, bad)]
        said += [_line(provider, key, bad) for key in provider.keys if key not in kept]
        if kept:
            labels = {key.label for key in kept}
            limits = {place: own for place, own in provider.limits.items() if place[0] in labels}
            providers.append(replace(provider, keys=kept, limits=limits))
    return (replace(fleet, providers=providers), said) if providers else (fleet, [])


def _unfit(provider: Provider, key: KeySettings, bad: dict[tuple[str, str], KeyState]) -> bool:
    return (key.label, "") in bad or all((key.label, model.name) in bad for model in provider.models)


def _line(provider: Provider, key: KeySettings, bad: dict[tuple[str, str], KeyState]) -> str:
    state = bad.get((key.label, "")) or bad[key.label, provider.models[0].name]
    day = dt.datetime.fromtimestamp(state.at, dt.UTC)
    return f"{key.label} is left out: {state.state} on {day:%Y-%m-%d} (llmfan probe asks it again)"
