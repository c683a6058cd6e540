"""The providers file → the fleet: read, check, merge, select. All that is wrong with the file is said at once."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping, Sequence
from typing import Any

from llmfan.errors import UserError
from llmfan.inputs.addresses import Resolve
from llmfan.inputs.catalogue_files import Catalogue, dialect_name, packaged_providers, preset, preset_names
from llmfan.inputs.declared import Given
from llmfan.inputs.draft import Around, Draft
from llmfan.inputs.one_provider import Built, build
from llmfan.inputs.schema import read_top
from llmfan.inputs.selection import Known, Selection, may_want
from llmfan.inputs.yaml_tree import Faults, parse
from llmfan.settings import Fleet

__all__ = ["dialect_name", "load_fleet", "packaged_providers", "preset", "preset_names"]

MAX_BYTES = 1_000_000
_PROVIDER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


def load_fleet(
    path: str,
    env: Mapping[str, str],
    *,
    simulate: bool = False,
    only: Sequence[str] = (),
    exclude: Sequence[str] = (),
    every: bool = False,
    resolve: Resolve = socket.getaddrinfo,
    catalogue: Catalogue | None = None,
) -> Fleet:
    """Every provider that can be used, with notes on the others. UserError (2) for a bad file, (4) if none is left.

    `every`: those that cannot be used as well, so that they can be named: unset keys (`KeySettings.missing`), retired
    presets (`Preset.retired`). Then it is never 4.
    """
    faults = Faults(path)
    top = _read(path, faults)
    named = _providers(top, faults)
    defaults = top.get("defaults") or Given(1, "")
    around = Around(catalogue or Catalogue(), env, faults, defaults, simulate, resolve, every)
    names = [name for name, _, _ in named]
    built = [
        build(Draft(name, line, given, around, may_want(name, names, only, exclude))) for name, line, given in named
    ]
    _check_labels(built, named, faults)
    faults.check()
    selection = Selection(only, exclude, {b.name: Known(b.models, b.keys.names) for b in built})
    wanted = [b for b in built if selection.wants(b.name)]
    chosen = [p for b in wanted if b.provider and (p := selection.apply(b.provider))]
    providers = [p for p in chosen if every or any(not key.missing for key in p.keys)]
    notes = _literal_note(path, wanted) + [note for b in wanted for note in b.notes]
    if not providers:
        raise _nothing_left(path, bool(chosen) or any(b.provider is None for b in wanted), notes)
    return Fleet(file=path, providers=providers, notes=notes)


def _read(path: str, faults: Faults) -> Given:
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
        text = data.decode("utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; `llmfan init` writes one to start from") from None
    except IsADirectoryError:
        raise UserError(f"{path}: a directory, not a providers file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise faults.fatal(line, "not UTF-8 text: save the file as UTF-8") from None
    if len(data) > MAX_BYTES:
        raise UserError(f"{path}: larger than {MAX_BYTES:,} bytes: this is no providers file")
    tree = parse(text, faults)
    if tree is None:
        raise UserError(f"{path}: empty; `llmfan init` in another folder writes one to start from")
    return read_top(tree, faults)


def _providers(top: Given, faults: Faults) -> list[tuple[str, int, Given]]:
    found: list[tuple[str, int, Any]] = top.get("providers", [])
    if not found and "providers" not in top.lines and not faults.found:
        faults.add(0, "", "no providers: name at least one under providers (`llmfan init` writes a file to start from)")
    elif not found and "providers" in top.values:
        faults.add(top.lines["providers"], "providers", "no provider in it: name at least one")
    for name, line, _ in found:
        if not _PROVIDER_NAME.fullmatch(name):
            faults.add(line, f"providers.{name}", "a provider's name has only letters, digits, . - and _")
    return [(name, line, given) for name, line, given in found if isinstance(given, Given)]


def _check_labels(built: Sequence[Built], named: Sequence[tuple[str, int, Given]], faults: Faults) -> None:
    """Results name a key by its label, so no two keys may have one."""
    owner: dict[str, str] = {}
    models = {f"{one.name}/{model}" for one in built for model in one.models}
    for one, (name, line, given) in zip(built, named, strict=True):
        for label in [k.label for k in one.keys.found]:
            if label in owner:
                message = f'the label "{label}" belongs to a key of {owner[label]} already'
                faults.add(given.line_of("keys") or line, f"providers.{name}.keys", message)
            owner.setdefault(label, name)
        _check_scopes(one, given, {b.name for b in built}, models, faults)


def _check_scopes(one: Built, given: Given, names: set[str], models: set[str], faults: Faults) -> None:
    """A label stands where the name of a provider or a model may: in --only, in a gate, in a report."""
    declared = given.get("keys")
    for entry in declared if isinstance(declared, list) else ():
        label = entry.label
        provider, _, number = label.rpartition("#")
        numbered = provider in names and number.isdecimal()
        if label in names:
            other = "a provider's name"
        elif label in models:
            other = "the name of a model of a provider"
        elif numbered and (provider != one.name or one.keys.names.get(label) != label):
            other = f"how a key of {provider} is named by its number"
        else:
            continue
        faults.add(entry.line, f"{entry.path}.label", f'"{label}" is {other}: choose another label')


def _literal_note(path: str, wanted: Sequence[Built]) -> list[str]:
    places = [f"{path}:{b.keys.literal_line} ({b.name})" for b in wanted if b.keys.literal_line]
    if not places:
        return []
    return [f"a key stands in the file itself: {', '.join(places)}; better in .env, with $NAME here"]


def _nothing_left(path: str, keyless: bool, notes: Sequence[str]) -> UserError:
    if not keyless:
        return UserError(f"{path}: --only and --exclude leave no provider with a model and a key")
    listed = "\n".join(f"  {note}" for note in notes)
    return UserError(f"{path}: no usable key; set one in the environment or in .env\n{listed}", exit_code=4)
