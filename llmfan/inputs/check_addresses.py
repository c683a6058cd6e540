"""Where a key is checked and models are listed: the catalogue's addresses, moved to wherever `base_url` points."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit, urlunsplit

from llmfan.inputs.location import ACCOUNT
from llmfan.settings import Provider

_PORTS = {"https": 443, "http": 80}


def models_address(provider: Provider) -> str | None:
    """The absolute address of the models list; None: there is none, or its account is not known.

    A path in the catalogue goes under the provider's own `base_url`, so that the list is in the wire form that is
    spoken there.
    """
    return _address(provider, provider.preset.models_path, own=False)


def key_check_address(provider: Provider) -> str | None:
    """The absolute address that tells of a key; None: there is none, or its account is not known.

    It is the provider's own affair: on the preset's own origin it stays where the catalogue has it, though the file
    name another path there (another version, another wire form).
    """
    return _address(provider, provider.preset.key_check, own=True)


def _address(provider: Provider, row: str, own: bool) -> str | None:
    """One of the preset's addresses; where `base_url` is another origin than the preset's, nobody else is asked.

    A path goes under the given base, whatever path that has: a gateway that serves the API at /x/v1 serves all of it
    there. A whole address of the catalogue is not under the base, so it keeps its path under the new origin. Where
    the given base is the preset's path behind a prefix (/mirror/api/v1 for /api/v1), the prefix stands for the
    preset's host, and the address keeps it as well: several providers behind one port then never answer for each
    other. A base with neither (/x/v1) has no prefix to speak of: the bare path it is.
    """
    if not row or not provider.base_url:
        return None
    preset_base = provider.preset.base_url.replace(ACCOUNT, provider.account_id or ACCOUNT)
    given, usual = urlsplit(provider.base_url), urlsplit(preset_base)
    moved = _origin(given) != _origin(usual)
    if row.startswith("/"):
        found = (preset_base if own and not moved else provider.base_url).rstrip("/") + row
    else:
        found = _moved(urlsplit(row), given, usual) if moved else row
    found = found.replace(ACCOUNT, provider.account_id or ACCOUNT)
    return None if ACCOUNT in found else found


def _moved(address: SplitResult, given: SplitResult, usual: SplitResult) -> str:
    here, there = given.path.rstrip("/"), usual.path.rstrip("/")
    prefix = here.removesuffix(there) if here.endswith(there) else ""
    return urlunsplit((given.scheme, given.netloc, prefix + address.path, address.query, ""))


def _origin(url: SplitResult) -> tuple[str, str, int | None]:
    return url.scheme, (url.hostname or "").rstrip("."), url.port or _PORTS.get(url.scheme)
