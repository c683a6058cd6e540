"""How fast a simulated provider answers: lognormal times to the first token and between tokens, and answer lengths."""

from __future__ import annotations

import math
import random

#: Writes closer than this (real seconds) leave as one, as a kernel would send them: no client could tell.
GRAIN = 0.004


class Tempo:
    """A provider's own pace, drawn once; every answer is then drawn around it."""

    def __init__(self, rng: random.Random):
        self.first = rng.uniform(0.15, 0.9)
        self.gap = rng.uniform(0.005, 0.025)
        self.length = rng.uniform(40, 120)
        self.chatty = rng.random() < 0.4  # sends comments to keep the connection alive

    def first_token(self, rng: random.Random) -> float:
        return rng.lognormvariate(math.log(self.first), 0.4)

    def gaps(self, rng: random.Random, count: int) -> list[float]:
        mu, draw = math.log(self.gap), rng.lognormvariate
        return [draw(mu, 0.5) for _ in range(count)]

    def tokens(self, rng: random.Random) -> int:
        return max(2, round(rng.lognormvariate(math.log(self.length), 0.6)))


def merge(writes: list[tuple[float, bytes]], grain: float) -> list[tuple[float, bytes]]:
    """Joins writes nearer than `grain` to the last one sent; a group leaves with its latest piece, so none is early."""
    merged: list[tuple[float, bytes]] = []
    held: list[bytes] = []
    sent = held_at = -math.inf
    for at, data in writes:
        if held and at - sent >= grain:
            merged.append((held_at, b"".join(held)))
            sent, held = held_at, []
        if not held and at - sent >= grain:
            merged.append((at, data))
            sent = at
            continue
        held.append(data)
        held_at = at
    if held:
        merged.append((held_at, b"".join(held)))
    return merged
