"""One call's way back to its caller: the answer whole or as it comes, or why there is none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from aiohttp import web

from llmfan.conduct.ticket import Ticket
from llmfan.ports import Clock
from llmfan.records import ResultLine
from llmfan.server.log import GONE, LEFT, REFUSED, CallNote
from llmfan.server.replies import JSON, told
from llmfan.server.replies import plain as in_header
from llmfan.serving.answer import whole
from llmfan.serving.errors import Told, event, of_refusal, of_result

DONE = b"data: [DONE]\n\n"


class _Stream(web.StreamResponse):
    """Its head leaves with its first chunk: one write instead of two (older aiohttp does so in any case)."""

    _send_headers_immediately = False


class Exchange:
    """`tell` answers one call; `note` is what the log is told of it; `redact` takes keys out of what is sent."""

    def __init__(
        self,
        request: web.Request,
        ticket: Ticket,
        note: CallNote,
        constant: Mapping[str, str],
        clock: Clock,
        redact: Callable[[bytes], bytes],
    ):
        self._request, self._ticket, self.note, self._constant, self._clock = request, ticket, note, constant, clock
        self._redact = redact
        self._response: _Stream | None = None

    async def tell(self) -> web.StreamResponse:
        ticket = self._ticket
        if ticket.streams and await asyncio.shield(ticket.begun):
            return await self._stream()
        result = await self._result()
        return self._failed(result) if ticket.streams or result.status != "ok" else self._whole()

    async def break_off(self, what: Told, end: str) -> web.StreamResponse:
        """The call is ended from here; a stream that has begun says so in its last event."""
        self._note(what.status, end)
        if self._response is None:
            return told(what, self._headers(False))
        return await self._broken(self._response, what)

    def gone(self) -> None:
        """The caller went away."""
        self._note(GONE, LEFT)

    # ---------------------------------------------------------------- answers

    def _whole(self) -> web.Response:
        ticket = self._ticket
        assert ticket.answer is not None and ticket.used is not None and ticket.target is not None
        body = whole(ticket.body, ticket.answer, ticket.used, ticket.head, ticket.target.model)
        self._note(200)
        return web.Response(body=self._redact(body), headers={"Content-Type": JSON, **self._headers()})

    async def _stream(self) -> web.StreamResponse:
        ticket = self._ticket
        response = self._response = _Stream(
            headers={
                "Content-Type": "text/event-stream", "Cache-Control": "no-cache", "X-Accel-Buffering": "no",
                **self._headers(),
            }
        )  # fmt: skip
        await response.prepare(self._request)
        async for pieces in ticket.pieces():
            data = framed(pieces)
            if _went_well(ticket.result):  # nothing comes after this: the end leaves with it
                self._note(200)
                await response.write_eof(data + DONE)
                return response
            await response.write(data)
        result = await self._result()
        if result.status == "ok":
            self._note(200)
            await response.write_eof(DONE)
            return response
        what = self._why(result)
        self._note(200, _end(ticket, result))
        return await self._broken(response, what)

    async def _broken(self, response: web.StreamResponse, what: Told) -> web.StreamResponse:
        """Without the stream's end sign, nor that of the transfer: a caller who passes over the event meets those."""
        await response.write(framed([event(what)]))
        response.force_close()
        if self._request.transport is not None:
            self._request.transport.close()
        return response

    async def _result(self) -> ResultLine:
        """Shielded: whoever cancels a task that waits cancels what it waits for, and the fleet would know no call."""
        return await asyncio.shield(self._ticket.result)

    def _failed(self, result: ResultLine) -> web.Response:
        what = self._why(result)
        end = _end(self._ticket, result)
        self._note(what.status, end if self._ticket.refusal is not None else f"failed: {end}")
        return told(what, self._headers(self._ticket.refusal is None))

    def _why(self, result: ResultLine) -> Told:
        refusal = self._ticket.refusal
        if refusal is not None:
            return of_refusal(refusal.why, refusal.message, refusal.retry_after)
        return of_result(result)

    # ---------------------------------------------------------------- what goes with them

    def _headers(self, who: bool = True) -> dict[str, str]:
        """`who`: whether to name who answers or has failed; who was asked before a refusal is no part of it."""
        ticket = self._ticket
        headers = {
            **self._constant,
            "x-request-id": self.note.id,
            "x-llmfan-attempts": str(ticket.attempts),
            "x-llmfan-wait": f"{self._waited():.3f}",
        }
        if who and (target := ticket.target) is not None:
            headers["x-llmfan-provider"] = in_header(target.provider)
            headers["x-llmfan-model"] = in_header(target.model)
            headers["x-llmfan-key"] = in_header(target.key)
        return headers

    def _waited(self) -> float:
        """For a permit; one that never had any has done nothing else."""
        return self._ticket.wait if self._ticket.target is not None else self._clock() - self.note.began

    def _note(self, status: int, end: str = "") -> None:
        note, ticket = self.note, self._ticket
        note.status, note.end, note.attempts, note.wait = status, end, ticket.attempts, self._waited()
        note.streamed, note.broke = ticket.streams, self._response is not None
        if (target := ticket.target) is not None:
            note.provider, note.model, note.key = target.provider, target.model, target.key


def framed(pieces: Sequence[bytes]) -> bytes:
    """Events of a stream, as one write; no piece holds a line end."""
    return b"data: " + b"\n\ndata: ".join(pieces) + b"\n\n"


def _went_well(result: asyncio.Future[ResultLine]) -> bool:
    return result.done() and not result.cancelled() and result.result().status == "ok"


def _end(ticket: Ticket, result: ResultLine) -> str:
    if ticket.refusal is not None:
        return REFUSED.get(ticket.refusal.why, f"refused: {ticket.refusal.why}")
    return result.error.kind if result.error is not None else "unknown"
