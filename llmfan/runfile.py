"""`run.json`: what was run, with which fleet and prompt set; and whether a resumed run is still the same."""

from __future__ import annotations

import datetime as dt
import hashlib
import platform
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from llmfan import __version__
from llmfan.errors import UserError
from llmfan.options import RunOptions
from llmfan.secret import Redactor
from llmfan.settings import Fleet, to_builtins

if TYPE_CHECKING:
    from llmfan.inputs.prompts import PromptSet

SCHEMA = 1
SHOWN = 80


def new_header(fleet: Fleet, prompts: PromptSet, options: RunOptions, args: list[str]) -> dict[str, Any]:
    """The document at a run's start, keys not yet cut out; `sessions`: when it was started and resumed."""
    now = stamp(dt.datetime.now(dt.UTC))
    return {
        "schema": SCHEMA,
        "args": args,
        "shaping": options.shaping(),
        "fleet": _fleet_document(fleet),
        "versions": {"llmfan": __version__, "python": platform.python_version()},
        "prompts": {"path": prompts.path, "size": prompts.size, "sha256": prompts.sha256},
        "simulated": options.simulate,
        "started_at": now,
        "ended_at": None,
        "sessions": [now],
    }


def redactor(fleet: Fleet) -> Redactor:
    """Cuts out keys, and header values of the user's own: those may be secrets too."""
    own = [v for p in fleet.providers for n, v in p.headers.items() if p.preset.headers.get(n) != v]
    words = [word for value in own for word in value.split() if len(word) >= 8]  # `Token KEY` may come back as KEY
    return Redactor([*(s.reveal() for s in fleet.secrets()), *own, *words])


def check_same(before: Mapping[str, Any], now: Mapping[str, Any], path: str) -> None:
    """Refuses to mix answers of different making in one folder, and says what differs."""
    differs = []
    now = msgspec.json.decode(msgspec.json.encode(now))
    for name, value in now["shaping"].items():
        old = before.get("shaping", {}).get(name)
        if old != value:
            differs.append(f"{name} was {_pair(old, value)}")
    old_fleet = {p["name"]: p for p in before.get("fleet", {}).get("providers", [])}
    for provider in now["fleet"]["providers"]:
        old = old_fleet.get(provider["name"], provider)
        for field in ("base_url", "models", "params", "max_tokens", "temperature"):
            if old[field] != provider[field]:
                differs.append(f"{provider['name']}.{field} was {_pair(old[field], provider[field])}")
    past_set = before.get("prompts", {})
    if past_set.get("sha256") != now["prompts"]["sha256"] and not _grew(path, past_set):
        differs.append("the prompt set has other content than before")
    if differs:
        raise UserError("cannot resume: " + "; ".join(differs) + " (start a new run with another --out)")


def _grew(path: str, past_set: Mapping[str, Any]) -> bool:
    """Whether the file begins with exactly what it held before: lines were added at its end."""
    digest = hashlib.sha256()
    left = int(past_set.get("size") or 0)
    try:
        with open(path, "rb") as file:
            while left and (piece := file.read(min(left, 1 << 20))):
                digest.update(piece)
                left -= len(piece)
    except OSError:
        return False
    return left == 0 and digest.hexdigest() == past_set.get("sha256")


def _pair(old: object, new: object) -> str:
    """`OLD, is NEW`, long ones from where they begin to differ."""
    a, b = (msgspec.json.encode(v).decode() for v in (old, new))
    if max(len(a), len(b)) > SHOWN:
        same = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
        start = max(0, same - 20)
        a, b = (("…" if start else "") + text[start : start + SHOWN] for text in (a, b))
    return f"{a}, is {b}"


def _fleet_document(fleet: Fleet) -> dict[str, Any]:
    providers = []
    for p in fleet.providers:
        providers.append(
            {
                "name": p.name,
                "preset": p.preset_name,
                "base_url": p.base_url,
                "models": [to_builtins(m) for m in p.models],
                "keys": [{"label": k.label, "account": k.account} for k in p.keys],
                "limits": {f"{key} {model}": limits.axes for (key, model), limits in p.limits.items()},
                "priority": p.priority,
                "paid": p.paid,
                "params": p.params,
                "max_tokens": p.max_tokens,
                "temperature": p.temperature,
                "timeout": p.timeout,
            }
        )
    return {"file": fleet.file, "providers": providers, "notes": fleet.notes}


def stamp(moment: dt.datetime) -> str:
    """UTC, ISO 8601, with milliseconds."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
