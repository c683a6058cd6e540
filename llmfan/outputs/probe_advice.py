"""What to make of a probe: how many keys work, and the next step for each kind of those that do not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.text import Text

from llmfan.outputs import probe_words as words
from llmfan.outputs.clean import clean
from llmfan.outputs.lines import counted
from llmfan.outputs.probe_words import STYLES, UNKNOWN, Found, short_labels

#: State → what can be done about it, in the order in which it is said.
_STEPS = {
    "invalid": "refused as no valid key: replace it, or take it out of the file",
    "forbidden": "valid, but not allowed this model, or not from this place: see its rights, or try another model",
    "no_credit": "valid, but without credit: top the account up",
    "unreachable": "check base_url, the network and HTTPS_PROXY",
    "retired": "closed for good: take the provider out of the file",
    "unproven": "nothing that is free tells more: a completion does (without --free)",
}
_UNSET = "set the variables named above, in the environment or in .env"
_ONE_ACCOUNT = (
    "draw on one quota and count as one key from now on; if they do not, give each an account of its own in the file "
    "(account: NAME)"
)


def summary(findings: Sequence[Found]) -> Text:
    """`21 of 32 keys work; 3 are missing, 2 exhausted`. A key works if it does at each of its models."""
    states: dict[str, list[str]] = {}
    for found in findings:
        states.setdefault(found.key, []).append(found.state or "not asked")
    good = sum(1 for mine in states.values() if all(state == "ok" for state in mine))
    text = Text(f"{good:,} of {counted(len(states), 'key')} {'works' if 1 in (good, len(states)) else 'work'}", "bold")
    partly = sum(1 for mine in states.values() if "ok" in mine and set(mine) != {"ok"})
    worst = Counter(next(state for state in mine if state != "ok") for mine in states.values() if "ok" not in mine)
    parts = [(f"{partly:,} at some models only", "yellow")] if partly else []
    parts += [(f"{count:,} {word}", STYLES.get(word, UNKNOWN)) for word, count in worst.most_common()]
    for at, (part, style) in enumerate(parts):
        text.append(", " if at else "; ").append(part, style)
    return text


def advice(findings: Sequence[Found]) -> list[tuple[str, str]]:
    """(state, what can be done about it, and for which keys), a line for each thing."""
    keys: dict[str, list[str]] = {}
    for found in findings:
        mine = keys.setdefault(found.state, [])
        if found.key not in mine:
            mine.append(found.key)
    steps = [(state, f"{short_labels(keys[state], 8)}: {step}") for state, step in _STEPS.items() if state in keys]
    return [*_missing(findings), *steps, *_models(findings), *_accounts(findings)]


def _missing(findings: Sequence[Found]) -> list[tuple[str, str]]:
    """The table has the keys and their variables' names; here is where they are got."""
    pages = dict.fromkeys(words.aside(found)[1] for found in findings if found.state == "missing")
    lines = [clean(page, 400) for page in pages if page]
    return [("missing", line) for line in ([_UNSET] if pages else []) + lines]


def _models(findings: Sequence[Found]) -> list[tuple[str, str]]:
    """A line a model, whatever the number of keys that asked for it."""
    wanted: dict[tuple[str, str], tuple[str, ...]] = {}
    for found in findings:
        if found.state == "no_model":
            wanted.setdefault((found.provider, found.model), tuple(found.nearest))
    lines = []
    for (provider, model), nearest in wanted.items():
        near = ", ".join(clean(name, 80) for name in nearest[:5])
        step = f"near it are {near}" if near else "its list has nothing near it"
        lines.append(("no_model", f"{clean(provider, 60)} has no {clean(model, 80)}; {step}"))
    return lines


def _accounts(findings: Sequence[Found]) -> list[tuple[str, str]]:
    """A line for each set of keys that draw on one account."""
    groups: dict[tuple[str, ...], None] = {}
    order = {found.key: at for at, found in reversed(list(enumerate(findings)))}
    for found in findings:
        if found.shares_with:
            names = sorted({found.key, *found.shares_with}, key=lambda name: (order.get(name, len(order)), name))
            groups.setdefault(tuple(names))
    return [("one account", f"{short_labels(names, 8)} {_ONE_ACCOUNT}") for names in groups]
