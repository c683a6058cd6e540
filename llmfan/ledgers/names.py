"""Whom the ledger means: a key is known in it by a keyed hash, an account by the hash of the key that founded it.

So what was spent follows a key through renamed labels, reordered files and other working folders, two accounts that
both go by "default" in two projects stay apart, and the file is of no use to whoever looks for keys in it.
"""

from __future__ import annotations

import hmac
import ipaddress
import socket
from collections.abc import Iterable
from urllib.parse import urlsplit

from msgspec import Struct
from msgspec.structs import replace

from llmfan.settings import Fleet, KeySettings, Provider

_DIGITS = 20
#: Endings of host names that mean something in one network only.
_INSIDE = (".localhost", ".local", ".localdomain", ".internal", ".intranet", ".lan", ".home", ".corp", ".home.arpa")
#: Stored as it is: an owner or a label that this fleet's file does not explain.
_PLAIN = "~"


class Founder(Struct, frozen=True):
    """A key of an account, and the key whose hash stands for the account."""

    place: str
    account: str
    key: str
    founder: str
    at: float


class Names:
    """This fleet's owners and labels as they are stored, and back; several may be stored as one.

    `new_founders`: what is to be written down, so that the keys of an account find each other again; `merged`:
    (a founder, one that it stands for as well from now on). `doubled`: whether a key goes by two names here.
    """

    def __init__(self, fleet: Fleet, salt: bytes, founders: Iterable[Founder], now: float):
        self.salt = salt
        self.doubled = False
        self._stored: dict[str, str] = {}
        self._former: dict[str, list[str]] = {}
        self._spoken: dict[str, list[str]] = {}
        self._ids: dict[str, str] = {}
        self._labels: dict[str, list[str]] = {}
        self._places: dict[str, str] = {}
        self.keys: list[tuple[str, str, str]] = []  # (id, place, label), for a person who looks into the file
        accounts = _Accounts(founders, now)
        for provider in fleet.providers:
            self._add(provider, salt, accounts)
        self.new_founders, self.merged = accounts.new, accounts.merged

    def stored(self, owner: str) -> str:
        return self._stored.get(owner) or _PLAIN + owner

    def spoken(self, stored: str) -> list[str]:
        """Every owner of this fleet that is stored so; none for a stranger."""
        return self._spoken.get(stored) or ([stored[1:]] if stored.startswith(_PLAIN) else [])

    def forms(self, owner: str) -> list[str]:
        """As it is stored, and as it was before it turned out to be one account with others."""
        return [self.stored(owner), *self._former.get(owner, ())]

    def key_id(self, label: str) -> str:
        return self._ids.get(label) or _PLAIN + label

    def labels(self, key_id: str) -> list[str]:
        return self._labels.get(key_id) or ([key_id[1:]] if key_id.startswith(_PLAIN) else [])

    def place(self, target: str) -> str:
        """Where a target (`provider/model`) lies: two projects may call unlike servers by one name."""
        return self._places.get(target, "")

    def siblings(self, owner: str) -> list[str]:
        """Other owners of this fleet that are one with it: the same key under two names."""
        return [other for other in self._spoken.get(self._stored.get(owner, ""), ()) if other != owner]

    def _add(self, provider: Provider, salt: bytes, accounts: _Accounts) -> None:
        place = place_of(provider)
        ids = {key.label: key_id(salt, place, provider, key) for key in provider.keys}
        models = [m.name for m in provider.models]
        self._places.update({f"{provider.name}/{model}": place for model in models})
        for key in provider.keys:
            self._ids.setdefault(key.label, ids[key.label])
            _note(self._labels, ids[key.label], key.label)
            self.keys.append((ids[key.label], place, key.label))
            self._owner(key.label, [ids[key.label]], models)
        for account in dict.fromkeys(key.account for key in provider.keys):
            members = [key for key in provider.keys if key.account == account]
            usable = [ids[key.label] for key in members if not key.missing]
            founders = accounts.founders(place, account, usable) if usable else [ids[members[0].label]]
            self._owner(f"{provider.name}@{account}", [f"@{founder}" for founder in founders], models)

    def _owner(self, owner: str, stored: list[str], models: list[str]) -> None:
        """An owner in each form `limits.axes` makes of it. Labels and models may hold "/", so none is taken apart.

        `stored`: what stands for it, and what did so before and may still be written by others.
        """
        for tail in ("", *(f"/{model}" for model in models)):
            for form in (tail, f"{tail} burst"):
                if self._stored.setdefault(owner + form, stored[0] + form) != stored[0] + form:
                    continue
                for each in stored:
                    _note(self._spoken, each + form, owner + form)
                self.doubled = self.doubled or len(self._spoken[stored[0] + form]) > 1
                if stored[1:]:
                    self._former[owner + form] = [each + form for each in stored[1:]]


