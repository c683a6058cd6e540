"""`keys:` → the keys of one provider: variables looked up, labelled and checked. A value is never quoted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from llmfan.inputs.declared import DeclaredKey, Limits
from llmfan.inputs.draft import Draft
from llmfan.inputs.environment import expand_keys
from llmfan.secret import Secret
from llmfan.settings import KeySettings, Preset


@dataclass(slots=True)
class Keys:
    """The keys of one provider in file order, unset ones too.

    `names`: what a user may call one (its label, or its number) → its label. `limits`: a label → that key's own.
    """

    found: list[KeySettings] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    limits: dict[str, Limits] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    literal_line: int = 0
    account_ids: set[str] = field(default_factory=set)

    def missing(self) -> list[str]:
        return list(dict.fromkeys(k.missing for k in self.found if k.missing))

    def usable(self) -> bool:
        return any(not k.missing for k in self.found)

    def secret(self) -> bool:
        return any(k.secret is not None for k in self.found)


def keys_of(draft: Draft, preset: Preset, url: str) -> Keys:
    """The keys that the file names, else those of the preset's variables, else none where none is needed."""
    ring = _Ring(draft, preset)
    declared = draft.given.get("keys")
    if draft.faulted("keys"):
        return ring.keys
    if isinstance(declared, list):
        return ring.read(declared)
    variable = _set_variable(draft, preset)
    if declared == "none" or (preset.keyless and (draft.around.simulate or not variable)):
        return ring.keyless()
    if preset.env:
        glob = f"${variable}*" if variable else f"${preset.env[0]}"
        return ring.read([DeclaredKey(draft.line, draft.given.path, glob)])
    if url and draft.place(url) != "loopback":
        draft.fault("keys", "no keys: name them ($NAME) under keys, or write keys: none")
    return ring.keyless()


def _set_variable(draft: Draft, preset: Preset) -> str:
    """The first of the preset's variables that has any key. The others are other names for the same key."""
    env = draft.around.env
    return next((v for v in preset.env if any(key for _, key in expand_keys(f"${v}*", env) or [])), "")


class _Ring:
    def __init__(self, draft: Draft, preset: Preset):
        self.keys = Keys()
        self._draft = draft
        self._preset = preset
        self._shared = draft.limits().rest.get("shared") or preset.shared
        self._number = 0

    def read(self, declared: Sequence[DeclaredKey]) -> Keys:
        for entry in declared:
            values = self._values(entry)
            if entry.label and len(values) > 1:
                self._fault(entry, "a label is for one key, and this glob finds several")
                continue
            for variable, value in values:
                self._number += 1
                self._add(entry, variable, value)
        return self.keys

    def keyless(self) -> Keys:
        self._number = 1
        self._append(DeclaredKey(0, "", ""), None, "")
        return self.keys

    def _values(self, entry: DeclaredKey) -> list[tuple[str, str | None]]:
        """(variable, value) pairs; a literal key has no variable."""
        text = entry.text.strip()
        env = self._draft.around.env
        found = expand_keys(text, env)
        if found is not None:
            return found
        if text in env or text in self._preset.env:
            self._fault(entry, f"a variable's name without its $: write ${text}")
            return []
        self.keys.literal_line = self.keys.literal_line or entry.line
        return [("", text)]

    def _add(self, entry: DeclaredKey, variable: str, value: str | None) -> None:
        if self._draft.around.simulate:
            self._append(entry, Secret(f"simulated-{self._draft.name}-{self._number}"), "")
            return
        if value is None:
            self._append(entry, None, variable)
            return
        problem = _problem(value)
        if problem and self._draft.live:
            self._fault(entry, f"{f'${variable}' if variable else 'the key'} {problem}")
            return
        if self._preset.account_in_key and ":" in value:
            account_id, _, value = value.partition(":")
            self.keys.account_ids.add(account_id)
        self._append(entry, Secret(value), "")

    def _append(self, entry: DeclaredKey, secret: Secret | None, missing: str) -> None:
        keys, numbered = self.keys, f"{self._draft.name}#{self._number}"
        label = entry.label or numbered
        keys.names[numbered] = keys.names[label] = label
        twin = next((k.label for k in keys.found if secret is not None and k.secret == secret), None)
        if twin:
            # Counted twice, one key would be sent twice what it may take.
            keys.notes.append(f"{label}: left out, it is the same key as {twin}")
            return
        shared = entry.limits.rest.get("shared") or self._shared
        keys.limits[label] = entry.limits
        keys.found.append(
            KeySettings(
                label=label,
                account=entry.account or ("default" if shared == "account" else label),
                secret=secret,
                missing=missing,
                axes=entry.limits.axes,
                unlimited=entry.limits.unlimited,
            )
        )

    def _fault(self, entry: DeclaredKey, message: str) -> None:
        self._draft.around.faults.add(entry.line, entry.path, message)


def _problem(value: str) -> str:
    """Why a value cannot be sent in a header. Such a key fails far from here, with a message that may quote it."""
    if any(c in "\r\n" for c in value):
        return "has a line break in it: a key is one word, paste it again"
    if any(c.isspace() for c in value):
        return "has a space in it: a key is one word, paste it again"
    if any(ord(c) < 32 or 127 <= ord(c) < 160 for c in value):
        return "has a control character in it: paste it again"
    if any(ord(c) > 255 for c in value):
        return "has a character in it that no HTTP header can carry: paste it again"
    return ""
