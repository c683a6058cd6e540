"""What a call gives who waits for it: its record, its stream, or `CallFailed`. Cancelled meanwhile, so is the call."""

from __future__ import annotations

import asyncio

from llmfan.conduct.ticket import Ticket
from llmfan.fan.failed import CallFailed
from llmfan.fan.stream import Stream
from llmfan.records import ResultLine


async def answered(ticket: Ticket) -> ResultLine:
    result = await ticket.result
    if result.status != "ok":
        raise _failed(ticket, result)
    return result


async def begun(ticket: Ticket) -> Stream:
    try:
        there = await ticket.begun
    except asyncio.CancelledError:
        ticket.result.cancel()
        raise
    if there:
        return Stream(ticket)
    raise _failed(ticket, await ticket.result)


def _failed(ticket: Ticket, result: ResultLine) -> CallFailed:
    return CallFailed(result, None if ticket.refusal is None else ticket.refusal.retry_after)
