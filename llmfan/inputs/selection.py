"""`--only` and `--exclude`: which providers, models and keys of a fleet take part."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from llmfan.errors import UserError, near
from llmfan.settings import Provider


@dataclass(slots=True)
class Known:
    """The names of one provider of the file, whether it can be used or not. `keys`: a name a user may write → label."""

    models: list[str]
    keys: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pick:
    """What one option names: a provider, and perhaps one model or one key of it."""

    provider: str
    model: str | None = None
    key: str | None = None


class Selection:
    def __init__(self, only: Sequence[str], exclude: Sequence[str], known: Mapping[str, Known]):
        unknown: list[str] = []
        self._only = _picks("--only", only, known, unknown)
        self._exclude = _picks("--exclude", exclude, known, unknown)
        if unknown:
            raise UserError("\n".join(unknown))

    def wants(self, provider: str) -> bool:
        if Pick(provider) in self._exclude:
            return False
        return not self._only or any(p.provider == provider for p in self._only)

    def apply(self, provider: Provider) -> Provider | None:
        """The provider with the models and keys that were picked; None if nothing of it is left."""
        if not self.wants(provider.name):
            return None
        only = [p for p in self._only if p.provider == provider.name]
        whole = not only or Pick(provider.name) in only
        out = [p for p in self._exclude if p.provider == provider.name]
        chosen = [] if whole else only
        models = _chosen([m.name for m in provider.models], [p.model for p in chosen], [p.model for p in out])
        labels = _chosen([k.label for k in provider.keys], [p.key for p in chosen], [p.key for p in out])
        if (provider.models and not models) or not labels:  # a closed provider needs no model
            return None
        return replace(
            provider,
            models=[m for m in provider.models if m.name in models],
            keys=[k for k in provider.keys if k.label in labels],
            limits={at: limits for at, limits in provider.limits.items() if at[0] in labels and at[1] in models},
        )


def _chosen(names: list[str], only: Sequence[str | None], out: Sequence[str | None]) -> set[str]:
    """The names that are picked and not ruled out; where no pick names one of this sort, all are picked."""
    picked = {p for p in only if p is not None} or set(names)
    return {n for n in names if n in picked and n not in out}


def _picks(option: str, texts: Sequence[str], known: Mapping[str, Known], unknown: list[str]) -> list[Pick]:
    picks = []
    for text in texts:
        pick = _pick(text, known)
        if pick is None:
            unknown.append(f"{option} {text}: no such provider, model or key{near(text, _all_names(known))}")
        else:
            picks.append(pick)
    return picks


def _pick(text: str, known: Mapping[str, Known]) -> Pick | None:
    """`NAME`, `NAME/MODEL` (the provider up to the first `/`), `NAME#N`, or a label that the file gives."""
    if text in known:
        return Pick(text)
    for name, own in known.items():
        if text in own.keys:
            return Pick(name, key=own.keys[text])
    name, _, model = text.partition("/")
    return Pick(name, model=model) if name in known and model in known[name].models else None


def _all_names(known: Mapping[str, Known]) -> list[str]:
    names = list(known)
    for name, own in known.items():
        names += [f"{name}/{m}" for m in own.models]
        names += own.keys
    return names


def may_want(name: str, names: Sequence[str], only: Sequence[str], exclude: Sequence[str]) -> bool:
    """Whether a provider may be selected, judged before its models and labels are known; in doubt, yes."""
    heads = {re.split("[/#]", text)[0] for text in only}
    return name not in exclude and (not only or name in heads or not heads <= set(names))
