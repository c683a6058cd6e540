"""`--sticky`: prompts that begin alike go to one key, as long as that costs hardly any time.

Providers keep the beginning of recent prompts and charge less for it, or answer sooner, when it comes again; what they
keep belongs to an account, often to one machine behind it. Spread over many keys, each key pays for the same beginning
once. It is cheaper where the common beginning is long (a long system message, a document with many questions; most
caches begin at about a thousand tokens) and comes again within minutes. With short prompts, or with none in common,
it only costs the freedom to send a job where it is answered soonest.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from hashlib import blake2b
from typing import Any

from llmfan.scheduling.jobs import Feed, Job

#: `prefix` looks at so many characters: about a thousand tokens, where caches begin.
PREFIX_CHARS = 4096
#: A job waits so long for its own key before any other takes it. Seconds.
PATIENCE_S = 2.0
#: Marks that are remembered; the one not seen for longest is forgotten first.
MARKS = 10_000
#: Jobs that are looked at ahead, so that a key that leaves one alone finds another.
AHEAD = 256


def mark_of(job: Job, rule: str) -> int | None:
    """What a job has in common with others: its user, or how it begins. None: nothing that could be kept."""
    if rule == "user":
        user = _user(job)
        return None if user is None else _hash(f"user {user}")
    chars = PREFIX_CHARS if rule == "prefix" else int(rule)
    text = _beginning(job, chars)
    return _hash(text) if text else None


def _user(job: Job) -> str | None:
    for place in (job.prompt.params, job.prompt.metadata):
        if isinstance(place, dict) and isinstance(user := place.get("user"), str | int):
            return str(user)
    return None


def _beginning(job: Job, chars: int) -> str:
    """The first characters of what is sent, up to the end of the first message that is not the system's."""
    said: list[str] = []
    for message in job.prompt.messages:
        content: Any = message.get("content")
        parts = content if isinstance(content, list) else [{"text": content}]
        said += [part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str)]
        chars -= len(said[-1]) if said else 0
        if chars <= 0 or message.get("role") not in ("system", "developer"):
            break
    return "\n".join(said)


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest())
