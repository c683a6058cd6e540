"""What a `Fan` is made of: settings, checked; providers file, variables and ledger, opened as commands open them."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeGuard

from msgspec import Struct

from llmfan.errors import UserError
from llmfan.inputs.catalogue_files import packaged_providers
from llmfan.inputs.config import load_fleet
from llmfan.inputs.environment import environment
from llmfan.ledgers.opening import open_ledger
from llmfan.options import RunOptions
from llmfan.ports import Ledger
from llmfan.settings import Fleet
from llmfan.units import seconds

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
    if isinstance(given, str):
        return [given]
    if not isinstance(given, Iterable):
        raise UserError(f"only, exclude: expected a name or several, got {given!r:.60}")
    return list(given)


def check(options: RunOptions, queue: int) -> None:
    """All numbers, before anything is opened."""
    counts = {"concurrency": options.concurrency, "queue": queue, "max_attempts": options.max_attempts}
    wrong = [_count_fault(name, value, 1) for name, value in counts.items()]
    wrong += [_count_fault("max_ambiguous", options.max_ambiguous, 0), _count_fault("seed", options.seed, None)]
    amounts = {"timeout": options.timeout, "max_cost": options.max_cost, "simulate_speed": options.speed}
    wrong += [
        f"{name}: expected a number above 0, got {value!r}"
        for name, value in amounts.items()
        if value is not None and not (_is_number(value) and 0 < value < math.inf)
    ]
    if options.speed != 1.0 and not options.simulate:
        wrong.append("simulate_speed: goes with simulate=True")
    if any(wrong):
        raise UserError("\n".join(filter(None, wrong)))


def span(name: str, given: float | str) -> float:
    """Seconds, as a number or as at the command line. NaN is no time."""
    found = seconds(given) if isinstance(given, str) else given
    if not _is_number(found) or not found >= 0:
        raise UserError(f'{name}: expected seconds from 0 up, or text such as "90s" or "2m", got {given!r:.60}')
    return float(found)


def _count_fault(name: str, value: Any, least: int | None) -> str:
    if type(value) is int and (least is None or value >= least):
        return ""
    return f"{name}: expected a whole number{'' if least is None else f' from {least} up'}, got {value!r:.60}"


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


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
