"""What the headers of an answer or a refusal tell of limits: by a preset's rows, else by the names everybody uses.

It runs for every answer, so names are looked at once for each set of header names a server sends; after that only
the few texts that tell something are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeVar

from llmfan.dialects.axis_words import axis_of, header_sign, names_a_window
from llmfan.dialects.figures import joined, longest_reset, number, refill, sound, with_standard
from llmfan.dialects.headers import reset_seconds, until_date, value_of
from llmfan.dialects.policies import Policy, policies, states
from llmfan.records import Report
from llmfan.settings import AXES, Preset
from llmfan.units import DAY, HOUR, MONTH

#: Sets of header names, moments and policies remembered: a server that makes them up anew each time pays with the
#: short way, not with our memory.
_REMEMBERED = 64
_POLICY = ("ratelimit-policy", "x-ratelimit-policy", "ratelimit-limit")
_STATE = ("ratelimit", "x-ratelimit")

K = TypeVar("K")
V = TypeVar("V")


class _Slot(NamedTuple):
    """One limit: its axis, the headers that tell of it, the longest sound reset.

    `counted`: what it counts, where no name says the window, so that the axis is a guess; else "".
    """

    axis: str
    counted: str
    limit: str | None
    remaining: str | None
    reset: str | None
    longest: float


class _Plan(NamedTuple):
    """What to read of one set of header names. `policy` and `state`: the standard's headers, where they came.

    `overlapping`: several slots may turn out to be one limit.
    """

    slots: list[_Slot]
    policy: str
    state: str
    overlapping: bool


class ReportReader:
    """Reads limits from headers. Make one for a preset (or a lane) and keep it: it remembers what it has seen."""

    def __init__(self, preset: Preset):
        self._rows = {row.name.lower(): row for row in preset.limit_headers}
        self._plans: dict[bool, dict[tuple[str, ...], _Plan | None]] = {False: {}, True: {}}
        self._moments: dict[str, float | None] = {}
        self._policies: dict[str, list[Policy]] = {}

    def read(
        self, headers: Mapping[str, str], now_wall: float | None, refused: bool, named: str = ""
    ) -> tuple[Report, ...]:
        """One report for each limit that is told of. `named`: the axis that the body of a refusal blames."""
        names, plans = tuple(headers), self._plans[refused]
        plan = plans[names] if names in plans else _kept(plans, names, self._plan(names, refused))
        if plan is None:
            return ()
        found = []
        for slot in plan.slots:
            report = self._report(slot, headers, now_wall)
            if report is not None:
                found.append(self._placed(report, slot, headers, refused, named) if slot.counted else report)
        if plan.policy or plan.state:
            found = self._with_standard(found, plan, headers)
        return joined(found) if plan.overlapping and len(found) > 1 else tuple(found)

    def _report(self, slot: _Slot, headers: Mapping[str, str], now_wall: float | None) -> Report | None:
        axis, counted, limit_in, remaining_in, reset_in, longest = slot
        limit = number(headers[limit_in]) if limit_in else None
        remaining = number(headers[remaining_in]) if remaining_in else None
        wait = None
        if reset_in:
            wait = self._wait(headers[reset_in], now_wall)
            if wait is not None and wait > longest and not counted:
                wait = longest
        return sound(axis, limit, remaining, wait)

    # ---------------------------------------------------------------- which headers tell what

    def _plan(self, names: tuple[str, ...], refused: bool) -> _Plan | None:
        """Slots in the order of their worth: the preset's rows, then names that say the window, then all others."""
        told: dict[tuple[int, str, str], dict[str, str]] = {}
        sent = {name.lower(): name for name in reversed(names)}
        for lower, row in self._rows.items():
            if lower in sent and row.role != "cost" and row.when in ("always", "refused" if refused else "success"):
                told.setdefault((0, row.axis, ""), {})[row.role] = sent[lower]
        for lower, name in sent.items():
            sign = None if lower in self._rows else header_sign(lower)
            if sign is not None:
                told.setdefault((2 if sign.open else 1, sign.axis, sign.family), {})[sign.role] = name
        ranked = sorted(told.items(), key=lambda item: item[0][0])
        slots = [self._slot(worth, axis, roles) for (worth, axis, _), roles in ranked]
        policy, state = _first(_POLICY, sent), _first(_STATE, sent)
        if not slots and not policy and not state:
            return None
        return _Plan(slots, policy, state, bool(policy or state) or _overlapping(slots))

    def _slot(self, worth: int, axis: str, roles: Mapping[str, str]) -> _Slot:
        limit, remaining, reset = (roles.get(role) for role in ("limit", "remaining", "reset"))
        return _Slot(axis, self._guessed(worth, axis), limit, remaining, reset, longest_reset(axis))

    def _guessed(self, worth: int, axis: str) -> str:
        """A row's minute is a guess where no name of its rows says so: some send a day's figures by the same name."""
        if worth:
            return axis if axis in ("requests", "tokens") else ""
        windows = any(names_a_window(row.name) for row in self._rows.values() if row.axis == axis)
        return "requests" if axis == "rpm" and not windows else ""

    # ---------------------------------------------------------------- which window

    def _placed(self, report: Report, slot: _Slot, headers: Mapping[str, str], refused: bool, named: str) -> Report:
        """The report on the axis it must be meant for, its reset held to that one's window."""
        reset = headers[slot.reset] if slot.reset else ""
        axis, wait = self._meant(report, slot.counted, reset, headers, refused, named)
        longest = slot.longest if axis == slot.axis else longest_reset(axis)
        if wait is not None and wait > longest:
            wait = longest
        if axis == slot.axis and wait == report.resets_in:
            return report
        return Report(axis=axis, limit=report.limit, remaining=report.remaining, resets_in=wait)

    def _meant(
        self, report: Report, counted: str, reset: str, headers: Mapping[str, str], refused: bool, named: str
    ) -> tuple[str, float | None]:
        """(axis, reset in seconds) of a limit whose window no name says.

        The body's word counts most. A bucket's figures tell its window, where the reset is a duration. A reset beyond
        an hour is no minute's, if it is so by the server's clock too.
        """
        axis, wait = report.axis, report.resets_in
        unsaid = axis == counted
        if named and _is_meant(report, named, counted):
            return named, wait
        window = refill(report) if reset[-1:] == "s" else 0.0
        if window and (unsaid or window == DAY):
            return axis_of(counted, window), wait
        if wait is None or wait <= HOUR or not (unsaid or (refused and report.remaining == 0)):
            return axis, wait
        theirs = self._by_their_clock(reset, headers)
        wait = wait if theirs is None else theirs
        return (axis if wait <= HOUR else axis_of(counted, DAY if wait <= DAY * 1.05 else MONTH)), wait

    # ---------------------------------------------------------------- times

    def _wait(self, text: str, now_wall: float | None) -> float | None:
        """`reset_seconds`, but dates are remembered: many limits give the same one, and many answers."""
        if text[4:5] != "-":
            return reset_seconds(text, now_wall)
        text = text[:64]
        moment = self._moments[text] if text in self._moments else _kept(self._moments, text, until_date(text, 0.0))
        return None if moment is None or now_wall is None else max(moment - now_wall, 0.0)

    def _by_their_clock(self, reset: str, headers: Mapping[str, str]) -> float | None:
        """A moment far off may only show that our clock is wrong; their `Date` tells."""
        date = value_of(headers, "Date")
        now = until_date(date, 0.0) if date else None
        return None if now is None else self._wait(reset, now)

    # ---------------------------------------------------------------- the standard's own headers

    def _with_standard(self, found: list[Report], plan: _Plan, headers: Mapping[str, str]) -> list[Report]:
        text = _whole(headers, plan.policy)
        known = self._policies
        told = [] if ";" not in text else known[text] if text in known else _kept(known, text, policies(text))
        left = states(_whole(headers, plan.state)) if plan.state else []
        return with_standard(found, told, left) if told or left else found


