"""`--what-if NAME.keys=3` and its like: the fleet as it would be with other keys, limits or priorities."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from llmfan.errors import UserError, near
from llmfan.inputs.merge import RATES
from llmfan.secret import Secret
from llmfan.settings import AXES, Fleet, KeySettings, LimitSet, Provider

_NOTHING = ("null", "none")


def changed(fleet: Fleet, wishes: Sequence[str]) -> Fleet:
    """The fleet with every wish fulfilled; UserError names each one that cannot be."""
    faults: list[str] = []
    providers = {p.name: p for p in fleet.providers}
    for wish in wishes:
        try:
            name, change = _read(wish, list(providers))
            providers[name] = change(providers[name])
        except ValueError as fault:
            faults.append(f"--what-if {wish}: {fault}")
    if faults:
        raise UserError("\n".join(faults))
    left = [p for p in providers.values() if p.keys]
    if not left:
        raise UserError("--what-if: no provider would have a key left")
    return replace(fleet, providers=left)


#: More than this nobody has, and a forecast with them takes for ever.
MOST_KEYS = 1_000


def with_keys(provider: Provider, number: int) -> Provider:
    """With so many keys: the first ones of those there are, then more like the first, each with its own account."""
    if not provider.keys:
        raise ValueError(f"{provider.name} has no key left to be like")
    keys = provider.keys[:number]
    limits = {at: each for at, each in provider.limits.items() if at[0] in {k.label for k in keys}}
    first, taken = provider.keys[0], {k.label for k in provider.keys}
    for n in range(len(keys) + 1, number + 1):
        label = f"{provider.name}#{n}"
        while label in taken:
            label += "+"
        taken.add(label)
        keys.append(KeySettings(label=label, account=label, secret=Secret(f"what-if-{label}"), axes=first.axes))
        limits.update({(label, m.name): provider.limits[first.label, m.name] for m in provider.models})
    return replace(provider, keys=keys, limits=limits)


def one_more(fleet: Fleet, name: str) -> Fleet:
    return replace(fleet, providers=[with_keys(p, len(p.keys) + 1) if p.name == name else p for p in fleet.providers])


def _read(wish: str, names: list[str]) -> tuple[str, Callable[[Provider], Provider]]:
    """`NAME.keys=N`, `NAME.priority=N` or `NAME.limits.AXIS=FIGURE`; a name may have dots in it."""
    path, equals, value = wish.partition("=")
    if not equals:
        raise ValueError("expected NAME.keys=N, NAME.priority=N or NAME.limits.AXIS=FIGURE")
    name = max((n for n in names if path.startswith(f"{n}.")), key=len, default="")
    if not name:
        raise ValueError(f"no such provider{near(path.partition('.')[0], names)}")
    what = path[len(name) + 1 :]
    if what == "keys":
        number = _whole(value)
        if not 0 <= number <= MOST_KEYS:
            raise ValueError(f"expected a number of keys up to {MOST_KEYS:,}, got {value!r}")
        return name, lambda provider: with_keys(provider, number)
    if what == "priority":
        number = _whole(value)
        return name, lambda provider: replace(provider, priority=number)
    axis = what.removeprefix("limits.")
    if axis == what or axis not in AXES:
        known = ["keys", "priority", *(f"limits.{a}" for a in AXES)]
        raise ValueError(f"{what!r} is nothing that can be changed{near(what, known)}")
    figure = None if value in _NOTHING else _figure(value)
    return name, lambda provider: _limited(provider, axis, figure)


def _limited(provider: Provider, axis: str, figure: float | None) -> Provider:
    return replace(provider, limits={at: _with(each, axis, figure) for at, each in provider.limits.items()})


def _with(limits: LimitSet, axis: str, figure: float | None) -> LimitSet:
    axes = {a: f for a, f in limits.axes.items() if a != axis}
    origin = {a: o for a, o in limits.origin.items() if a != axis}
    if figure is not None:
        axes[axis], origin[axis] = figure, limits.origin.get(axis, "provider")
    return replace(limits, axes=axes, origin=origin, open=limits.open and not RATES & axes.keys())


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"expected a whole number, got {text!r}") from None


def _figure(text: str) -> float:
    try:
        figure = float(text)
    except ValueError:
        figure = -1.0
    if not 0 < figure < float("inf"):
        raise ValueError(f"expected a positive number, or null to lift the limit, got {text!r}")
    return figure
