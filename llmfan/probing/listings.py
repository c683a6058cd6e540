"""The models list of one provider, asked no oftener than needed."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

from llmfan.dialects.bodies import is_html
from llmfan.inputs.check_addresses import models_address
from llmfan.probing.nearest import Listing, listing_in
from llmfan.probing.wire import Wire
from llmfan.records import Reply
from llmfan.settings import KeySettings


class Listings:
    """What was listed to one key serves the others: names are the same, and a list is long.

    `missed`: how the list's address answered, where there is none.
    """

    def __init__(self, wire: Wire):
        self._wire = wire
        self._lock = asyncio.Lock()
        self._found: Listing | None = None
        self._asked = False
        self._open: bool | None = None
        self.missed = ""

    def read(self, reply: Reply) -> Listing | None:
        listing = listing_in(reply.body)
        self._found = listing or self._found
        return listing

    async def fetch(self, key: KeySettings) -> Listing | None:
        """The list of whichever key got one; a public one is asked for without a key."""
        async with self._lock:
            url = models_address(self._wire.provider)
            if self._found is None and not self._asked and url is not None and self._wire.host(url).failure is None:
                self._asked = True
                reply = await self._wire.get(url, None if self._wire.preset.models_public else key)
                if self._wire.refusal(reply) is None:
                    self.read(reply)
                self.missed = self._missed(url, reply)
        return self._found

    def _missed(self, url: str, reply: Reply) -> str:
        """That nothing is there to be listed, in words; "" where there may be: a wrong key, a busy server."""
        path = urlsplit(url).path
        if reply.status in (404, 405, 410):
            return f"GET {path} answered {reply.status}"
        unread = reply.status == 200 and self._found is None
        return f"GET {path} lists nothing" if unread or (reply.status and is_html(reply.body)) else ""

    async def is_public(self) -> bool:
        """Whether somebody without a key gets it as well."""
        async with self._lock:
            if self._open is None:
                url = models_address(self._wire.provider)
                reply = None if url is None else await self._wire.get(url, None)
                self._open = reply is not None and reply.status == 200 and listing_in(reply.body) is not None
        return self._open
