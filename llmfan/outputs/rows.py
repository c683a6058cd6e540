"""The live table's rows: one for each provider, and beneath it one for each key; their figures now."""

from __future__ import annotations

from typing import NamedTuple

from llmfan.measures.accumulate import Accumulator, Tally
from llmfan.measures.sketch import Sketch
from llmfan.outputs.clean import clean
from llmfan.outputs.states import State, summed_up
from llmfan.outputs.view import Mark, RunView
from llmfan.scheduling.lanes import Group, Lane

#: Quantiles are read anew when a row has this share more results: sorting all buckets four times a second is dear.
GROWN = 1.02
_ASKED = (("ttft_s", (0.5,)), ("latency_s", (0.5, 0.95)), ("wait_s", (0.95,)))


class Quantiles(NamedTuple):
    ttft_p50: float | None = None
    latency_p50: float | None = None
    latency_p95: float | None = None
    wait_p95: float | None = None


class Figures(NamedTuple):
    """What one row shows. None: undefined. `limit` is that in force, a minute; `learned` says nobody declared it;
    `best` how many of its lanes are in the first of its states.

    `lost` counts attempts without an answer but for refusals by a limit; `fullest` is the limit nearest its end.
    """

    name: str
    child: bool
    states: list[State]
    best: int
    lanes: int
    in_flight: int
    done: int
    failed: int
    limited: int
    lost: int
    sent: int
    limit: float | None
    learned: bool
    tokens_per_s: float | None
    cost: float | None
    right: int
    graded: int
    quantiles: Quantiles
    fullest: tuple[str, float] | None


class Row:
    """One provider, or one key (or model) of it."""

    def __init__(self, name: str, lanes: list[Lane], numbers: list[int], *, key: str = "", model: str = ""):
        self.name, self.lanes = clean(name, 60), lanes
        self.children: list[Row] = []
        self._provider, self._key, self._model = lanes[0].target.provider, key, model
        self._numbers = numbers
        self._groups: list[Group] = list(dict.fromkeys(lane.group for lane in lanes))
        self._tallies: list[Tally] = []
        self._known = -1
        self._quantiles, self._counted = Quantiles(), 0

    def figures(self, view: RunView, before: Mark, after: Mark) -> Figures:
        tallies = self._mine(view.accumulator)
        limit, learned = self._limit(view.minute)
        states, best = summed_up(self.lanes, after.at, view.speed)
        return Figures(
            name=self.name,
            child=bool(self._key or self._model),
            states=states,
            best=best,
            lanes=len(self.lanes),
            in_flight=sum(lane.in_flight for lane in self.lanes),
            done=sum(t.ok + t.failed for t in tallies),
            failed=sum(t.failed for t in tallies),
            limited=sum(t.rate_limited for t in tallies),
            lost=sum(sum(t.problems.values()) - t.rate_limited for t in tallies),
            sent=max(0, sum(after.sent[n] - before.sent[n] for n in self._numbers)),
            limit=limit,
            learned=learned,
            tokens_per_s=self._tokens(before, after, tallies),
            cost=sum(known) if (known := [t.cost for t in tallies if t.cost is not None]) else None,
            right=sum(t.right for t in tallies),
            graded=sum(t.right + t.wrong for t in tallies),
            quantiles=self._read(tallies),
            fullest=self._fullest(after.at),
        )

    def _mine(self, accumulator: Accumulator) -> list[Tally]:
        """Its tallies; those of a job that no lane ever took stand under the provider alone."""
        if self._known != len(accumulator.tallies):
            self._known = len(accumulator.tallies)
            self._tallies = [
                tally
                for (provider, model, key), tally in accumulator.tallies.items()
                if provider == self._provider and self._key in ("", key) and self._model in ("", model)
            ]
            self._counted = 0
        return self._tallies

    def _limit(self, minute: float) -> tuple[float | None, bool]:
        """The requests a minute that may leave, over all groups that still take part; None if one is unlimited."""
        total, learned = 0.0, False
        for group in self._groups:
            if all(lane.out for lane in group.lanes):
                continue
            if not group.paced:
                return None, False
            total += group.pace.limit * minute / group.pace.period
            learned = learned or group.pace.declared is None
        return total or None, learned

    def _tokens(self, before: Mark, after: Mark, tallies: list[Tally]) -> float | None:
        elapsed = after.at - before.at
        if elapsed <= 0 or not any(t.ok for t in tallies):
            return None
        return max(0, sum(after.tokens[n] - before.tokens[n] for n in self._numbers)) / elapsed

    def _read(self, tallies: list[Tally]) -> Quantiles:
        ok = sum(t.ok for t in tallies)
        if ok and (not self._counted or ok >= self._counted * GROWN):
            self._counted = ok
            found = [value for name, qs in _ASKED for value in _merged(tallies, name).quantiles(list(qs))]
            self._quantiles = Quantiles(*found)
        return self._quantiles

    def _fullest(self, now: float) -> tuple[str, float] | None:
        """(axis, share used) of the counter nearest its end; what is in flight at once is not a quota."""
        shares = [
            (meter.used(now) / meter.limit, meter.axis)
            for lane in self.lanes
            if not lane.out
            for meter in lane.meters
            if meter.axis != "concurrency" and meter.limit > 0
        ]
        if not shares:
            return None
        share, axis = max(shares)
        return axis, share


def rows_of(view: RunView) -> list[Row]:
    """A row a provider in the order of the file; beneath it its keys, or its models, where it has several."""
    numbers = {id(lane): n for n, lane in enumerate(view.dispatcher.lanes)}

    def row(name: str, lanes: list[Lane], key: str = "", model: str = "") -> Row:
        return Row(name, lanes, [numbers[id(lane)] for lane in lanes], key=key, model=model)

    rows = []
    for provider in view.dispatcher.providers:
        lanes = [lane for lane in provider.lanes if id(lane) in numbers]
        parent = row(provider.name, lanes)
        keys = list(dict.fromkeys(lane.target.key for lane in lanes))
        models = list(dict.fromkeys(lane.target.model for lane in lanes))
        if len(keys) > 1:
            parent.children = [row(k, [x for x in lanes if x.target.key == k], key=k) for k in keys]
        elif len(models) > 1:
            parent.children = [row(m, [x for x in lanes if x.target.model == m], model=m) for m in models]
        rows.append(parent)
    return rows


def _merged(tallies: list[Tally], name: str) -> Sketch:
    if len(tallies) == 1:
        return tallies[0].sketches[name]
    whole = Sketch()
    for tally in tallies:
        whole.merge(tally.sketches[name])
    return whole
