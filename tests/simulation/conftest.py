"""Settings by hand for the tests of the simulated fleet, handed to each as the fixture `hand`."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from llmfan.secret import Secret
from llmfan.settings import (
    KeySettings,
    Limiter,
    LimiterKind,
    LimitSet,
    ModelSettings,
    Preset,
    Provider,
)


def preset(kind: LimiterKind = "sliding", precharge: bool = False, **more: Any) -> Preset:
    return Preset(name="alpha", checked="2026-11-20", limiter=Limiter(kind=kind, precharge=precharge), **more)


def provider(
    name: str = "alpha",
    axes: dict[str, float] | None = None,
    of: Preset | None = None,
    keys: int = 1,
    models: tuple[str, ...] = ("model-a",),
    **limits: Any,
) -> Provider:
    """`limits` go to every LimitSet; key N is `alpha#N` with the secret `secret-N`, all of the account `acme`."""
    figures = axes or {}
    limits.setdefault("origin", dict.fromkeys(figures, "provider"))
    row = LimitSet(axes=figures, **limits)
    made = [KeySettings(label=f"{name}#{n}", account="acme", secret=Secret(f"secret-{n}")) for n in range(1, keys + 1)]
    return Provider(
        name=name,
        preset=of or preset(),
        preset_name=name,
        api="chat",
        base_url="http://127.0.0.1",
        keys=made,
        models=[ModelSettings(name=m) for m in models],
        limits={(k.label, m): row for k in made for m in models},
    )


def key(n: int = 1, header: str = "Authorization") -> dict[str, str]:
    return {header: f"Bearer secret-{n}"}


def chat(text: str = "Why?", model: str = "model-a", stream: bool = False, cap: int = 50, **more: Any) -> bytes:
    messages = [{"role": "user", "content": text}]
    return msgspec.json.encode({"model": model, "messages": messages, "stream": stream, "max_tokens": cap, **more})


def events(data: bytes) -> list[tuple[str, str]]:
    """(event name, data) of a stream, comments left out."""
    found = []
    for block in data.decode().split("\n\n"):
        lines = [line for line in block.split("\n") if line and not line.startswith(":")]
        if lines:
            fields = dict(line.split(": ", 1) for line in lines)
            found.append((fields.get("event", ""), fields["data"]))
    return found


@pytest.fixture
def hand() -> SimpleNamespace:
    return SimpleNamespace(preset=preset, provider=provider, key=key, chat=chat, events=events)
