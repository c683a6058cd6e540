"""What there is to see of a fleet at work, as documents: of a run, and of a fleet that is kept running."""

from __future__ import annotations

from typing import Any

from llmfan.conduct.bookkeeper import Bookkeeper
from llmfan.measures.accumulate import Accumulator
from llmfan.measures.recent import Recent
from llmfan.ports import Ledger
from llmfan.scheduling.dispatcher import Dispatcher
from llmfan.secret import Redactor
from llmfan.settings import Fleet
from llmfan.wiring import Moments


class Overview:
    """Only reads, but for what the clerk has not written into the ledger yet. `total`: jobs of a run; None: no end."""

    def __init__(
        self,
        fleet: Fleet,
        dispatcher: Dispatcher,
        clerk: Bookkeeper,
        ledger: Ledger,
        accumulator: Accumulator,
        recent: Recent,
        moments: Moments,
        redact: Redactor,
        *,
        total: int | None = None,
        simulated: bool = False,
        speed: float = 1.0,
    ):
        self.fleet, self.dispatcher, self.clerk, self.ledger = fleet, dispatcher, clerk, ledger
        self.accumulator, self.recent, self.moments, self.redact = accumulator, recent, moments, redact
        self.total, self.simulated, self.speed = total, simulated, speed

    def status(self) -> dict[str, Any]:
        """The document of `llmfan status --json`, as things stand now."""
        return {}

    def document(self) -> dict[str, Any]:
        """What the dashboard shows: `status` and, beside it, what changes from second to second."""
        return {"status": self.status()}
