"""What a failure does to the scope it names: a rest, or out for this run. The job's own fate is `failover`'s."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random

from msgspec.structs import replace

from llmfan.records import Failure
from llmfan.scheduling.cooldown import Cooldown
from llmfan.scheduling.failover import consequence, is_exhausted, lanes_of
from llmfan.scheduling.lanes import Lane


class Rests:
    """Keeps a cooldown for each scope that was ever refused. `say` tells the user what is out, once."""

    def __init__(self, rng: Random, say: Callable[[str], None], speed: float):
        self._rng, self._say, self._speed = rng, say, speed
        self.patient = True  # a provider that never answered is tried again for ever: others do the work
        self.out_for = "out for this run"
        self._cooldowns: dict[str, Cooldown] = {}

    def apply(self, lane: Lane, sent: float, failure: Failure, now: float) -> None:
        """The consequence of a request that left at `sent` and failed."""
        match consequence(failure):
            case "rest":
                self._rest(lane, sent, failure, now)
            case "out":
                self._out(lane, failure)
            case "circuit":
                at_once = failure.kind == "connection" and failure.free
                provider = lane.provider
                if provider.circuit.failed(now, sent, short(failure), self._rng, at_once=at_once):
                    provider.proven = False
                    if provider.circuit.openings == 1:
                        self._say(f"{provider.name} is left alone for a while: {short(failure)}")
                    if not self.patient and provider.hopeless:
                        self._out(lane, replace(failure, scope="provider"))

    def hold(self, lane: Lane, sent: float, failure: Failure, until: float, now: float) -> None:
        """A 429 of a limit that says itself until when nothing leaves. What no limit of ours explains, and an address
        that is refused whatever the key, rests as everything else does."""
        everyone = self._all_refused(lane, now)
        if until == -math.inf or everyone:
            self._rest(lane, sent, failure, now, everyone)
        _, lanes = lanes_of(failure, lane)
        for each in lanes:
            if until > now:
                each.rest(until, "cooldown", short(failure), failure.wait is not None)

    def _rest(self, lane: Lane, sent: float, failure: Failure, now: float, everyone: list[Lane] | None = None) -> None:
        name, lanes = lanes_of(failure, lane)
        if everyone:
            name, lanes = lane.provider.name, everyone
        cooldown = self._cooldowns.get(name)
        if cooldown is None:
            cooldown = self._cooldowns[name] = Cooldown(self._speed)
        fresh = cooldown.refused(now, sent, failure.wait, self._rng)
        for each in lanes:
            known = failure.wait is not None
            each.rest(cooldown.until, "exhausted" if is_exhausted(failure) else "cooldown", short(failure), known)
            if cooldown not in each.cooldowns:
                each.cooldowns.append(cooldown)
        if fresh and failure.wait is None:
            lane.group.probing = True

    def _all_refused(self, lane: Lane, now: float) -> list[Lane]:
        """The provider's lanes if every account of it was refused within the last second: an address, not a key."""
        provider = lane.provider
        provider.refusals.append((now, lane.target.account))
        while provider.refusals[0][0] < now - 1.0 / self._speed:
            provider.refusals.popleft()
        accounts = {o.target.account for o in provider.lanes if not o.out}
        late = {account for at, account in provider.refusals if now - at <= 1.0 / self._speed}
        return list(provider.lanes) if len(accounts) > 1 and accounts <= late else []

    def _out(self, lane: Lane, failure: Failure) -> None:
        name, lanes = lanes_of(failure, lane)
        news = [each for each in lanes if not each.out]
        for each in news:
            each.out, each.fault = short(failure), failure
        if news:
            self._say(f"{name} is {self.out_for}: {short(failure)}")


def short(failure: Failure) -> str:
    """`401 auth: the key is not valid`."""
    status = f"{failure.http_status} " if failure.http_status else ""
    return f"{status}{failure.kind}" + (f": {failure.message}" if failure.message else "")
