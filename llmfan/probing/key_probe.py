"""One key: what is free first, then one token of each model, since a listing proves neither credit nor access."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from urllib.parse import urlsplit

from msgspec import Struct

from llmfan.dialects.waits import next_day
from llmfan.probing.clerk import Clerk
from llmfan.probing.findings import Finding
from llmfan.probing.listings import Listings
from llmfan.probing.nearest import nearest
from llmfan.probing.proof import Proof
from llmfan.probing.readings import axis_meant, left_of, one_less, take
from llmfan.probing.sheet import Sheet
from llmfan.probing.verdict import (
    OK,
    Verdict,
    is_answer,
    is_gone,
    is_no_api,
    judge,
    wants_another_try,
    wants_more_tokens,
)
from llmfan.probing.wire import Wire
from llmfan.records import Answer, Failure, Reply
from llmfan.settings import AXES, ModelSettings
from llmfan.units import DAY

#: Tokens asked for, and those for a model that refuses so few.
CAP, LARGER_CAP = 1, 16
AGAIN_S = 1.0


class Shot(Struct, frozen=True, kw_only=True):
    """One completion that was sent. `sent` and `ended` are moments of the clock, `at` is Unix time.

    `outcome`: `ok`, `refused` (429) or `failed`; `left`: (limit, left) by axis, as its answer told.
    """

    key: str
    model: str
    at: float
    sent: float
    ended: float
    outcome: str
    input_tokens: int = 0
    output_tokens: int = 0
    left: dict[str, tuple[float, float]] = {}


class KeyProbe:
    """Fills in a key's sheet. `shots`: what was sent by all keys of the provider."""

    def __init__(
        self,
        sheet: Sheet,
        wire: Wire,
        listings: Listings,
        shots: list[Shot],
        *,
        free: bool,
        wall: Callable[[], float],
        clerk: Clerk,
    ):
        self.sheet, self.key, self.asked = sheet, sheet.key, sheet.asked
        self._wire, self._listings, self._shots = wire, listings, shots
        self._free, self._wall, self._clerk = free, wall, clerk
        self._proof = Proof(sheet, wire, listings, wall)
        self._cap = CAP

    async def run(self) -> None:
        try:
            await self._proof.gather(thorough=self._free)
            for model, finding in self.asked:
                if finding.state:
                    continue
                if self._free and not self._costs_nothing(model):
                    self.sheet.settle(self._unasked(model, finding), [finding])
                else:
                    await self._complete(model, finding)
        except Exception as error:  # answers of one server that nobody foresaw: what is known of all others stands
            self.sheet.settle(Verdict("unreachable", f"llmfan could not read its answers: {type(error).__name__}"))
        finally:
            self.sheet.doing("")

    async def ask(
        self, model: ModelSettings, finding: Finding, *, paced: bool = True
    ) -> tuple[Reply, Answer | Failure]:
        """Sends one completion, and keeps what it tells of time and limits."""
        self._clerk.ahead(self.key.label, model.name)
        reply = await self._wire.ask(self.key, model, self._cap, paced=paced)
        outcome = self._wire.outcome(reply)
        counts = not (isinstance(outcome, Failure) and (outcome.free or outcome.kind == "bad_request"))
        if not counts:
            self._clerk.back(self.key.label, model.name)
        self.sheet.took(reply, [finding])
        reports = self._wire.reports(reply, outcome)
        declared = self._wire.provider.limits[self.key.label, model.name].axes
        if counts:
            one_less(finding.limits, {axis_meant(r, declared) for r in reports}, self._wall())
        take(finding.limits, reports, declared, self._wall())
        left = left_of(reports, declared)
        self._shots.append(_shot(self.key.label, model.name, self._wall(), reply, outcome, left))
        return reply, outcome

    # ------------------------------------------------------------ `--free`

    def _costs_nothing(self, model: ModelSettings) -> bool:
        """Nobody can be billed where there is no key."""
        return self.key.secret is None and model.price is None

    def _unasked(self, model: ModelSettings, finding: Finding) -> Verdict:
        """What can be said of a key that was not asked to answer."""
        proof = self._proof
        if not proof.proven:
            return (
                Verdict("unproven", proof.doubt) if proof.refused is None else Verdict("invalid", proof.refused.message)
            )
        if proof.listing is not None and proof.listing.whole and not proof.listing.has(model.name):
            self._name_near(model, finding, proof.listing.names)
            return Verdict("no_model", "the provider does not list it")
        spent = next((axis for axis, r in finding.limits.items() if r.remaining is not None and r.remaining <= 0), "")
        if spent:
            return Verdict("exhausted", f"the key check says that {spent} is spent", self._reset(spent, model))
        return Verdict("ok", "the key is good; no answer was asked for (--free)")

    def _reset(self, axis: str, model: ModelSettings) -> float | None:
        zone, now = self._wire.provider.limits[self.key.label, model.name].reset, self._wall()
        return now + next_day(zone, now) if AXES[axis][1] == DAY and zone != "rolling" else None

    # --------------------------------------------------------- completions

    async def _complete(self, model: ModelSettings, finding: Finding) -> None:
        if self._proof.is_cut_off(self._wire.provider.base_url):
            return
        again = True
        while True:
            self.sheet.doing("one token")
            reply, outcome = await self.ask(model, finding)
            if isinstance(outcome, Answer) or is_answer(outcome):
                self.sheet.settle(OK, [finding])
                return
            if self._cap == CAP and wants_more_tokens(outcome):
                self._cap = LARGER_CAP
            elif again and wants_another_try(outcome):
                again = False
                self.sheet.doing("waits to try again")
                await asyncio.sleep(AGAIN_S)
            else:
                await self._refused(model, finding, reply, outcome)
                return

    async def _refused(self, model: ModelSettings, finding: Finding, reply: Reply, failure: Failure) -> None:
        """What a refusal means. What holds for the key or its account is not asked again of its other models."""
        verdict = judge(failure, proven=self._proof.proven, now=self._wall())
        if verdict.state == "no_model":
            verdict = await self._about_model(model, finding, reply, failure)
        cut_off = bool(reply.fault) and self._wire.host(self._wire.provider.base_url).failure is not None
        of_key = failure.scope == "account" or (failure.scope == "key" and verdict.state != "forbidden")
        self.sheet.settle(verdict, None if cut_off or (of_key and verdict.state != "no_model") else [finding])

    async def _about_model(self, model: ModelSettings, finding: Finding, reply: Reply, failure: Failure) -> Verdict:
        if is_no_api(reply.status, reply.body):
            return Verdict("unreachable", f"answers, but not as this API: {failure.message}")
        if is_gone(failure) or self._proof.listing is None or not self._proof.listing.has(model.name):
            self.sheet.doing("models list")
            listing = self._proof.listing or await self._listings.fetch(self.key)
            nowhere = self._nowhere(model, failure) if listing is None and reply.status == 404 else ""
            if nowhere:
                return Verdict("unreachable", nowhere)
            self._name_near(model, finding, () if listing is None else listing.names)
            return Verdict("no_model", failure.message)
        return Verdict("forbidden", f"listed, yet refused: {failure.message}")

    def _nowhere(self, model: ModelSettings, failure: Failure) -> str:
        """Where neither answers nor a list are, at an address of the user's own, it is the address that is wrong.

        Unless the refusal itself names the model: then somebody has read the request.
        """
        asked = urlsplit(self._wire.address(model)).path
        name = rf"(?<![\w.-]){re.escape(model.name)}(?![\w-])"
        named = re.search(name, failure.message.replace(asked, ""))
        if named or not self._wire.is_moved() or not self._listings.missed:
            return ""
        return f"nothing at this address: check base_url (POST {asked} answered 404, {self._listings.missed})"

    def _name_near(self, model: ModelSettings, finding: Finding, names: tuple[str, ...]) -> None:
        finding.nearest = [self.sheet.clean(name) for name in nearest(model.name, names)]


def _shot(
    label: str, model: str, at: float, reply: Reply, outcome: Answer | Failure, left: dict[str, tuple[float, float]]
) -> Shot:
    usage = outcome.usage if isinstance(outcome, Answer) else None
    ok = isinstance(outcome, Answer) or is_answer(outcome)
    return Shot(
        key=label, model=model, at=at, sent=reply.sent, ended=reply.ended,
        outcome="ok" if ok else "refused" if reply.status == 429 else "failed",
        input_tokens=usage.input_tokens if usage else 0, output_tokens=usage.output_tokens if usage else 0,
        left=left if ok else {},
    )  # fmt: skip
