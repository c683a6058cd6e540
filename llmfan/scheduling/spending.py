"""What earlier sessions of a run spent, counted anew from every request they sent: --max-cost is the whole run's.

Results would not do: a conversation that was cut off has none, and a hedge's loser is in none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from llmfan.records import AttemptLine, Prompt
from llmfan.scheduling.dispatcher import Dispatcher
from llmfan.scheduling.estimate import CHARS_PER_TOKEN, dollars
from llmfan.scheduling.jobs import Job
from llmfan.scheduling.lanes import Lane


class Spent:
    """Takes the attempts of earlier sessions one by one. `sent_by`: how many went to each provider."""

    def __init__(self) -> None:
        self.sent_by: Counter[str] = Counter()
        self.tokens: dict[str, tuple[int, int]] = {}  # by target: in and out, all together
        self.most: dict[str, tuple[int, int]] = {}  # of one request
        self.unsure: dict[str, Counter[tuple[str, int]]] = {}  # by prompt: (target, turn) of what may have been billed

    def add(self, line: AttemptLine) -> None:
        self.sent_by[line.provider] += 1
        name = f"{line.provider}/{line.model}"
        if line.input_tokens is not None or line.output_tokens is not None:
            given, made = line.input_tokens or 0, line.output_tokens or 0
            before, most = self.tokens.get(name, (0, 0)), self.most.get(name, (0, 0))
            self.tokens[name] = (before[0] + given, before[1] + made)
            self.most[name] = (max(most[0], given), max(most[1], made))
        elif line.billed == "unknown":
            self.unsure.setdefault(line.id, Counter())[name, line.turn] += 1


def recall_spent(
    dispatcher: Dispatcher, spent: Spent, prompts: Callable[[], Iterator[Prompt]], at_least: float = 0.0
) -> None:
    """Fills the purse. Where a doubt is left it takes the dearer: cached tokens count in full, for the files do not
    name them, and what may have been billed counts as what is reserved for such a request.

    `at_least`: what is known from elsewhere (of targets that are in the run no more). Ask before anything is sent.
    """
    lanes = {lane.target.name: lane for lane in dispatcher.lanes if lane.price is not None}
    for name, most in spent.most.items():
        dispatcher.estimator.recall_most(name, *most)
    total = sum(
        dollars(lanes[name].price, *tokens) or 0.0 for name, tokens in spent.tokens.items() if name in lanes
    )  # fmt: skip
    if lanes and spent.unsure and dispatcher.purse.limit < float("inf"):
        total += _unsure(dispatcher, spent, prompts, lanes)
    dispatcher.purse.spent = max(total, at_least)


def _unsure(
    dispatcher: Dispatcher, spent: Spent, prompts: Callable[[], Iterator[Prompt]], lanes: dict[str, Lane]
) -> float:
    """USD. A prompt whose name was too long to be kept whole counts as the dearest of all."""
    total, left = 0.0, dict(spent.unsure)
    for prompt in prompts():
        if not left:
            return total
        total += _worst(dispatcher, prompt, left.pop(prompt.id, Counter()), lanes)
    nameless: Counter[tuple[str, int]] = Counter()
    for counts in left.values():
        nameless += counts
    return total + max((_worst(dispatcher, prompt, nameless, lanes) for prompt in prompts()), default=0.0)


def _worst(dispatcher: Dispatcher, prompt: Prompt, counts: Counter[tuple[str, int]], lanes: dict[str, Lane]) -> float:
    return sum(
        count * dispatcher.worst_of(_job(dispatcher, prompt, lanes[name], turn), lanes[name])
        for (name, turn), count in counts.items()
        if name in lanes
    )


def _job(dispatcher: Dispatcher, prompt: Prompt, lane: Lane, turn: int) -> Job:
    """As it was sent; the answers before it as long as they may have been."""
    job = Job(prompt)
    if turn:
        job.answers = [" " * round(CHARS_PER_TOKEN * dispatcher.most_tokens(job, lane))] * turn
    return job
