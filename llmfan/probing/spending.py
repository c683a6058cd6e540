"""`--measure`: which keys it spends requests on, at most how many, what they may cost; and the spending itself."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from msgspec import Struct
from msgspec.structs import replace

from llmfan.limits.axes import is_quota, pacing_axis
from llmfan.ports import Clock
from llmfan.probing import measure as measuring
from llmfan.probing import shooter
from llmfan.probing.findings import Finding, Measured
from llmfan.probing.key_probe import KeyProbe
from llmfan.probing.prober import House, Prober
from llmfan.records import Answer, Failure
from llmfan.settings import AXES, ModelSettings, Provider

#: Tokens of one request, at most: the prompt with all that a server adds to it.
TOKENS_IN = 50


class Plan(Struct, frozen=True):
    """One key to be measured. `most`: requests; `idle`: keys of the provider that are left alone meanwhile."""

    house: House
    probe: KeyProbe
    axis: str
    most: int
    idle: tuple[KeyProbe, ...] = ()

    @property
    def asked(self) -> tuple[ModelSettings, Finding]:
        return self.probe.asked[0]


def plans(prober: Prober, most: int) -> list[Plan]:
    """The keys that are ok, one of each account. A day's rest is no more than spent."""
    found = []
    for house in prober.houses.values():
        good = [probe for probe in house.probes if probe.asked[0][1].state == "ok"]
        chosen = list(_one_of_each(good))
        for probe in chosen:
            model, finding = probe.asked[0]
            limits = house.provider.limits[probe.key.label, model.name]
            left = [int(r.remaining) for axis, r in finding.limits.items() if _is_day(axis) and r.remaining is not None]
            idle = tuple(other for other in good if other not in chosen)
            found.append(Plan(house, probe, pacing_axis(limits) or "rpm", min([most, *left]), idle))
    return [plan for plan in found if plan.most > 0]


def announcement(found: Iterable[Plan]) -> str:
    """What is about to be spent, and what it may cost."""
    found = list(found)
    most = sum(plan.most for plan in found)
    lines = [f"measuring sends at most {most:,} request{'s' * (most != 1)} of one token:"]
    for plan in found:
        lines.append(f"  {plan.probe.key.label}: at most {plan.most:,} for its {plan.axis}, {_cost(plan)}")
    return "\n".join(lines)


async def spend(found: Iterable[Plan], clock: Clock, say: Callable[[str], None]) -> None:
    """All accounts at once. What is measured stands in the findings."""
    async with asyncio.TaskGroup() as group:
        for plan in found:
            group.create_task(_Spending(plan, clock, say).run(), name=plan.probe.key.label)


class _Spending:
    def __init__(self, plan: Plan, clock: Clock, say: Callable[[str], None]):
        self._plan, self._clock = plan, clock
        self._label = plan.probe.key.label
        self._say: Callable[[str], None] = lambda text: say(f"{self._label}: {text}")
        self._blamed: Counter[str] = Counter()

    async def run(self) -> None:
        plan = self._plan
        earlier = [shot.sent for shot in plan.house.shots if shot.key == self._label]
        self._say(f"measuring {plan.axis}")
        try:
            result = await measuring.measure(
                self._shoot,
                axis=plan.axis,
                period=AXES[plan.axis][1],
                most=plan.most,
                clock=self._clock,
                sleep=asyncio.sleep,
                before=earlier,
                say=self._say,
            )
        except Exception as error:  # answers that nobody foresaw: what the other keys are measured with stands
            result = Measured(axis=plan.axis, figure=None, why=f"its answers could not be read: {type(error).__name__}")
        plan.asked[1].measured.append(self._of_what_refused(result))

    async def _shoot(self) -> shooter.Shot:
        model, finding = self._plan.asked
        reply, outcome = await self._plan.probe.ask(model, finding, paced=False)
        if isinstance(outcome, Answer):
            return shooter.Shot(reply.sent, reply.ended)
        if outcome.kind == "rate_limited":
            self._blamed[outcome.axis] += 1
            if self._blamed.total() == 1:
                await self._ask_an_idle_one()
            wait = None if outcome.latest else outcome.wait
            return shooter.Shot(reply.sent, reply.ended, "refused", wait)
        return shooter.Shot(reply.sent, reply.ended, "other", None, _why_stop(outcome))

    def _of_what_refused(self, result: Measured) -> Measured:
        """A refusal may name another limit than the one that was meant."""
        named = [axis for axis, _ in self._blamed.most_common() if axis in AXES]
        if not named or named[0] == result.axis:
            return result
        if AXES[named[0]] == AXES[result.axis]:
            return replace(result, axis=named[0])
        return replace(result, figure=None, confidence=0.0, why=f"{named[0]} refused it before {result.axis} could")

    async def _ask_an_idle_one(self) -> None:
        """At the first refusal: a key that was well, has sent nothing since and is refused now draws on the account."""
        known = self._plan.asked[1].shares_with
        idle = next((probe for probe in self._plan.idle if probe.key.label not in known), None)
        if idle is None:
            return
        model, finding = idle.asked[0]
        _, outcome = await idle.ask(model, finding)
        if isinstance(outcome, Failure) and outcome.kind == "rate_limited":
            self._say(f"{idle.key.label} is refused with it: they draw on one account")
            _share(self._plan.house.findings, self._label, idle.key.label)


def _one_of_each(good: Iterable[KeyProbe]) -> Iterator[KeyProbe]:
    taken: set[str] = set()
    accounts: set[str] = set()
    for probe in good:
        if probe.key.account not in accounts and not taken.intersection(probe.asked[0][1].shares_with):
            accounts.add(probe.key.account)
            taken.add(probe.key.label)
            yield probe


def _share(findings: Iterable[Finding], one: str, other: str) -> None:
    findings = list(findings)
    group = {one, other}
    group |= {label for f in findings if f.key in group for label in f.shares_with}
    order = list(dict.fromkeys(f.key for f in findings))
    for finding in findings:
        if finding.key in group:
            finding.shares_with = [label for label in order if label in group and label != finding.key]


def _is_day(axis: str) -> bool:
    return axis in AXES and AXES[axis][0] == "requests" and is_quota(axis)


def _why_stop(failure: Failure) -> str:
    """Failures that more requests would only repeat."""
    if failure.kind in ("quota_exhausted", "auth", "payment_required", "model_not_found", "bad_request"):
        return f"stopped: {failure.message}"
    return ""


def _cost(plan: Plan) -> str:
    price, provider = plan.asked[0].price, plan.house.provider
    if price is not None:
        return f"at most ${plan.most * (TOKENS_IN * price.input + price.output) / 1e6:.4f}"
    return "price not known" if _is_paid(provider) else "free"


def _is_paid(provider: Provider) -> bool:
    return provider.paid or (bool(provider.preset_name) and provider.preset.status == "paid")
