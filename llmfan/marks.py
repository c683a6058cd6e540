"""What identifies a job in a journal: its prompt, which repeat, and the provider, model or key it is tied to."""

from __future__ import annotations

import hashlib


def job_mark(id_: str, repeat: int, scope: str) -> bytes:
    return f"{id_}\x00{repeat}\x00{scope}".encode("utf-8", "surrogatepass")


def short_mark(id_: str, repeat: int, scope: str) -> str:
    """The same in 16 hex digits, for where an id has no room."""
    return hashlib.blake2b(job_mark(id_, repeat, scope), digest_size=8).hexdigest()
