"""What was learned: limits with where their figures come from, what answers are like, how keys are, which share."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable

from msgspec.structs import replace

from llmfan.entries import Change, KeyState
from llmfan.ledgers.names import Names
from llmfan.records import Known, KnownLimit, KnownTarget
from llmfan.units import DAY

#: A measured figure that moves by less is the same one.
_SAME = 0.02
#: A figure found by spending requests on it stands for so long against what a run makes of its traffic.
_STANDS_S, _SURE = DAY, 0.9

Clean = Callable[[str], str]


def known(connection: sqlite3.Connection, names: Names) -> Known:
    return Known(
        states=[
            KeyState(key=label, model=model, state=state, why=why, until=until, source=source, at=at)
            for key, model, state, why, until, source, at in connection.execute(
                "SELECT key, model, state, why, until, source, at FROM states"
            )
            for label in names.labels(key)
        ],
        limits=_newest(
            replace(limit, owner=owner)
            for limit, _ in _limits(connection, "", ())
            for owner in names.spoken(limit.owner)
        ),
        targets=[
            KnownTarget(name=name, n=n, service_s=service, service_sigma=sigma, output_tokens=output,
                        tokens_per_char=per_char, at=at)
            for place, name, n, service, sigma, output, per_char, at in connection.execute("SELECT * FROM targets")
            if names.place(name) == place
        ],
        shared=list(dict.fromkeys(
            (owner, other)
            for stored, stored_other in connection.execute("SELECT owner, other FROM shared")
            for owner in names.spoken(stored)
            for other in names.spoken(stored_other)
            if owner != other
        )),
    )  # fmt: skip


def keep(connection: sqlite3.Connection, names: Names, new: Known, clean: Clean) -> None:
    """`clean` takes keys out of a text: servers quote them in their messages."""
    for state in new.states:
        _keep_state(connection, names.key_id(state.key), state, clean(state.why))
    for limit in new.limits:
        _keep_limit(connection, replace(limit, owner=names.stored(limit.owner)))
    for target in new.targets:
        row = (names.place(target.name), target.name, target.n, target.service_s, target.service_sigma,
               target.output_tokens, target.tokens_per_char, target.at)  # fmt: skip
        connection.execute("INSERT OR REPLACE INTO targets VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
    for owner, other in new.shared:
        row_ = (names.stored(owner), names.stored(other))
        connection.execute("INSERT OR REPLACE INTO shared VALUES (?, ?)", row_)


def changes(connection: sqlite3.Connection, names: Names, since: float) -> list[Change]:
    return [
        Change(owner=spoken, axis=axis, source=source, before=before, after=after, at=at)
        for owner, axis, source, before, after, at in connection.execute(
            "SELECT owner, axis, source, before, after, at FROM changes WHERE at >= ? ORDER BY at, id", (since,)
        )
        for spoken in names.spoken(owner)
    ]


def laid_over(known: Known, more: Known) -> Known:
    """What stands in the file, and over it what could not be written yet."""
    return Known(
        states=[*{(s.key, s.model): s for s in (*known.states, *more.states)}.values()],
        limits=[*{(each.owner, each.axis): each for each in (*known.limits, *more.limits)}.values()],
        targets=[*{target.name: target for target in (*known.targets, *more.targets)}.values()],
        shared=[*{**dict(known.shared), **dict(more.shared)}.items()],
    )


def forget(connection: sqlite3.Connection, names: Names, owners: Iterable[str], keys: Iterable[str], now: float) -> int:
    """How many states, limits and pairs are gone. That a figure was forgotten is a change like any other."""
    dropped = 0
    for key in {names.key_id(label) for label in keys}:
        dropped += connection.execute("DELETE FROM states WHERE key = ?", (key,)).rowcount
    for owner in {form for each in owners for form in names.forms(each)}:
        for limit, _ in _limits(connection, "WHERE owner = ?", (owner,)):
            _changed(connection, limit, "reported", limit.reported, None, now)
            _changed(connection, limit, "measured", limit.measured, None, now)
        dropped += connection.execute("DELETE FROM limits WHERE owner = ?", (owner,)).rowcount
        dropped += connection.execute("DELETE FROM shared WHERE owner = ? OR other = ?", (owner, owner)).rowcount
    return dropped


def merged(old: KnownLimit, measured_at: float, new: KnownLimit) -> tuple[KnownLimit, float]:
    """What holds now, and since when its measured figure does. What `new` says nothing of stays as it is."""
    stands = (
        old.measured is not None and bool(old.counts) and old.confidence >= _SURE
        and new.at - measured_at < _STANDS_S and new.confidence < old.confidence
    )  # fmt: skip
    if stands or new.measured is None:
        seen, since = old, measured_at
    else:
        seen, since = new, new.at
    unseen = seen.measured is None  # no figure, but perhaps how it counts
    made = KnownLimit(
        owner=new.owner, axis=new.axis, at=new.at,
        declared=_or(new.declared, old.declared),
        reported=_or(new.reported, old.reported),
        measured=seen.measured,
        kind=seen.kind if stands else new.kind or old.kind,
        guard_s=seen.guard_s if stands else _or(new.guard_s, old.guard_s),
        confidence=max(new.confidence, old.confidence) if unseen else seen.confidence,
        counts=seen.counts or old.counts,
    )  # fmt: skip
    return made, since


def _keep_state(connection: sqlite3.Connection, key: str, state: KeyState, why: str) -> None:
    """A key that is well, is so at every model of which nobody says otherwise from now on."""
    if state.state == "ok" and not state.model:
        connection.execute("DELETE FROM states WHERE key = ? AND model != ''", (key,))
    row = (key, state.model, state.state, why, state.until, state.source, state.at)
    connection.execute("INSERT OR REPLACE INTO states VALUES (?, ?, ?, ?, ?, ?, ?)", row)


def _keep_limit(connection: sqlite3.Connection, new: KnownLimit) -> None:
    found = _limits(connection, "WHERE owner = ? AND axis = ?", (new.owner, new.axis))
    old, measured_at = found[0] if found else (KnownLimit(owner=new.owner, axis=new.axis), 0.0)
    made, since = merged(old, measured_at, new)
    _changed(connection, made, "reported", old.reported, made.reported, new.at)
    _changed(connection, made, "measured", old.measured, made.measured, new.at)
    if old.declared is not None:  # that a figure is declared at all is no change
        _changed(connection, made, "declared", old.declared, made.declared, new.at)
    row = (made.owner, made.axis, made.declared, made.reported, made.measured, made.kind, made.guard_s,
           made.confidence, made.counts, since, made.at)  # fmt: skip
    connection.execute("INSERT OR REPLACE INTO limits VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)


def _changed(
    connection: sqlite3.Connection, limit: KnownLimit, source: str, before: float | None, after: float | None, at: float
) -> None:
    if source == "measured" and after is not None:  # against what was last noted, or slow drift would never show
        noted = connection.execute(
            "SELECT after FROM changes WHERE owner = ? AND axis = ? AND source = ? ORDER BY id DESC LIMIT 1",
            (limit.owner, limit.axis, source),
        ).fetchone()
        before = noted[0] if noted else before
    if before == after or (source == "measured" and _near(before, after)):
        return
    connection.execute(
        "INSERT INTO changes (at, owner, axis, source, before, after) VALUES (?, ?, ?, ?, ?, ?)",
        (at, limit.owner, limit.axis, source, before, after),
    )


def _near(one: float | None, other: float | None) -> bool:
    return one is not None and other is not None and abs(one - other) <= _SAME * abs(one)


def _limits(connection: sqlite3.Connection, where: str, args: tuple[str, ...]) -> list[tuple[KnownLimit, float]]:
    return [
        (
            KnownLimit(owner=owner, axis=axis, declared=declared, reported=reported, measured=measured, kind=kind,
                       guard_s=guard, confidence=confidence, counts=counts, at=at),
            measured_at,
        )
        for owner, axis, declared, reported, measured, kind, guard, confidence, counts, measured_at, at
        in connection.execute(f"SELECT * FROM limits {where}", args)
    ]  # fmt: skip


def _newest(limits: Iterable[KnownLimit]) -> list[KnownLimit]:
    """One of an account that was taken for two has been learned twice."""
    found: dict[tuple[str, str], KnownLimit] = {}
    for each in limits:
        before = found.get((each.owner, each.axis))
        if before is None or each.at > before.at:
            found[each.owner, each.axis] = each
    return list(found.values())


def _or(new: float | None, old: float | None) -> float | None:
    return old if new is None else new
