"""What a `Fan` is made of: settings, checked; providers file, variables and ledger, opened as commands open them."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from msgspec import Struct

from llmfan.errors import UserError
from llmfan.inputs.catalogue_files import packaged_providers
from llmfan.inputs.config import load_fleet
from llmfan.inputs.environment import environment
from llmfan.ledgers.opening import open_ledger
from llmfan.options import RunOptions
from llmfan.ports import Ledger
from llmfan.settings import Fleet

Say = Callable[[str], None]
_LOG = logging.getLogger("llmfan")


class Given(Struct, frozen=True, kw_only=True):
    """The files and variables that were named. `env` None: those of the process, with `.env` beneath them."""

    providers: str | Path | None
    env_file: str | Path | None
    env: Mapping[str, str] | None
    state: str | Path | None
    only: list[str]
    exclude: list[str]

    def variables(self) -> dict[str, str]:
        file = None if self.env_file is None else str(self.env_file)
        if self.env is not None and file is None:
            return dict(self.env)  # given in full: no file of this folder changes them
        return environment(file, os.environ if self.env is None else self.env)

    def fleet(self, env: Mapping[str, str], options: RunOptions) -> Fleet:
        file = self._file(options.simulate)
        fleet = load_fleet(file, env, simulate=options.simulate, only=self.only, exclude=self.exclude)
        _check_prices(fleet, options)
        return fleet

    def ledger(self, whole: Fleet, say: Say) -> Ledger:
        place = self.state or self._named("LLMFAN_STATE")
        return open_ledger(None if place is None else str(place), whole, say)

    def whole(self, fleet: Fleet, env: Mapping[str, str], simulate: bool) -> Fleet:
        """The file's fleet with keys that are not set: who shares an account with whom must not depend on `only`."""
        try:
            return load_fleet(fleet.file, env, simulate=simulate, every=True)
        except UserError:  # a fault of what was not asked for
            return fleet

    def _file(self, packaged: bool) -> str:
        named = self.providers or self._named("LLMFAN_PROVIDERS")
        if named is not None:
            return str(named)
        if Path("providers.yaml").exists():
            return "providers.yaml"
        if packaged:
            return packaged_providers()
        raise UserError(
            "no providers file: there is no ./providers.yaml and none was named; write one with: llmfan init "
            "(or try without any key: simulate=True)"
        )

    def _named(self, variable: str) -> str | None:
        return (os.environ if self.env is None else self.env).get(variable) or None


def names(given: str | Iterable[str]) -> list[str]:
    """One name is as good as a list of one."""
    return [given] if isinstance(given, str) else list(given)


def check(options: RunOptions, queue: int, max_wait: float | None) -> None:
    """All numbers, before anything is opened."""
    counts = {"concurrency": options.concurrency, "queue": queue, "max_attempts": options.max_attempts}
    wrong = [f"{name}: expected a whole number from 1 up, got {value!r}" for name, value in counts.items() if value < 1]
    if options.max_ambiguous < 0:
        wrong.append(f"max_ambiguous: expected a whole number from 0 up, got {options.max_ambiguous!r}")
    amounts = {"timeout": options.timeout, "max_cost": options.max_cost, "simulate_speed": options.speed}
    wrong += [
        f"{name}: expected a number above 0, got {value!r}"
        for name, value in amounts.items()
        if value is not None and not 0 < value < math.inf
    ]
    if max_wait is not None:
        wrong += wait_fault(max_wait)
    if options.speed != 1.0 and not options.simulate:
        wrong.append("simulate_speed: goes with simulate=True")
    if wrong:
        raise UserError("\n".join(wrong))


def wait_fault(max_wait: float) -> list[str]:
    """NaN is no time either."""
    return [] if max_wait >= 0 else [f"max_wait: expected seconds from 0 up, got {max_wait!r}"]


def teller(say: Say | None) -> tuple[Say, Say]:
    """Who is told what a person should know, and who is told the rest: one callback, or the logger `llmfan`."""
    return (say, say) if say is not None else (_LOG.warning, _LOG.info)


def _check_prices(fleet: Fleet, options: RunOptions) -> None:
    if options.max_cost is None:
        return
    unknown = [f"{p.name}/{m.name}" for p in fleet.providers if p.paid for m in p.models if m.price is None]
    if unknown:
        raise UserError(
            f"max_cost needs a price for every paid model; none is known for {', '.join(unknown)} "
            "(add price: {input: …, output: …} in USD per million tokens)"
        )
