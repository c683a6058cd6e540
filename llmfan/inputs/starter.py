"""What `llmfan init` writes: a providers file and an `.env.example`, made from presets and from the names of keys that
are set. Texts only: nothing is read or written here, and no key's value comes in."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence

from llmfan.inputs.offers import Offer, limits_in_words

_WIDTH = 116
#: What YAML takes for the text that it looks like.
_PLAIN = re.compile(r"[A-Za-z][\w./:-]*[\w]", re.ASCII)
_WORDS = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}

_HEAD = """\
Which providers llmfan may use, and by which keys. Written by `llmfan init`; edit it freely.

Keys stand in the environment or in a .env file (`.env.example` names them all), never here. One is enough to start:
a provider whose key is not set is left out with a note. `$NAME*` takes NAME, NAME_2, ..., as many as are set.

Next:
  llmfan probe                 which keys work, and what limits each one reports
  llmfan plan PROMPTS          how long a batch takes, and what holds it back; sends nothing
  llmfan run PROMPTS           answers it; with --simulate nothing leaves this machine and no key is needed

Providers count by account, not by key: keys of one account share its limits, and keys that name no account are
taken to be of one. Opening several accounts to multiply a free allowance is against the terms of many providers
(each one's line is below). Where several people bring keys, say whose is whose:
  keys: [{key: $NAME, account: ann}, {key: $NAME_2, account: bob}]

llmfan knows the limits below, and refusals slow a key down further; limits of your own overrule them one by one,
and null lifts one:
  limits: {rpm: 60, rpd: 1000, tpm: null}"""

_DEFAULTS = """\
version: 1

# What a request is sent with that says nothing itself. A batch has 512 tokens and 60 seconds if nothing stands here;
# callers of `llmfan serve` and of the Python API then have no cap, and ten minutes.
# Models that reason think first: with less than about 500 tokens they may answer nothing at all.
# defaults: {max_tokens: 512, timeout: 60}

providers:
"""

_LOCAL = """\
Servers of your own. They need no key; take the # away before one that runs, and name the model it serves."""

_ENV_HEAD = """\
Copy this to .env where llmfan is started and fill in what you have; one key is enough, an empty line counts as
unset. Keep .env out of git. More keys of one provider: NAME_2, NAME_3, ... Keys of one account share its limits."""


def providers_text(chosen: Sequence[Offer], examples: Iterable[Offer] = ()) -> str:
    """A providers file that loads as it stands. `examples` are there as comments."""
    blocks = [_comment(_HEAD), _DEFAULTS + "\n".join(_block(offer) for offer in chosen)]
    local = [_commented(_entry(offer, f"at {offer.preset.base_url}")) for offer in examples]
    if local:
        blocks[-1] += "\n" + textwrap.indent(_comment(_LOCAL) + "".join(local), "  ")
    return "".join(blocks)


def env_text(chosen: Iterable[Offer]) -> str:
    """Every variable of the chosen ones with the page its value is got at, and no value."""
    parts = [_comment(_ENV_HEAD)]
    for offer in chosen:
        where = f": {offer.preset.signup}" if offer.preset.signup else ""
        part = _comment(f"{offer.preset.name}{where}{_aside(offer)}")
        part += "".join(f"{name}=\n" for name in offer.variables)
        if offer.preset.account_id_env:
            part += _comment(f"The id of the account the key belongs to; the address of {offer.preset.name} needs it.")
            part += f"{offer.preset.account_id_env}=\n"
        parts.append(part)
    return "\n".join(parts)


def quoted(text: str) -> str:
    """A text as YAML has to have it, in quotes only where it must."""
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _block(offer: Offer) -> str:
    preset = offer.preset
    said = [f"{preset.name}{f'. Keys: {preset.signup}' if preset.signup else ''}", limits_in_words(offer)]
    if preset.terms:
        source = f" ({preset.terms_source})" if preset.terms_source else ""
        said.append(f"Terms, {preset.terms}{source}")
    others = [name for name in preset.default_models if name != offer.model]
    if others:
        said.append(f"Other models: {', '.join(others)}")
    return textwrap.indent(_comment("\n".join(said)) + _entry(offer), "  ")


def _entry(offer: Offer, aside: str = "") -> str:
    lines = [f"{offer.name}:{f'  # {aside}' if aside else ''}", f"  keys: {offer.reference}"]
    if offer.preset.account_id_env:
        lines.append(f"  account_id: ${offer.preset.account_id_env}")
    lines.append(f"  model: {quoted(offer.model)}")
    if offer.preset.status == "paid":
        lines.append("  paid: true  # used only for what no free key can serve")
    if offer.price is not None:
        lines.append(f"  price: {{input: {offer.price.input:g}, output: {offer.price.output:g}}}")
    elif offer.needs_price:
        lines.append("  # price: {input: ..., output: ...}   in USD per million tokens, so that cost is counted")
    if offer.priority:
        lines.append(f"  priority: {offer.priority}")
    return "\n".join(lines) + "\n"


def _aside(offer: Offer) -> str:
    return {"trial": " (a trial)", "paid": " (paid)"}.get(offer.preset.status, "")


def _comment(text: str) -> str:
    """Each line behind a #, broken where it is too long; an indented one keeps its shape."""
    found: list[str] = []
    for line in text.splitlines():
        found += textwrap.wrap(line, _WIDTH, break_long_words=False, break_on_hyphens=False) or [""]
        if line.startswith(" "):
            found[-1:] = [line]
    return "".join(f"# {line}".rstrip() + "\n" for line in found)


def _commented(text: str) -> str:
    return "".join(f"# {line}\n" for line in text.splitlines())
