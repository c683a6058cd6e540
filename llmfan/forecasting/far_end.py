"""The providers as they are taken to be: limits as they are known, counted the way their presets say they count.

A client that knows nothing else finds out how a server counts by asking, and is refused now and then; a forecast in
which nobody ever refused anything would be of another run.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from llmfan.limits.axes import is_quota, owner_of
from llmfan.records import Failure, KnownLimit, Target
from llmfan.scheduling.lanes import Lane
from llmfan.settings import AXES, Fleet, KeySettings, LimitSet, Provider
from llmfan.simulation.counters import Charge, Counters, Refusal
from llmfan.simulation.limiter import Counter

#: Seconds until a refusal is back.
REFUSED_S = 0.05


class FarEnd:
    """`ask` admits a request or refuses it; `ends` charges what it took. Moments are seconds from the start."""

    def __init__(self, fleet: Fleet, known: Iterable[KnownLimit], start: dt.datetime, lanes: Iterable[Lane]):
        figures = {(limit.owner, limit.axis): limit for limit in known}
        self._counters = {p.name: Counters(_as_known(p, figures)) for p in fleet.providers}
        self._limits = {(p.name, *at): limits for p in fleet.providers for at, limits in p.limits.items()}
        self._epoch = start.timestamp()
        self._paces = [self._paces_of(lane.target) for lane in lanes]

    def ask(self, now: float, lane: Lane, tokens_in: int, most: int) -> Charge | Failure | None:
        """What an admitted request is charged so far; None where nothing can be added to it."""
        target, at = lane.target, self._epoch + now
        paces = self._paces[lane.number]
        if paces is None:
            got = self._counters[target.provider].admit(at, target.key, target.model, tokens_in, most)
            return self._failure(lane, got) if isinstance(got, Refusal) else got
        for axis, pace in paces:
            seen = pace.look(at, 1.0)
            if not seen.ok:
                return self._failure(lane, Refusal(axis, pace.limit, pace.limit, 1.0, seen.retry_after))
        for _, pace in paces:
            pace.take(at, 1.0)
        return None

    def ends(self, now: float, lane: Lane, charge: Charge, tokens_out: int) -> None:
        counters = self._counters[lane.target.provider]
        counters.ends(self._epoch + now, charge, tokens_out)
        counters.advance(self._epoch + now)

    def _paces_of(self, target: Target) -> list[tuple[str, Counter]] | None:
        """Where requests alone are counted, the limits that may refuse one: a day's allowance is the same on both
        sides. None where a request is charged for more than itself.
        """
        lines = self._counters[target.provider].of(target.key, target.model)
        if any(AXES[axis][0] != "requests" for axis, _ in lines):
            return None
        return [(axis, counter) for axis, counter in lines if not is_quota(axis)]

    def _failure(self, lane: Lane, refusal: Refusal) -> Failure:
        """As a server says it that names its limit and the seconds to wait."""
        target = lane.target
        limits = self._limits[target.provider, target.key, target.model]
        if refusal.too_large:
            message = f"larger than {refusal.axis} {refusal.limit:g} of {target.name}"
            return Failure(kind="bad_request", scope="request", message=message, http_status=413)
        return Failure(
            kind="quota_exhausted" if is_quota(refusal.axis) else "rate_limited",
            scope="key" if limits.shared == "key" else "account_model" if limits.per_model else "account",
            message=refusal.axis, http_status=429, wait=float(math.ceil(refusal.wait)), free=True, axis=refusal.axis,
        )  # fmt: skip


def _as_known(provider: Provider, figures: Mapping[tuple[str, str], KnownLimit]) -> Provider:
    """With the limits that were reported or measured in place of the declared ones."""
    if not figures:
        return provider
    keys = {key.label: key for key in provider.keys}
    limits = {at: _corrected(each, provider.name, keys[at[0]], at[1], figures) for at, each in provider.limits.items()}
    return replace(provider, limits=limits)


def _corrected(
    limits: LimitSet, provider: str, key: KeySettings, model: str, figures: Mapping[tuple[str, str], KnownLimit]
) -> LimitSet:
    axes = dict(limits.axes)
    for axis in [*axes, *({"rpm"} if limits.open else ())]:
        known = figures.get((owner_of(axis, limits, provider, key, model), axis))
        figure = None if known is None else known.reported or known.measured
        if figure:
            axes[axis] = figure
    return replace(limits, axes=axes)
