"""What was sent and learned before this run: the counters are told, for it still stands in the providers' windows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from msgspec import Struct

from llmfan.limits.window import Calendar, Meter, learns
from llmfan.records import Booking, Known, KnownLimit
from llmfan.scheduling.conditions import restore
from llmfan.scheduling.dispatcher import Dispatcher
from llmfan.scheduling.lanes import Lane
from llmfan.scheduling.neighbours import meters_of
from llmfan.settings import AXES
from llmfan.units import HOUR, MONTH


class Sent(Struct, frozen=True, kw_only=True):
    """`count` requests to one target, `age` seconds ago, with the tokens they took altogether."""

    provider: str
    model: str
    key: str
    age: float
    count: int
    input_tokens: int = 0
    output_tokens: int = 0


def remember(lanes: Iterable[Lane], sent: Iterable[Sent], now: float, known: Collection[tuple[str, str]] = ()) -> None:
    """Fills the counters of `lanes`, oldest first; those in `known` (owner, axis) have been told already."""
    by_target = {(lane.target.provider, lane.target.model, lane.target.key): lane for lane in lanes}
    for each in sorted(sent, key=lambda s: -s.age):
        lane = by_target.get((each.provider, each.model, each.key))
        if lane is None:
            continue
        cost = lane.cost(each.input_tokens, each.output_tokens, 0.0)
        for meter in lane.meters:
            if (meter.owner, meter.axis) not in known:
                amount = each.count if meter.unit == 0 else cost[meter.unit]
                meter.recall(now - each.age, now, amount)


def recall(
    dispatcher: Dispatcher,
    known: Known,
    booked: Callable[[float], list[Booking]],
    now: float,
    wall: float,
    speed: float,
) -> set[tuple[str, str]]:
    """Tells the counters what earlier runs learned and spent; gives the (owner, axis) of those that had spent."""
    accounts = dispatcher.accounts
    if accounts is not None:  # first: what was learned of one key is the joint limit's from now on
        accounts.adopt(known.shared, now)
    meters = meters_of(dispatcher)
    restore(dispatcher.lanes, known.states, now, wall, speed)
    for limit in known.limits:
        meter = meters.get((limit.owner, limit.axis))
        if meter is not None and (learns(meter) or isinstance(meter, Calendar)):
            meter.remember(limit)
    dispatcher.finish.recall(known.targets)
    dispatcher.estimator.recall(known.targets)
    longest = max((AXES[axis][1] for _, axis in meters), default=0.0)
    spent = set()
    for booking in booked(wall - min(longest, MONTH) * 31 / 30 - 2 * HOUR):  # months have 31 days, and days 25 hours
        meter = meters.get((booking.owner, booking.axis))
        if meter is not None:
            meter.recall(now - (wall - booking.at) / speed, now, booking.amount)
            spent.add((booking.owner, booking.axis))
    return spent


def known_of(dispatcher: Dispatcher, wall: float) -> Known:
    """What this run knows of its limits. Those of which nobody has said or seen anything are left out."""
    limits = [meter.known(wall) for meter in _all(dispatcher) if (learns(meter) or isinstance(meter, Calendar))]
    names = dict.fromkeys(lane.target.name for lane in dispatcher.lanes)
    targets = [dispatcher.finish.pulses.known(name, dispatcher.estimator.tokens_per_char(name), wall) for name in names]
    return Known(
        limits=[limit for limit in limits if _says_something(limit)],
        targets=[target for target in targets if target is not None],
        shared=[] if dispatcher.accounts is None else list(dispatcher.accounts.joined.items()),
    )


def _says_something(limit: KnownLimit) -> bool:
    return not (limit.reported is None and limit.measured is None and not limit.kind)


def _all(dispatcher: Dispatcher) -> list[Meter]:
    return list(dict.fromkeys(meter for lane in dispatcher.lanes for meter in lane.meters))
