"""`GET /v1/models` and `GET /v1/models/NAME`, where a name holds slashes."""

from __future__ import annotations

import time

from aiohttp import web

from llmfan.server.replies import document, told
from llmfan.serving.errors import of_fault
from llmfan.serving.faults import CallerFault
from llmfan.serving.model_names import Names


class Listing:
    """The names do not change while a fleet is served, and are as old as the service."""

    def __init__(self, names: Names):
        self._names, self._created = names, int(time.time())

    async def all(self, request: web.Request) -> web.Response:
        return document(self._names.listing(self._created))

    async def one(self, request: web.Request) -> web.Response:
        try:
            return document(self._names.entry(request.match_info["name"], self._created))
        except CallerFault as fault:
            return told(of_fault(fault))
