"""How often a simulated provider fails for no fault of the caller."""

from __future__ import annotations

import random

from msgspec import Struct


class Faults(Struct, frozen=True):
    """The share of requests that meet each fault. One draw decides, so the shares add up."""

    server_error: float = 0.002  # 500 with a page of HTML
    overloaded: float = 0.002  # 503 in the provider's own shape
    cut: float = 0.002  # the stream ends without having finished
    error_event: float = 0.002  # an error in the middle of a stream that began with 200
    reset: float = 0.002  # the connection breaks

    def draw(self, rng: random.Random) -> str:
        """The name of the fault this request meets, or nothing."""
        at = rng.random()
        for name in self.__struct_fields__:
            at -= getattr(self, name)
            if at < 0:
                return name
        return ""


NO_FAULTS = Faults(server_error=0, overloaded=0, cut=0, error_event=0, reset=0)
