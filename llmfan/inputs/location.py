"""Where a provider's requests go: its address, the account in it, and whether the way there is fit for a key."""

from __future__ import annotations

import re

from llmfan.inputs.addresses import check_base_url, over_preset
from llmfan.inputs.draft import Draft
from llmfan.inputs.environment import fill
from llmfan.inputs.key_list import Keys
from llmfan.settings import Preset

ACCOUNT = "{account_id}"
_ACCOUNT_ID = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
#: Where a simulated provider's address would have to come from a variable that is not set.
_NOWHERE = "http://127.0.0.1:9/v1"


def base_url_of(draft: Draft, preset: Preset) -> str:
    """The address, with the account's place still open; "" if its fault has been noted."""
    text = draft.given.get("base_url")
    if text is None:
        if not preset.base_url and not preset.retired and not draft.faulted("base_url"):
            draft.fault("base_url", "expected an address that begins with https:// or http://, got nothing")
        return "" if draft.faulted("base_url") else preset.base_url
    filled, missing = fill(str(text).strip(), draft.around.env)
    if missing and draft.around.simulate:
        return preset.base_url or _NOWHERE
    if missing:
        draft.fault("base_url", f"${missing[0]} is not set: set it in the environment or in .env")
        return ""
    try:
        return over_preset(check_base_url(filled), preset.base_url)
    except ValueError as error:
        draft.fault("base_url", str(error))
        return ""


def account_id_of(draft: Draft, preset: Preset, url: str, keys: Keys) -> str | None:
    """What stands for the account in the address: from the file, the preset's variable or the keys; None: unset."""
    text = str(draft.given.get("account_id", f"${preset.account_id_env}" if preset.account_id_env else "")).strip()
    if draft.around.simulate and (text or ACCOUNT in url):
        return "simulated"
    filled, missing = fill(text, draft.around.env)
    ids = keys.account_ids | ({filled} if filled and not missing else set())
    if any(not _ACCOUNT_ID.fullmatch(i) for i in ids):
        draft.fault("account_id", "an account_id has only letters, digits, - and _")
    elif len(ids) > 1:
        draft.fault("account_id", "keys of several accounts, and the address names one: make them several providers")
    if ids or ACCOUNT not in url:
        return min(ids, default="")
    if not text and not draft.faulted("account_id"):
        draft.fault("", "no account_id, and the address needs one")
    return None


def guard_network(draft: Draft, url: str, keys: Keys) -> None:
    """Refuses what would show a key, or a machine's own credentials, to the wrong ones."""
    if draft.around.simulate:
        return
    plain, secret, place = url.startswith("http://"), keys.secret(), draft.place(url)
    if place == "refused":
        draft.fault("base_url", "a link-local or multicast address: nothing is sent there")
    elif plain and secret and place == "public":
        draft.fault("base_url", "keys over plain http go to loopback and private addresses only: use https")
    elif plain and secret and place == "unknown" and draft.live:
        draft.fault("base_url", "keys over plain http go to private addresses only, and this host's cannot be found")
    elif plain and place in ("public", "unknown") and draft.live:
        draft.notes.append(f"{draft.name}: plain http to a public address, prompts can be read on the way")
