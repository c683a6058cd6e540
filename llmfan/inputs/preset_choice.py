"""Which preset a provider stands on, and which wire form it speaks."""

from __future__ import annotations

from msgspec.structs import replace

from llmfan.errors import near
from llmfan.inputs.draft import Draft
from llmfan.settings import Preset

#: What belongs to a wire form rather than to a provider; taken from the form's own preset where a file changes `api`.
_WIRE = ("auth_header", "auth_scheme", "headers", "error_shape", "fields", "usage_at")


def choose_preset(draft: Draft) -> tuple[str, Preset] | None:
    """(preset's name, preset with its `api` filled in); the name is "" for a bare one around a `base_url`."""
    catalogue = draft.around.catalogue
    if draft.faulted("preset"):
        return None
    named = str(draft.given.get("preset", draft.name if draft.name in catalogue.names() else ""))
    if named and named not in catalogue.names():
        draft.fault("preset", f'no preset "{named}"{_suggest(named, draft)}')
        return None
    preset = catalogue.preset(named) if named else _bare(draft)
    if preset is None:
        return None
    if preset.retired and not draft.around.every:
        draft.fault("preset", " ".join(preset.retired.split()))
        return None
    return _speaking(draft, named, preset)


def _bare(draft: Draft) -> Preset | None:
    if "base_url" in draft.given.lines:
        return Preset(name=draft.name, checked="", shared="key")
    draft.fault("", f'no base_url, and "{draft.name}" is no preset{_suggest(draft.name, draft)}')
    return None


def _speaking(draft: Draft, named: str, preset: Preset) -> tuple[str, Preset] | None:
    """The preset with its wire form named. A file that changes it changes how keys, fields and errors are shown."""
    apis = list(draft.around.catalogue.apis())
    own = preset.api or apis[0]
    api = str(draft.given.get("api", own))
    if draft.faulted("api"):
        return None
    if api not in apis:
        draft.fault("api", f'expected one of {", ".join(apis)}, got "{api}"{near(api, apis)}')
        return None
    if api == own:
        return named, replace(preset, api=own)
    known = draft.around.catalogue
    like = known.preset(api) if api in known.names() else Preset(name="", checked="")
    return named, replace(preset, api=api, **{name: getattr(like, name) for name in _WIRE})


def _suggest(name: str, draft: Draft) -> str:
    names = draft.around.catalogue.names()
    return near(name, names) or f"; there are {', '.join(names)}"
