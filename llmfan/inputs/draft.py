"""One provider of the file on its way into the fleet, and what surrounds it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from llmfan.inputs.addresses import Place, Resolve, place_of
from llmfan.inputs.catalogue_files import Catalogue
from llmfan.inputs.declared import Given, Limits
from llmfan.inputs.yaml_tree import Faults, join


@dataclass(frozen=True, slots=True)
class Around:
    """What all providers of a file have in common. `every`: what cannot be used is wanted too."""

    catalogue: Catalogue
    env: Mapping[str, str]
    faults: Faults
    defaults: Given
    simulate: bool
    resolve: Resolve
    every: bool = False


@dataclass(slots=True)
class Draft:
    """`live`: this provider was selected, so its keys have to be sound and its host to be found. `notes` grow."""

    name: str
    line: int
    given: Given
    around: Around
    live: bool
    notes: list[str] = field(default_factory=list)
    places: dict[str, Place] = field(default_factory=dict)

    def fault(self, key: str, message: str) -> None:
        """Notes a fault of one key, or (with no key, or one the file does not have) of the provider as a whole."""
        if key in self.given.lines:
            self.around.faults.add(self.given.lines[key], join(self.given.path, key), message)
        else:
            self.around.faults.add(self.line, self.given.path, message)

    def faulted(self, *keys: str) -> bool:
        """Whether one of these keys was written, and wrong: then its absence is not a second fault."""
        return any(key in self.given.lines and key not in self.given.values for key in keys)

    def setting(self, key: str) -> object:
        """The provider's own setting, else the default's; an own `null` takes the default away."""
        return (self.given if key in self.given.lines else self.around.defaults).get(key)

    def limits(self) -> Limits:
        found = self.given.get("limits")
        return found if isinstance(found, Limits) else Limits()

    def place(self, url: str) -> Place:
        """Where the address lies. Only plain http is worth a look-up, and only where something will be sent."""
        if url not in self.places:
            look_up = self.live and not self.around.simulate and url.startswith("http://")
            self.places[url] = place_of(url, self.around.resolve if look_up else None)
        return self.places[url]
