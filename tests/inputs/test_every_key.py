"""`load_fleet(every=True)`: what cannot be used is in the fleet, so that it can be named."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from llmfan.errors import UserError
from llmfan.inputs.catalogue_files import Catalogue
from llmfan.inputs.config import load_fleet
from llmfan.settings import Fleet

Load = Callable[..., Fleet]

CATALOGUE = {
    "_apis": "openai: openai_chat\n",
    "acme": """
name: Acme Inc.
checked: "2026-01-01"
status: free
base_url: https://api.acme.example/v1
env: [ACME_KEY]
signup: https://acme.example/keys
""",
    "accounted": """
checked: "2026-01-01"
base_url: https://api.cf.example/accounts/{account_id}/v1
env: [CF_TOKEN]
account_id_env: CF_ACCOUNT
""",
    "gone": 'checked: "2026-01-01"\nretired: It closed.\nenv: [GONE_KEY]\n',
}
WHOLE = """
providers:
  acme: {keys: [$ACME_KEY, $ACME_KEY_2], model: m}
  accounted: {model: m}
  gone: {}
"""


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    folder = tmp_path / "catalogue"
    folder.mkdir()
    for name, text in CATALOGUE.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    def run(text: str, env: dict[str, str] | None = None, **options: Any) -> Fleet:
        Path("p.yaml").write_text(text, encoding="utf-8")
        options = {"every": True, "resolve": nowhere, **options}
        return load_fleet("p.yaml", env or {}, catalogue=Catalogue(folder), **options)

    return run


def nowhere(host: str, port: int) -> Iterable[Any]:
    raise AssertionError(f"looked up {host}")


def missing(fleet: Fleet) -> dict[str, str]:
    return {key.label: key.missing for provider in fleet.providers for key in provider.keys}


def test_nothing_is_left_out_though_no_key_is_set(load: Load) -> None:
    """Who has set up nothing yet has to read what to set, key by key."""
    fleet = load(WHOLE)
    assert missing(fleet) == {
        "acme#1": "ACME_KEY", "acme#2": "ACME_KEY_2", "accounted#1": "CF_TOKEN", "gone#1": "GONE_KEY",
    }  # fmt: skip
    assert all(key.secret is None for provider in fleet.providers for key in provider.keys)


def test_an_unset_key_stands_beside_those_that_are_set(load: Load) -> None:
    """Nine good keys must not hide that the tenth was forgotten."""
    fleet = load(WHOLE, {"ACME_KEY_2": "k", "CF_TOKEN": "t", "CF_ACCOUNT": "abc", "GONE_KEY": "g"})
    assert missing(fleet) == {"acme#1": "ACME_KEY", "acme#2": "", "accounted#1": "", "gone#1": ""}
    assert fleet.providers[1].base_url == "https://api.cf.example/accounts/abc/v1"


def test_without_its_account_every_key_of_a_provider_misses_that(load: Load) -> None:
    """Told that its key is set and good for nothing, a user needs the name of what is not."""
    text = "providers:\n  accounted: {keys: [$CF_TOKEN, $CF_TOKEN_2, $CF_TOKEN_3], model: m}\n"
    fleet = load(text, {"CF_TOKEN": "t", "CF_TOKEN_2": "u"})
    assert missing(fleet) == {"accounted#1": "CF_ACCOUNT", "accounted#2": "CF_ACCOUNT", "accounted#3": "CF_TOKEN_3"}
    assert fleet.notes == ["accounted: $CF_ACCOUNT is not set either"]
    assert [key.secret is not None for key in fleet.providers[0].keys] == [True, True, False]
    assert fleet.providers[0].account_id == ""
    fleet = load("providers: {accounted: {keys: $CF_TOKEN, account_id: $OTHER, model: m}}", {"CF_TOKEN": "t"})
    assert missing(fleet) == {"accounted#1": "OTHER"}


def test_a_closed_provider_is_there_without_model_or_address(load: Load) -> None:
    """A file that was right last year should be told of, not refused."""
    (gone,) = load("providers: {gone: {}}").providers
    assert (gone.preset.retired, gone.base_url, gone.models) == ("It closed.", "", [])
    (mine,) = load("providers: {mine: {preset: gone, base_url: 'https://x.example/v1', model: m}}").providers
    assert (mine.preset.retired, mine.base_url, [m.name for m in mine.models]) == (
        "It closed.", "https://x.example/v1", ["m"],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("providers: {acme: {}}", "no model"),
        ("providers: {gone: {models: 3}}", "expected"),
        ("providers: {gone: {limits: {rpm: -1}}}", "expected a positive number"),
        ("providers: {nobody: {model: m}}", "is no preset"),
        ("providers: {acme: {model: m, base_url: $UNSET}}", "$UNSET is not set"),
        ("providers: {acme: {model: m, keys: $A, headers: {X: $UNSET}}}", "$UNSET is not set"),
    ],
)
def test_a_fault_of_the_file_is_one_still(load: Load, text: str, fault: str) -> None:
    """To look at keys through a file that says something else than was meant helps nobody."""
    with pytest.raises(UserError) as caught:
        load(text)
    assert caught.value.exit_code == 2
    assert fault in str(caught.value)


def test_notes_do_not_say_of_a_key_in_the_fleet_that_it_was_left_out(load: Load) -> None:
    """Two answers to one question, and one of them wrong."""
    assert load(WHOLE, {"ACME_KEY": "k"}).notes == ["accounted: $CF_ACCOUNT is not set either"]


def test_one_key_under_two_names_is_one_key(load: Load) -> None:
    """Asked twice, it would seem to share its quota with somebody else."""
    fleet = load("providers: {acme: {keys: [$ACME_KEY, $B, $C], model: m}}", {"ACME_KEY": "k", "B": "k"})
    assert missing(fleet) == {"acme#1": "", "acme#3": "C"}
    assert fleet.notes == ["acme#2: left out, it is the same key as acme#1"]


def test_only_and_exclude_work_on_what_cannot_be_used_too(load: Load) -> None:
    """`probe --only NAME` is asked most often of what does not work."""
    assert missing(load(WHOLE, only=["gone"])) == {"gone#1": "GONE_KEY"}
    assert missing(load(WHOLE, only=["acme#2", "gone#1"])) == {"acme#2": "ACME_KEY_2", "gone#1": "GONE_KEY"}
    assert missing(load(WHOLE, exclude=["acme", "accounted"])) == {"gone#1": "GONE_KEY"}
    with pytest.raises(UserError) as caught:
        load(WHOLE, exclude=["acme", "accounted", "gone"])
    assert caught.value.exit_code == 2


def test_without_every_nothing_of_it_is_there(load: Load) -> None:
    """A run must never meet a key that is not set."""
    with pytest.raises(UserError, match="It closed"):
        load(WHOLE, {"ACME_KEY": "k"}, every=False)
    fleet = load(WHOLE.replace("  gone: {}\n", ""), {"ACME_KEY": "k"}, every=False)
    assert [(p.name, [k.label for k in p.keys if not k.missing]) for p in fleet.providers] == [("acme", ["acme#1"])]
    with pytest.raises(UserError) as caught:
        load("providers: {acme: {model: m}}", every=False)
    assert caught.value.exit_code == 4
