"""The columns of an exported result: each field of results.jsonl, nested ones laid out flat or as JSON text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import msgspec

from llmfan.records import ResultLine

Kind = Literal["text", "whole", "number", "truth"]


class Column(NamedTuple):
    name: str
    kind: Kind
    read: Callable[[ResultLine], Any]


def json_text(value: Any) -> str | None:
    """Text as it is, anything else as JSON; None for nothing."""
    if value is None or isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode()


#: After the name of the run, which comes first.
COLUMNS = (
    Column("id", "text", lambda r: r.id),
    Column("index", "whole", lambda r: r.index),
    Column("repeat", "whole", lambda r: r.repeat),
    Column("status", "text", lambda r: r.status),
    Column("provider", "text", lambda r: r.provider),
    Column("model", "text", lambda r: r.model),
    Column("key", "text", lambda r: r.key),
    Column("text", "text", lambda r: r.text),
    Column("reasoning", "text", lambda r: r.reasoning),
    Column("finish_reason", "text", lambda r: r.finish_reason),
    Column("input_tokens", "whole", lambda r: r.usage.input_tokens if r.usage else None),
    Column("output_tokens", "whole", lambda r: r.usage.output_tokens if r.usage else None),
    Column("usage_source", "text", lambda r: r.usage.source if r.usage else None),
    Column("cost_usd", "number", lambda r: r.cost_usd),
    Column("wait_s", "number", lambda r: r.wait_s),
    Column("retry_s", "number", lambda r: r.retry_s),
    Column("ttft_s", "number", lambda r: r.ttft_s),
    Column("ttfo_s", "number", lambda r: r.ttfo_s),
    Column("latency_s", "number", lambda r: r.latency_s),
    Column("total_s", "number", lambda r: r.total_s),
    Column("planned_s", "number", lambda r: r.planned_s),
    Column("attempts", "whole", lambda r: r.attempts),
    Column("error_kind", "text", lambda r: r.error.kind if r.error else None),
    Column("error_message", "text", lambda r: r.error.message if r.error else None),
    Column("error_http_status", "whole", lambda r: r.error.http_status if r.error else None),
    Column("expect", "text", lambda r: json_text(r.expect)),
    Column("score", "number", lambda r: r.score),
    Column("metadata", "text", lambda r: json_text(r.metadata)),
    Column("turns", "text", lambda r: json_text(r.turns)),
    Column("tool_calls", "text", lambda r: json_text(r.tool_calls)),
    Column("warmup", "truth", lambda r: r.warmup),
    Column("simulated", "truth", lambda r: r.simulated),
)
