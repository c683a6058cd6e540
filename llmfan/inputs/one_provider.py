"""One provider of the file, merged with its preset, the defaults and the variables; or why there is none."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from llmfan.inputs.declared import Given, Limits
from llmfan.inputs.draft import Draft
from llmfan.inputs.header_rules import headers_of
from llmfan.inputs.key_list import Keys, keys_of
from llmfan.inputs.location import ACCOUNT, account_id_of, base_url_of, guard_network
from llmfan.inputs.merge import merge_limits, merge_params, without
from llmfan.inputs.preset_choice import choose_preset
from llmfan.inputs.yaml_tree import join
from llmfan.settings import KeySettings, LimitSet, ModelSettings, Preset, Provider


@dataclass(slots=True)
class Built:
    """A provider, or None with a note that says why it was left out. Its names are there either way."""

    name: str
    provider: Provider | None = None
    notes: list[str] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    keys: Keys = field(default_factory=Keys)


def build(draft: Draft) -> Built:
    """Looks at everything before giving up: all faults of a provider are wanted at once."""
    before = len(draft.around.faults.found)
    chosen = choose_preset(draft)
    if chosen is None:
        return Built(draft.name)
    named, preset = chosen
    models = _models(draft, preset)
    url = base_url_of(draft, preset)
    keys = keys_of(draft, preset, url)
    headers = headers_of(draft, preset)
    account_id = account_id_of(draft, preset, url, keys)
    ready = keys.usable() and account_id is not None
    if url and ready:
        url = url.replace(ACCOUNT, account_id or "")
        guard_network(draft, url, keys)
    near_by = bool(url) and ready and draft.place(url) in ("loopback", "private")
    limits = _limit_sets(draft, preset, models, keys, near_by)
    built = Built(draft.name, notes=draft.notes, models=list(models), keys=keys)
    if not ready and not draft.around.every:
        draft.notes.append(_why_left_out(draft, preset, keys, account_id))
    elif len(draft.around.faults.found) == before:
        draft.notes += _notes_on_keys(draft, preset, keys, account_id)
        built.provider = _assemble(draft, named, preset, models, keys, limits, url, headers, account_id)
    return built


def _notes_on_keys(draft: Draft, preset: Preset, keys: Keys, account_id: str | None) -> list[str]:
    """What a reader of the fleet would not see in it."""
    if not draft.around.every:
        return [f"{k.label}: left out, ${k.missing} is not set" for k in keys.found if k.missing] + keys.notes
    if account_id is None and keys.missing():
        return [*keys.notes, f"{draft.name}: ${_account_variable(draft, preset)} is not set either"]
    return keys.notes


def _models(draft: Draft, preset: Preset) -> dict[str, Given]:
    one, several = draft.given.get("model"), draft.given.get("models")
    if "model" in draft.given.lines and "models" in draft.given.lines:
        draft.fault("models", "model and models exclude each other: move all into models")
    elif one is None and several is None and not preset.retired and not draft.faulted("model", "models"):
        usual = f" (this preset's usual: {', '.join(preset.default_models)})" if preset.default_models else ""
        draft.fault("", f"no model: write model: NAME, or several under models{usual}")
    if isinstance(several, dict):
        return several
    return {} if one is None else {str(one): Given(draft.given.line_of("model"), join(draft.given.path, "model"))}


def _limit_sets(
    draft: Draft, preset: Preset, models: dict[str, Given], keys: Keys, near_by: bool
) -> dict[tuple[str, str], LimitSet]:
    found: dict[tuple[str, str], LimitSet] = {}
    for name, given in models.items():
        price = _price(draft, preset, name, given)
        own = given.get("limits", Limits())
        for key in keys.found:
            levels = [("provider", draft.limits()), ("key", keys.limits[key.label]), ("model", own)]
            merged = merge_limits(preset, name, levels, near_by)
            found[key.label, name] = merged if price else _without_money(draft, merged, dict(levels))
    return found


def _without_money(draft: Draft, merged: LimitSet, levels: dict[str, Limits]) -> LimitSet:
    """Without a price dollars cannot be counted: a fault where the file limits them, no matter where a preset does."""
    money = [axis for axis in merged.axes if axis.startswith("usd_")]
    for axis in money:
        limits = levels.get(merged.origin[axis])
        if limits is not None:
            message = "a limit in dollars needs a price: {input: …, output: …} in USD per million tokens"
            where = join(limits.path, axis)
            if not any(f.field == where for f in draft.around.faults.found):
                draft.around.faults.add(limits.lines[axis], where, message)
    return without(merged, money)


def _price(draft: Draft, preset: Preset, name: str, given: Given) -> Any:
    row = preset.models.get(name)
    return given.get("price") or draft.given.get("price") or (row.price if row else None)


def _why_left_out(draft: Draft, preset: Preset, keys: Keys, account_id: str | None) -> str:
    unset = [] if keys.usable() else keys.missing()
    if account_id is None:
        unset.append(_account_variable(draft, preset))
    names = " and ".join(f"${name}" for name in unset if name) or "its key"
    where = f" (get one at {preset.signup})" if preset.signup and not keys.usable() else ""
    return f"{draft.name}: left out, {names} {'is' if len(unset) < 2 else 'are'} not set{where}"


def _account_variable(draft: Draft, preset: Preset) -> str:
    return str(draft.given.get("account_id", "")).strip("${} ") or preset.account_id_env


def _without_account(keys: Keys, variable: str) -> list[KeySettings]:
    """The keys of an address that lacks its account: each is missing it, those that are set too."""
    return [k if k.missing else replace(k, missing=variable) for k in keys.found]


def _assemble(
    draft: Draft,
    named: str,
    preset: Preset,
    models: dict[str, Given],
    keys: Keys,
    limits: dict[tuple[str, str], LimitSet],
    url: str,
    headers: dict[str, str],
    account_id: str | None,
) -> Provider:
    """`account_id` is None where it is not set; the address then keeps the place it has for it."""
    given = draft.given
    params = merge_params(draft.around.defaults.get("params", {}), given.get("params", {}))
    setting: Any = draft.setting
    return Provider(
        name=draft.name,
        preset=preset,
        preset_name=named,
        api=preset.api,
        base_url=url,
        keys=keys.found if account_id is not None else _without_account(keys, _account_variable(draft, preset)),
        models=[_model(draft, preset, name, own, params) for name, own in models.items()],
        limits=limits,
        line=draft.line,
        priority=given.get("priority", 0),
        paid=given.get("paid", bool(named) and preset.status == "paid"),
        learn=given.get("learn", "down"),
        headers=headers,
        params=params,
        max_tokens=setting("max_tokens") or 512,
        capped=setting("max_tokens") is not None,
        temperature=setting("temperature"),
        timeout=setting("timeout") or 60.0,
        timed=setting("timeout") is not None,
        stream=setting("stream"),
        concurrency=setting("concurrency"),
        account_id=account_id or "",
    )


def _model(draft: Draft, preset: Preset, name: str, given: Given, params: dict[str, Any]) -> ModelSettings:
    """A model's params are the whole of what is sent: the provider's with the model's own over them."""
    row = preset.models.get(name)
    return ModelSettings(
        name=name,
        price=_price(draft, preset, name, given),
        neurons=row.neurons if row else None,
        max_tokens=given.get("max_tokens"),
        params=merge_params(params, given.get("params", {})),
    )