def place_of(provider: Provider) -> str:
    """A public host's name; for what lies on one's own machine or network, the provider's name in the file."""
    host = (urlsplit(provider.base_url).hostname or "").rstrip(".").lower()
    try:
        public = ipaddress.ip_address(host.partition("%")[0]).is_global
    except ValueError:
        public = "." in host and not host.endswith(_INSIDE) and not _numeric(host)
    return host if public else provider.name


def key_id(salt: bytes, place: str, provider: Provider, key: KeySettings) -> str:
    """A key that is not set goes by its label until it is; one without a secret by its server."""
    if key.secret is not None:
        told = f"{place}\0{key.secret.reveal()}"
    elif key.missing:
        told = f"{place}\0\0{key.label}"
    else:
        told = f"{place}\0\0\0{urlsplit(provider.base_url).netloc.lower()}"
    return hmac.digest(salt, told.encode("utf-8", "surrogateescape"), "sha256").hex()[:_DIGITS]


class _Accounts:
    """Which key stands for an account: the first that was ever seen of it, and stays so when it is gone."""

    def __init__(self, founders: Iterable[Founder], now: float):
        self._known = {(each.place, each.account, each.key): each for each in founders}
        self._now = now
        self._members: dict[str, dict[str, None]] = {}  # founder → keys it stands for
        for each in self._known.values():
            self._members.setdefault(each.founder, {})[each.key] = None
        self.new: list[Founder] = []
        self.merged: list[tuple[str, str]] = []

    def founders(self, place: str, account: str, keys: list[str]) -> list[str]:
        """Who stands for the account, and whoever may have stood for a part of it.

        Keys of one account may have had several founders, when two projects come together: the oldest is taken.
        """
        found = [self._known[place, account, key] for key in keys if (place, account, key) in self._known]
        found.sort(key=lambda each: (each.at, each.founder))
        founder = found[0].founder if found else keys[0]
        for younger in dict.fromkeys(each.founder for each in found):
            if younger != founder:
                self._merge(founder, younger)
        for key in keys:
            if (place, account, key) not in self._known:
                made = Founder(place, account, key, founder, self._now)
                self._known[place, account, key] = made
                self.new.append(made)
        return list({founder: None, **self._members.get(founder, {})})

    def _merge(self, older: str, younger: str) -> None:
        """In every account it founded: a key is of one account, whatever the files of two projects call it."""
        self.merged.append((older, younger))
        self._members.setdefault(older, {}).update(self._members.pop(younger, {}))
        for place, each in self._known.items():
            if each.founder == younger:
                self._known[place] = replace(each, founder=older)


def _note(lists: dict[str, list[str]], place: str, word: str) -> None:
    words = lists.setdefault(place, [])
    if word not in words:
        words.append(word)


def _numeric(host: str) -> bool:
    """127.1 and 0x7f.1 are loopback to every client, though not to `ipaddress`."""
    try:
        socket.inet_aton(host)
    except (OSError, UnicodeError):
        return False
    return True
