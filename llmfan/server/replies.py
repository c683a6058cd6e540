"""Answers that are no model's: documents, and failures in the form callers know."""

from __future__ import annotations

import http
from collections.abc import Mapping

import msgspec
from aiohttp import web

from llmfan.serving.errors import Told, of_fault, retry_headers
from llmfan.serving.faults import CallerFault

#: On every answer. `Server` is there since the framework's own one tells versions.
CONSTANT = {"Server": "llmfan", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
JSON = "application/json"


def document(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(value), status=status, headers={"Content-Type": JSON, **(headers or {})}
    )


def told(what: Told, headers: Mapping[str, str] | None = None) -> web.Response:
    return document(what.document, what.status, {**retry_headers(what.retry_after), **(headers or {})})


def failure(status: int, message: str, code: str = "", headers: Mapping[str, str] | None = None) -> web.Response:
    return told(of_fault(CallerFault(message, status=status, code=code)), headers)


def overloaded(message: str) -> Told:
    """This service itself has no room just now; a second later it may."""
    error = {"message": message, "type": "server_error", "param": None, "code": "overloaded"}
    return Told(503, {"error": error}, 1.0)


def bare(what: Told) -> bytes:
    """A whole answer for a connection that is not served at all, and is closed after it."""
    body = msgspec.json.encode(what.document)
    fields = {
        **CONSTANT, **retry_headers(what.retry_after), "Content-Type": JSON, "Content-Length": str(len(body)),
        "Connection": "close",
    }  # fmt: skip
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {what.status} {http.HTTPStatus(what.status).phrase}\r\n{head}\r\n".encode("ascii") + body


def plain(text: str) -> str:
    """For a header: names come from a file, and servers add to them."""
    return text if text.isascii() and text.isprintable() else ascii(text)[1:-1]
