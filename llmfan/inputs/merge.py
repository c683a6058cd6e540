"""Limits and request fields merged over the levels that may give them: preset, provider, key, model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec.structs import replace

from llmfan.inputs.declared import Limits
from llmfan.settings import LimitSet, Preset, document_limits

#: The axes that pace a provider. Where none of them is known, its rate has to be learned.
RATES = frozenset({"rps", "rpm", "rph", "concurrency"})


def merge_limits(preset: Preset, model: str, levels: Iterable[tuple[str, Limits]], near_by: bool) -> LimitSet:
    """The limits of one key and model: later levels over earlier ones, axis by axis; None lifts one, `none` all.

    `near_by`: a loopback or private address, where what nobody limits is unlimited rather than unknown.
    """
    axes: dict[str, float] = document_limits(preset, model)
    origin = dict.fromkeys(axes, "preset")
    rest: dict[str, Any] = {"burst": None, "reset": preset.limiter.reset, "shared": preset.shared}
    lifted = False
    for level, limits in levels:
        if limits.unlimited:
            axes, origin, rest["burst"], lifted = {}, {}, None, True
        for axis, figure in limits.axes.items():
            axes.pop(axis, None)
            origin.pop(axis, None)
            if figure is None:
                lifted = lifted or axis in RATES
            else:
                axes[axis], origin[axis] = float(figure), level
        rest |= limits.rest
    return LimitSet(
        axes=axes,
        origin=origin,
        burst=rest["burst"],
        reset=rest["reset"] or "utc",
        shared=rest["shared"] or "key",
        per_model=preset.per_model,
        open=not (lifted or near_by or RATES & axes.keys()),
    )


def merge_params(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Request fields, mappings within them too; None takes a field away."""
    merged = dict(below)
    for name, value in above.items():
        under = merged.get(name)
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, Mapping):
            merged[name] = merge_params(under if isinstance(under, Mapping) else {}, value)
        else:
            merged[name] = value
    return merged


def without(limits: LimitSet, axes: Iterable[str]) -> LimitSet:
    gone = set(axes)
    return replace(
        limits,
        axes={a: v for a, v in limits.axes.items() if a not in gone},
        origin={a: v for a, v in limits.origin.items() if a not in gone},
    )
