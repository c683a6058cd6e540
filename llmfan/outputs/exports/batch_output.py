"""Results as the output file of a batch API, one line a result, so that programs which read such files read these."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from llmfan.records import ResultLine

_COMPLETION = "chat.completion"
#: Statuses with an answer of the server's own; of a failure under any other one nothing came back that was one.
_REFUSED = range(400, 600)


class BatchNames:
    """Gives each line its `custom_id`: the prompt's id, as the batch that was sent would have had it.

    Where a run asks a prompt several times, readers that join by it would keep one answer of several without a word;
    so there the id is followed by who answered and by the repeat (from 1): `ID @ NAME @ repeat 2`.
    """

    def __init__(self, shaping: Mapping[str, Any]):
        self._mode = shaping.get("--mode") or "spread"
        self._repeats = (shaping.get("--repeat") or 1) > 1

    @property
    def plain(self) -> bool:
        """Whether every `custom_id` is the prompt's id."""
        return self._mode == "spread" and not self._repeats

    def name(self, line: ResultLine) -> str:
        parts = [line.id]
        match self._mode:
            case "providers":
                parts.append(line.provider or "")
            case "models":
                parts.append(f"{line.provider}/{line.model}")
            case "keys":
                parts.append(line.key or "")
        if self._repeats:
            parts.append(f"repeat {line.repeat + 1}")
        return " @ ".join(parts)


def batch_lines(results: Iterable[ResultLine], header: Mapping[str, Any]) -> Iterator[bytes]:
    """`header` is the run's: when it began, and how often each prompt was asked."""
    names, began = BatchNames(header.get("shaping") or {}), _unix(header.get("started_at"))
    encode = msgspec.json.Encoder().encode
    for line in results:
        yield encode(_line(line, names.name(line), began)) + b"\n"


def _line(line: ResultLine, custom_id: str, began: int) -> dict[str, Any]:
    mark = hashlib.blake2b(custom_id.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
    response: dict[str, Any] | None = None
    error = None
    if line.status == "ok":
        response = {"status_code": 200, "request_id": mark, "body": _completion(line, mark, began)}
    else:
        kind, message = (line.error.kind, line.error.message) if line.error else ("unknown", "")
        error = {"code": kind, "message": message}
        status = line.error.http_status if line.error else None
        if status in _REFUSED:
            said = {"message": message, "type": kind, "param": None, "code": kind}
            response = {"status_code": status, "request_id": mark, "body": {"error": said}}
    return {"id": f"batch_req_{mark}", "custom_id": custom_id, "response": response, "error": error}


def _completion(line: ResultLine, mark: str, began: int) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": line.text, "refusal": None}
    if line.reasoning:
        message["reasoning_content"] = line.reasoning
    if line.tool_calls:
        message["tool_calls"] = line.tool_calls
        message["content"] = line.text or None
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": line.finish_reason or "stop"}
    ended = int((line.planned_s or 0.0) + (line.total_s or 0.0))
    body: dict[str, Any] = {
        "id": f"chatcmpl-{mark}", "object": _COMPLETION, "created": began + ended, "model": line.model or "",
        "choices": [choice],
    }  # fmt: skip
    if line.usage is not None:
        given, made = line.usage.input_tokens, line.usage.output_tokens
        body["usage"] = {"prompt_tokens": given, "completion_tokens": made, "total_tokens": given + made}
    return body


def _unix(moment: object) -> int:
    try:
        return int(dt.datetime.fromisoformat(str(moment)).timestamp())
    except ValueError:
        return 0
