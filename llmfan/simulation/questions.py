"""Requests as the far end reads them: which wire form (by path), which model, how long, streamed or not."""

from __future__ import annotations

import re
import zlib
from typing import Any
from urllib.parse import unquote

import msgspec
from msgspec import Struct

from llmfan.simulation.wants import Impossible, Wants, of_chat, of_contents, of_messages

#: What a far end does when no cap is sent.
DEFAULT_CAP = 1024
#: Answers to one request at most.
MOST_CHOICES = 128
_GENERATE = re.compile(r"/models/(.+):(generateContent|streamGenerateContent)$")


class Unreadable(Exception):
    """A request that no far end would serve; carries the words of its 400."""


class Question(Struct, frozen=True):
    """`form` is the wire form; `prompt` and `cap` are tokens; `fields` the names that stood in the body; `wants`: what
    the answer has to be other than prose; `choices`: how many answers.
    """

    form: str
    model: str
    prompt: int
    cap: int
    stream: bool
    usage: bool
    seed: int
    fields: frozenset[str] = frozenset()
    wants: Wants | None = None
    choices: int = 1


def read_question(path: str, body: bytes) -> Question:
    """The form is told by the path's end, so any prefix will do."""
    path = path.partition("?")[0]
    generate = _GENERATE.search(path)
    form = "generate_content" if generate else "messages" if path.endswith("/messages") else "openai_chat"
    if form == "openai_chat" and not path.endswith("/chat/completions"):
        raise Unreadable(f"no such path: {path}")
    try:
        data = msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.MsgspecError:
        raise Unreadable("the body is not a JSON object") from None
    try:
        if generate:
            return _generate_content(data, unquote(generate[1]), generate[2].startswith("stream"), body)
        if not isinstance(data.get("model"), str) or not isinstance(data.get("messages"), list):
            raise Unreadable("`model` and `messages` are required")
        return _chat(form, data, body)
    except Impossible as fault:
        raise Unreadable(str(fault)) from None


def _chat(form: str, data: dict[str, Any], body: bytes) -> Question:
    options = data.get("stream_options")
    cap = data.get("max_tokens") or data.get("max_completion_tokens") or DEFAULT_CAP
    said = [data["messages"], data.get("system", "")]
    return Question(
        form=form,
        model=data["model"],
        prompt=_tokens(said),
        cap=_whole(cap),
        stream=bool(data.get("stream")),
        usage=isinstance(options, dict) and bool(options.get("include_usage")),
        seed=zlib.crc32(body),
        fields=frozenset(data),
        wants=of_chat(data) if form == "openai_chat" else of_messages(data),
        choices=_choices(data.get("n")) if form == "openai_chat" else 1,
    )


def _generate_content(data: dict[str, Any], model: str, stream: bool, body: bytes) -> Question:
    if not isinstance(data.get("contents"), list):
        raise Unreadable("`contents` is required")
    config = data.get("generationConfig")
    cap = config.get("maxOutputTokens") if isinstance(config, dict) else None
    return Question(
        form="generate_content",
        model=model,
        prompt=_tokens([data["contents"], data.get("systemInstruction", "")]),
        cap=_whole(cap or DEFAULT_CAP),
        stream=stream,
        usage=True,
        seed=zlib.crc32(body),
        fields=frozenset(data),
        wants=of_contents(data),
    )


def _choices(wanted: Any) -> int:
    if wanted is None:
        return 1
    if not isinstance(wanted, int) or isinstance(wanted, bool) or not 1 <= wanted <= MOST_CHOICES:
        raise Unreadable(f"`n` must be a whole number from 1 to {MOST_CHOICES}")
    return wanted


def _whole(cap: Any) -> int:
    if not isinstance(cap, int) or cap < 1:
        raise Unreadable("the cap on output tokens must be a positive whole number")
    return cap


def _tokens(said: Any) -> int:
    """About a token for four characters of text, and a few for each message."""
    if isinstance(said, str):
        return -(-len(said) // 4)
    if isinstance(said, list):
        return sum(_tokens(part) for part in said)
    if isinstance(said, dict):
        return 3 + sum(_tokens(part) for name, part in said.items() if name not in ("role", "type"))
    return 0
