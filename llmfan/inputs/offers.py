"""The presets as `llmfan init` offers them: what each gives, what it asks for, and which of its keys are set."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from llmfan.errors import UserError, near
from llmfan.inputs.environment import expand_keys
from llmfan.settings import AXES, Preset, Price, Provider, document_limits

#: Names that begin like a key's and hold something else: HF_TOKEN_PATH is where a key lies.
_NO_KEY = re.compile(r"_(PATH|FILE|DIR|URL|BASE|ID|NAME)$", re.ASCII)
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_ORDER = {"free": 0, "trial": 1, "paid": 2, "local": 3}
_THINGS = {"input_tokens": "input tokens", "output_tokens": "output tokens", "in_flight": "at once"}
_SPANS = {1.0: "second", 60.0: "minute", 3600.0: "hour", 86400.0: "day", 2592000.0: "month", 0.0: ""}
_SHORT = {"second": "s", "minute": "min"}


@dataclass(frozen=True, slots=True)
class Offer:
    """One preset. `found`: the variables that hold keys of it, by name; `reference`: what stands under `keys`."""

    name: str
    preset: Preset
    model: str
    reference: str
    found: tuple[str, ...] = ()
    priority: int = 0
    price: Price | None = None

    @property
    def variables(self) -> tuple[str, ...]:
        return self.found or tuple(self.preset.env[:1])

    @property
    def needs_price(self) -> bool:
        """Whether money is counted here, or would be."""
        limited = any(AXES[axis][0] == "usd" for axis in document_limits(self.preset, self.model))
        return self.preset.status == "paid" or limited

    @property
    def usual(self) -> bool:
        """Whether it is taken unasked: all that cost nothing, and all whose keys are there."""
        return self.preset.status in ("free", "trial") or bool(self.found and self.preset.status != "local")


def offers(presets: Iterable[tuple[str, Preset]], usual: Mapping[str, Provider], env: Mapping[str, str]) -> list[Offer]:
    """Every preset that is open; those whose keys are set come first. `usual`: the default fleet."""
    found = [_offer(name, preset, usual.get(name), env) for name, preset in presets if not preset.retired]
    return sorted(found, key=lambda o: (not (o.found and o.usual), _ORDER[o.preset.status], -o.priority, o.name))


def _offer(name: str, preset: Preset, usual: Provider | None, env: Mapping[str, str]) -> Offer:
    found, reference = _keys(preset, env)
    model = usual.models[0].name if usual else next(iter(preset.default_models), "my-model")
    row = preset.models.get(model)
    price = (usual.models[0].price if usual else None) or (row.price if row else None)
    return Offer(name, preset, model, reference, tuple(found), usual.priority if usual else 0, price)


def _keys(preset: Preset, env: Mapping[str, str]) -> tuple[list[str], str]:
    """The names of its keys that are set, and how a file refers to them.

    `$NAME*` where one key is set, so that a second one is taken without an edit; by name otherwise.
    """
    for variable in preset.env:
        there = [name for name, value in expand_keys(f"${variable}*", env) or [] if value is not None]
        found = [name for name in there if _NAME.fullmatch(name) and not _NO_KEY.search(name[len(variable) :])]
        if found:
            glob = there == found and len(found) == 1
            return found, f"${variable}*" if glob and preset.status != "local" else _listed(found)
    if preset.status == "local" or not preset.env:
        return [], "none"
    taken = [name for name, value in expand_keys(f"${preset.env[0]}*", env) or [] if value is not None]
    return [], f"${preset.env[0]}" + ("" if taken else "*")


def _listed(names: Sequence[str]) -> str:
    return f"${names[0]}" if len(names) == 1 else "[" + ", ".join(f"${name}" for name in names) + "]"


# ---------------------------------------------------------------- choosing


def named(names: Iterable[str], known: Sequence[Offer], retired: Mapping[str, str]) -> list[Offer]:
    """The offers of these names, in the order of `known`; all unknown names are said at once. UserError (2)."""
    there = [offer.name for offer in known]
    meant = {name.lower(): name for name in [*there, *retired]}
    wanted = list(dict.fromkeys(meant.get(name.lower(), name) for name in names))
    wrong = [_why_not(name, there, retired) for name in wanted if name not in there]
    if wrong:
        raise UserError("\n".join(wrong))
    return [offer for offer in known if offer.name in wanted]


def _why_not(name: str, there: Sequence[str], retired: Mapping[str, str]) -> str:
    if name in retired:
        return f"{name}: {' '.join(retired[name].split())}"
    return f"{name}: no such preset{near(name, there) or '; there are ' + ', '.join(sorted(there))}"


def picked(answer: str, known: Sequence[Offer]) -> list[Offer]:
    """What a person typed below the numbered list: numbers, ranges, names, `free`, `all`; nothing is the usual."""
    words = [word for word in re.split(r"[,\s]+", answer.strip().lower()) if word]
    if not words:
        return [offer for offer in known if offer.usual]
    chosen: list[str] = []
    for word in words:
        chosen += _meant(word, known)
    return named(chosen, known, {})


def _meant(word: str, known: Sequence[Offer]) -> list[str]:
    if word == "all":
        return [offer.name for offer in known]
    if word == "free":
        return [offer.name for offer in known if offer.preset.status in ("free", "trial")]
    numbers = re.fullmatch(r"(\d{1,3})(?:-(\d{1,3}))?", word, re.ASCII)
    if not numbers:
        return [word]
    first, last = int(numbers[1]), int(numbers[2] or numbers[1])
    if not 1 <= first <= last <= len(known):
        raise UserError(f"{word}: expected numbers from 1 to {len(known)}")
    return [offer.name for offer in known[first - 1 : last]]


# ---------------------------------------------------------------- limits in words


def limits_in_words(offer: Offer) -> str:
    """What is documented for its model, with the day it was looked up: the oldest day, where there are several."""
    rows = [row for row in offer.preset.limits if any(fnmatchcase(offer.model, glob) for glob in row.models)]
    words = [_in_words(axis, figure) for axis, figure in _by_span(document_limits(offer.preset, offer.model))]
    notes = dict.fromkeys(f" {row.note[0].upper()}{row.note[1:]}." for row in rows if row.note)
    checked = min((row.checked for row in rows), default=offer.preset.checked)
    listed = ", ".join(words) or "no limits are documented; they are learned as answers come"
    return f"{offer.preset.status.capitalize()}: {listed} (checked {checked}).{''.join(notes)}"


def limits_in_short(offer: Offer) -> str:
    """The same for a list on a screen: what may be asked, `30/min, 1,000/day`."""
    asked, spent = [], []
    for axis, figure in _by_span(document_limits(offer.preset, offer.model)):
        what, window = AXES[axis]
        span = _SHORT.get(_SPANS[window], _SPANS[window])
        if what == "requests":
            asked.append(f"{_figure(what, figure)}/{span}")
        elif what in ("neurons", "usd"):
            spent.append(f"{_figure(what, figure)}{' neurons' if what == 'neurons' else ''}/{span}")
    status = [] if offer.preset.status == "free" else [offer.preset.status]
    return ", ".join([*status, *(spent or asked)[:2]])


def _by_span(axes: Mapping[str, float]) -> list[tuple[str, float]]:
    return sorted(axes.items(), key=lambda pair: (AXES[pair[0]][0] != "requests", AXES[pair[0]][1]))


def _in_words(axis: str, figure: float) -> str:
    what, window = AXES[axis]
    span = _SPANS[window]
    article = "an" if span == "hour" else "a"
    thing = "" if what == "usd" else f" {_THINGS.get(what, what)}"
    if figure == 1:
        thing = thing.removesuffix("s")
    return f"{_figure(what, figure)}{thing}" + (f" {article} {span}" if span else "")


def _figure(what: str, figure: float) -> str:
    return f"{figure:.2f} USD" if what == "usd" else f"{figure:,.10g}"
