"""How far a batch had come at each look: its sustained rate, and what one more key would have made of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from llmfan.scheduling.lanes import Lane
from llmfan.units import MINUTE

#: The sustained rate is that between these shares of the batch, without the times in which nothing was answered for
#: so many seconds: those are waits for a quota.
MIDDLE = (0.05, 0.95)
STILL_S = 10 * MINUTE


class Progress:
    """Answered jobs by provider, at moments that lie closer at the beginning than later on."""

    def __init__(self, lanes: Sequence[Lane]):
        self._names = list(dict.fromkeys(lane.target.provider for lane in lanes))
        places = {name: place for place, name in enumerate(self._names)}
        self._places = [places[lane.target.provider] for lane in lanes]
        self._keys = Counter(provider for provider, _ in {(lane.target.provider, lane.target.key) for lane in lanes})
        self._looks: list[tuple[float, list[int], bool]] = [(0.0, [0] * len(places), False)]

    def note(self, at: float, answered: Sequence[int], full: bool) -> None:
        """`full`: the run's own cap on requests in flight is reached."""
        counts = [0] * len(self._names)
        for place, number in zip(self._places, answered, strict=True):
            counts[place] += number
        self._looks.append((at, counts, full))

    def sustained(self) -> float | None:
        """Jobs a minute in the middle of the batch, while there was quota; None for one too short to have a rate."""
        low, high = (share * sum(self._looks[-1][1]) for share in MIDDLE)
        span = jobs = 0.0
        for (begin, before, _), (end, after, _) in self._steps():
            done, new = sum(before), sum(after) - sum(before)
            if low <= done and done + new <= high and (new or end - begin < STILL_S):
                span, jobs = span + end - begin, jobs + new
        return MINUTE * jobs / span if span > 0 and jobs > 0 else None

    def one_more_key(self, provider: str) -> float:
        """When the batch would have ended with one more key of a provider, as busy as one of its keys was.

        Where the cap on requests in flight was reached, one more key could not have sent anything besides.
        """
        place, keys = self._names.index(provider), self._keys[provider]
        total, more = sum(self._looks[-1][1]), 0.0
        for (begin, before, _), (end, after, full) in self._steps():
            had = sum(before) + more
            more += 0.0 if full else (after[place] - before[place]) / keys
            has = sum(after) + more
            if has >= total:
                return begin + (end - begin) * (total - had) / max(1e-9, has - had)
        return self._looks[-1][0]

    def _steps(self) -> Iterator[tuple[tuple[float, list[int], bool], tuple[float, list[int], bool]]]:
        return zip(self._looks, self._looks[1:], strict=False)
