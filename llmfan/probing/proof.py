"""What shows that a key is good before it is asked for an answer, and costs nothing: its check, and the models list."""

from __future__ import annotations

from collections.abc import Callable

from llmfan.dialects.bodies import plain
from llmfan.inputs.check_addresses import key_check_address, models_address
from llmfan.probing.facts import facts_in
from llmfan.probing.listings import Listings
from llmfan.probing.nearest import Listing
from llmfan.probing.sheet import Sheet
from llmfan.probing.verdict import Verdict, judge
from llmfan.probing.wire import Wire
from llmfan.records import Failure, Reply


class Proof:
    """`proven`: something has shown the key is good; `doubt`: why not. `listing`: the models it may see.

    `refused`: a check that called the key wrong, and may have meant that it is no key of the sort it checks.
    """

    def __init__(self, sheet: Sheet, wire: Wire, listings: Listings, wall: Callable[[], float]):
        self._sheet, self._wire, self._listings, self._wall = sheet, wire, listings, wall
        self.proven = False
        self.listing: Listing | None = None
        self.doubt = "nothing that is free proves a key here"
        self.refused: Failure | None = None

    async def gather(self, *, thorough: bool) -> None:
        """`thorough`: the list is wanted for its names as well."""
        if self._sheet.key.secret is None:
            return
        await self._check()
        if not self._wire.preset.models_public and (thorough or not self.proven):
            await self._list()

    def is_cut_off(self, url: str) -> bool:
        """Whether a host cannot be reached. If the answers come from there too, that is all there is to know."""
        host = self._wire.host(url)
        if host.failure is not None and self._wire.is_own(url):
            why = judge(host.failure, proven=False, now=self._wall()).why
            self._sheet.settle(Verdict("unreachable", f"not asked: {host.finder} found {why}"))
        return host.failure is not None

    async def _check(self) -> None:
        """A wrong key ends it here; a check that is not there, or not for this sort of key, decides nothing."""
        reply = await self._get("key check", key_check_address(self._wire.provider))
        if reply is None:
            return
        failure = self._wire.refusal(reply)
        if failure is not None:
            self._weigh(failure, reply, "key check")
        elif plain(reply.body) is not None:
            self.proven = True
            self._take_facts(reply)

    async def _list(self) -> None:
        """A list proves a key only where nobody gets it without one; of a provider of the catalogue that is known."""
        reply = await self._get("models list", models_address(self._wire.provider))
        if reply is None:
            return
        failure = self._wire.refusal(reply)
        if failure is not None:
            self._weigh(failure, reply, "models list")
            return
        self.listing = self._listings.read(reply)
        if self.listing is None:
            self.doubt = "the models list cannot be read"
        elif not self.proven and not self._wire.provider.preset_name and await self._listings.is_public():
            self.doubt = "the models list is open to everybody, so it proves no key"
        else:
            self.proven = True

    async def _get(self, what: str, url: str | None) -> Reply | None:
        """None: there is nothing to ask, or nobody there."""
        if url is None or self._sheet.is_known() or self.is_cut_off(url):
            return None
        self._sheet.doing(what)
        reply = await self._wire.get(url, self._sheet.key)
        self._sheet.took(reply)
        failure = self._wire.refusal(reply)
        if reply.fault and failure is not None and self._wire.is_own(url) and self._wire.host(url).failure is not None:
            self._sheet.settle(judge(failure, proven=False, now=self._wall()))
        return reply

    def _weigh(self, failure: Failure, reply: Reply, what: str) -> None:
        if not reply.status:
            self.doubt = f"the {what}: {failure.message}"
            return
        self.doubt = f"the {what} answered {reply.status}"
        if failure.kind == "auth" and reply.status == 403:
            self.refused = failure
        elif failure.kind == "auth":
            self._sheet.settle(Verdict("invalid", failure.message))
        elif failure.kind == "payment_required":
            self._sheet.settle(Verdict("no_credit", failure.message))

    def _take_facts(self, reply: Reply) -> None:
        facts = facts_in(reply.body, self._wire.preset.key_facts)
        for finding in self._sheet.findings:
            finding.account = self._sheet.clean(facts.account)
            if facts.reading is not None:
                facts.reading.at = self._wall()
                finding.limits[facts.axis] = facts.reading  # one for all of them: each answer takes one from it
        if facts.inactive:
            self._sheet.settle(Verdict("invalid", f"the key check calls it {facts.inactive}"))
        elif facts.spent:
            self._sheet.settle(Verdict("no_credit", "the key check says that no credit is left"))