def _is_meant(report: Report, named: str, counted: str) -> bool:
    """Whether the limit that a body blames is this one: of the same unit, spent, and no shorter than was guessed."""
    if named not in AXES or AXES[named][0] != counted:
        return False
    if report.axis == counted:
        return report.remaining in (None, 0)
    return report.remaining == 0 and AXES[named][1] >= DAY


def _overlapping(slots: list[_Slot]) -> bool:
    """Whether several slots may turn out to be one limit: on one axis, or on one that is a guess and a like one."""
    guessed = [slot.counted for slot in slots if slot.counted]
    sure = [slot.axis for slot in slots if not slot.counted]
    alike = any(AXES[axis][0] in guessed for axis in sure)
    return alike or len(set(guessed)) < len(guessed) or len(set(sure)) < len(sure)


def _first(wanted: tuple[str, ...], sent: Mapping[str, str]) -> str:
    return next((sent[name] for name in wanted if name in sent), "")


def _whole(headers: Mapping[str, str], name: str) -> str:
    """A list may come in several headers of one name."""
    if not name:
        return ""
    every = getattr(headers, "getall", None)
    return (", ".join(every(name)) if every else headers[name])[:1000]


def _kept(memory: dict[K, V], key: K, value: V) -> V:
    if len(memory) >= _REMEMBERED:
        memory.clear()
    memory[key] = value
    return value
