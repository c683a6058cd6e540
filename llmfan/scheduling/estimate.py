"""How many tokens a request will take, before it is sent: calibrated by what came back."""

from __future__ import annotations

import math
from collections.abc import Iterable

from llmfan.limits.axes import Cost
from llmfan.records import KnownTarget, Usage
from llmfan.scheduling.jobs import Job
from llmfan.scheduling.lanes import Lane
from llmfan.settings import Price

CHARS_PER_TOKEN = 4.0
PRIOR_OUTPUT = 256.0
MEMORY = 0.1
OVERHEAD_TOKENS = 8.0
#: What in-flight answers may take together is reserved to so many deviations of their sum.
DEVIATIONS = 1.75
#: Before anything is known: the spread of answer lengths, as a share of the mean.
PRIOR_SPREAD = 0.6
#: Before anything is known: how much larger than it looks a prompt may be, for what is reserved of --max-cost.
PRIOR_MARGIN = 1.25


class _Seen:
    """Answer lengths of one model: a moving mean and spread, in tokens, and of how many."""

    __slots__ = ("count", "mean", "square")

    def __init__(self, mean: float):
        self.mean, self.square, self.count = mean, (PRIOR_SPREAD * mean) ** 2, 1

    def add(self, tokens: float) -> None:
        off = tokens - self.mean
        self.count += 1
        share = max(MEMORY, 1 / self.count)
        self.mean += share * off
        self.square += share * (off * off - self.square)

    def share(self, in_flight: int) -> float:
        """One request's share of what all in flight may take together, but for one of them: the last one may pass the
        limit, for a server that charges at the end lets it in as long as anything is left.
        """
        n = 1 + in_flight
        unsure = DEVIATIONS * math.sqrt(self.square * (1 / n + max(MEMORY / 2, 1 / self.count)))
        return self.mean + max(0.0, unsure - self.mean / n)


class _Most:
    """The most that one model's server has counted: as a multiple of what was supposed, and in tokens."""

    __slots__ = ("tokens_in", "tokens_out", "wider_in", "wider_out")

    def __init__(self) -> None:
        self.wider_in, self.wider_out = PRIOR_MARGIN, 1.0
        self.tokens_in = self.tokens_out = 0  # of earlier sessions, until it has answered in this one


class Estimator:
    """Per model: tokens of a prompt from its characters, the answer's expected length, neurons of both."""

    def __init__(self, neurons: dict[str, Price]):
        self._neurons = neurons
        self._ratio: dict[str, float] = {}
        self._output: dict[str, _Seen] = {}
        self._most: dict[str, _Most] = {}

    def recall(self, known: Iterable[KnownTarget]) -> None:
        """What answers of earlier runs were like."""
        for target in known:
            if target.tokens_per_char > 0:
                self._ratio[target.name] = target.tokens_per_char
            if target.output_tokens > 0:
                self._output[target.name] = _Seen(target.output_tokens)

    def cost(self, job: Job, lane: Lane, max_tokens: int) -> Cost:
        """What to reserve: prompt and max_tokens where the provider charges so, else prompt and expected answer.

        The more are in flight, the nearer their sum is to its mean: each reserves its share of what that may be.
        """
        name = lane.target.name
        tokens_in = self.input_tokens(name, job.size() + lane.besides)
        tokens_out = float(max_tokens)
        if not lane.precharge:
            seen = self._output.get(name)
            tokens_out = min(tokens_out, seen.share(lane.in_flight) if seen else PRIOR_OUTPUT)
        return lane.cost(tokens_in, tokens_out, self.neurons(name, tokens_in, tokens_out))

    def so_far(self, job: Job, lane: Lane, cost: Cost) -> Cost:
        """What a cancelled request is taken to have cost: of a caller's the prompt and what had come of the answer."""
        if job.caller is None or lane.precharge or not lane.counts_tokens:
            return cost
        tokens_in, tokens_out = cost[2], min(cost[3], job.caller.heard / CHARS_PER_TOKEN)
        return lane.cost(tokens_in, tokens_out, self.neurons(lane.target.name, tokens_in, tokens_out))

    def recall_most(self, name: str, tokens_in: int, tokens_out: int) -> None:
        """The largest counts of earlier sessions: until an answer has come in this one, nothing is taken for less."""
        most = self._most.setdefault(name, _Most())
        most.tokens_in, most.tokens_out = tokens_in, tokens_out

    def worst(self, job: Job, lane: Lane, max_tokens: int) -> float:
        """USD at most: a prompt as much larger than it looks as any that was counted, and the whole of its cap."""
        if lane.price is None:
            return 0.0
        name, chars = lane.target.name, job.size() + lane.besides
        most = self._most.get(name) or _Most()
        tokens_in = max(most.wider_in * _plain(chars), PRIOR_MARGIN * self.input_tokens(name, chars), most.tokens_in)
        tokens_out = max(most.wider_out * max_tokens, most.tokens_out)
        return dollars(lane.price, math.ceil(tokens_in), math.ceil(tokens_out)) or 0.0

    def counted(self, job: Job, lane: Lane, max_tokens: int, usage: Usage) -> None:
        """Learns from a server's counts; by how much they passed what was supposed, so much more is reserved then."""
        name, chars = lane.target.name, job.size() + lane.besides
        self.learn(name, chars, usage.input_tokens, usage.output_tokens)
        most = self._most.setdefault(name, _Most())
        most.wider_in = max(most.wider_in, usage.input_tokens / _plain(chars))
        most.wider_out = max(most.wider_out, usage.output_tokens / max(1, max_tokens))
        most.tokens_in = most.tokens_out = 0

    def input_tokens(self, name: str, chars: int) -> float:
        return OVERHEAD_TOKENS + chars * self.tokens_per_char(name)

    def tokens_per_char(self, name: str) -> float:
        return self._ratio.get(name, 1.0 / CHARS_PER_TOKEN)

    def neurons(self, name: str, tokens_in: float, tokens_out: float) -> float:
        price = self._neurons.get(name)
        return (tokens_in * price.input + tokens_out * price.output) / 1e6 if price else 0.0

    def learn(self, name: str, chars: int, tokens_in: int, tokens_out: int) -> None:
        """Takes a server's own counts into account; the ratio errs on the safe side by 5 %."""
        if chars > 0 and tokens_in > 0:
            seen = 1.05 * max(0.0, tokens_in - OVERHEAD_TOKENS) / chars
            old = self._ratio.get(name, seen)
            self._ratio[name] = old + MEMORY * (seen - old)
        lengths = self._output.get(name)
        if lengths is None:
            self._output[name] = _Seen(float(tokens_out))
        else:
            lengths.add(tokens_out)


def _plain(chars: int) -> float:
    """Tokens of a prompt of which nothing is known but its length."""
    return OVERHEAD_TOKENS + chars / CHARS_PER_TOKEN


def dollars(price: Price | None, tokens_in: int, tokens_out: int, cached: int = 0) -> float | None:
    """What a call cost in USD; None where no price is known (unknown is not zero)."""
    if price is None:
        return None
    cached_price = price.cached_input if price.cached_input is not None else price.input
    return ((tokens_in - cached) * price.input + cached * cached_price + tokens_out * price.output) / 1e6
