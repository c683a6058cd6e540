"""The catalogue's files: one preset a file, read when it is named and not before."""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import msgspec

from llmfan.inputs.yaml_tree import Faults, parse, plain
from llmfan.settings import Preset


class Catalogue:
    """A folder of presets. The package's own by default; tests bring theirs."""

    def __init__(self, folder: Traversable | None = None):
        self._folder = folder if folder is not None else files("llmfan") / "inputs" / "catalogue"
        self._names: list[str] = []
        self._apis: dict[str, str] = {}

    def names(self) -> list[str]:
        """Every preset, retired ones too. Files whose name begins with `_` are not presets."""
        if not self._names:
            stems = (f.name.removesuffix(".yaml") for f in self._folder.iterdir() if f.name.endswith(".yaml"))
            self._names = sorted(s for s in stems if not s.startswith("_"))
        return self._names

    def preset(self, name: str) -> Preset:
        return msgspec.convert({"name": name, **self._load(f"{name}.yaml")}, Preset)

    def apis(self) -> dict[str, str]:
        """A wire form as users write it → the dialect that speaks it. The first is the default."""
        if not self._apis:
            self._apis = msgspec.convert(self._load("_apis.yaml"), dict[str, str])
        return self._apis

    def _load(self, file: str) -> Any:
        faults = Faults(f"catalogue/{file}")
        tree = parse((self._folder / file).read_text(encoding="utf-8"), faults)
        faults.check()
        return {} if tree is None else plain(tree)


def preset(name: str) -> Preset:
    return Catalogue().preset(name)


def preset_names() -> list[str]:
    return Catalogue().names()


def dialect_name(api: str) -> str:
    """The dialect (a file of `llmfan/dialects`) that speaks a wire form; "" names the default one."""
    apis = Catalogue().apis()
    return apis[api or next(iter(apis))]


def packaged_providers() -> str:
    """The path of the default fleet: inside the package when installed, at the top of the project when not."""
    inside = Path(str(files("llmfan") / "inputs" / "providers.yaml"))
    return str(inside if inside.is_file() else Path(__file__).parents[2] / "providers.yaml")
