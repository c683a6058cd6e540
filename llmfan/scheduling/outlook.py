"""What may still become of a lane: whether it comes back by itself, whether its wait has a known end. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from llmfan.scheduling.lanes import Lane, Standing

#: A spent quota that comes back sooner than this is waited for; else the run ends and says when it does.
SHORT_RESET_S = 60.0
#: So many waits in a row that a server named itself and then refused again are no reason to go on waiting.
PROMISES = 3


def comes_by_itself(lane: Lane) -> bool:
    """It waits for a moment or for its pacer, not for anything that has to end first."""
    paced = lane.standing is Standing.PARKED and lane.group.paced and not lane.group.permit
    return not lane.out and (lane.standing is Standing.TIMED or paced)


def waits_for_known(lane: Lane, now: float, patient: bool = False) -> bool:
    """A server that has named a wait and refused again, over and over, is not believed any more."""
    if lane.out or lane.in_flight or lane.provider.circuit.tripped or any(c.steps > PROMISES for c in lane.cooldowns):
        return False
    if not patient and lane.spent and lane.standing is Standing.TIMED and lane.wakes - now > SHORT_RESET_S:
        return False  # a day's quota: nobody waits for that without saying so
    if lane.resting(now):
        return lane.rest_known
    paced = lane.standing is Standing.PARKED and lane.group.paced and not lane.group.permit
    return lane.standing is Standing.TIMED or paced


def reasons(lanes: Sequence[Lane]) -> str:
    said = dict.fromkeys(f"{lane.target.key}: {lane.out}" for lane in lanes)
    return "; ".join(list(said)[:5]) + (f"; and {len(said) - 5} more" if len(said) > 5 else "")


def resets(lanes: Sequence[Lane]) -> str:
    """What is spent, the soonest first: `a#1 rpd, b rpd, …`."""
    said = dict.fromkeys(f"{x.target.key} {x.waits_for}" for x in sorted(lanes, key=lambda x: x.wakes))
    return ", ".join(list(said)[:4]) + (f" and {len(said) - 4} more" if len(said) > 4 else "")
