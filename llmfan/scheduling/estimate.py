"""How many tokens a request will take, before it is sent: calibrated by what came back."""

from __future__ import annotations

from llmfan.limits.axes import Cost
from llmfan.scheduling.jobs import Job
from llmfan.scheduling.lanes import Lane
from llmfan.settings import Price

CHARS_PER_TOKEN = 4.0
PRIOR_OUTPUT = 256.0
MEMORY = 0.1
OVERHEAD_TOKENS = 8.0


class Estimator:
    """Per model: tokens of a prompt from its characters, the answer's expected length, neurons of both."""

    def __init__(self, neurons: dict[str, Price]):
        self._neurons = neurons
        self._ratio: dict[str, float] = {}
        self._output: dict[str, float] = {}

    def cost(self, job: Job, lane: Lane, max_tokens: int) -> Cost:
        """What to reserve: prompt and max_tokens where the provider charges so, else prompt and expected answer."""
        name = lane.target.name
        tokens_in = self.input_tokens(name, job.size())
        tokens_out = float(max_tokens)
        if not lane.precharge:
            tokens_out = min(tokens_out, 1.25 * self._output.get(name, min(PRIOR_OUTPUT, tokens_out)))
        return lane.cost(tokens_in, tokens_out, self.neurons(name, tokens_in, tokens_out))

    def input_tokens(self, name: str, chars: int) -> float:
        return OVERHEAD_TOKENS + chars * self._ratio.get(name, 1.0 / CHARS_PER_TOKEN)

    def neurons(self, name: str, tokens_in: float, tokens_out: float) -> float:
        price = self._neurons.get(name)
        return (tokens_in * price.input + tokens_out * price.output) / 1e6 if price else 0.0

    def learn(self, name: str, chars: int, tokens_in: int, tokens_out: int) -> None:
        """Takes a server's own counts into account; the ratio errs on the safe side by 5 %."""
        if chars > 0 and tokens_in > 0:
            seen = 1.05 * max(0.0, tokens_in - OVERHEAD_TOKENS) / chars
            old = self._ratio.get(name, seen)
            self._ratio[name] = old + MEMORY * (seen - old)
        old_out = self._output.get(name, float(tokens_out))
        self._output[name] = old_out + MEMORY * (tokens_out - old_out)


def dollars(price: Price | None, tokens_in: int, tokens_out: int, cached: int = 0) -> float | None:
    """What a call cost in USD; None where no price is known (unknown is not zero)."""
    if price is None:
        return None
    cached_price = price.cached_input if price.cached_input is not None else price.input
    return ((tokens_in - cached) * price.input + cached * cached_price + tokens_out * price.output) / 1e6
