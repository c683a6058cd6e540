"""What `model` may be, and who it leads to."""

from __future__ import annotations

import pytest

from llmfan.records import Target
from llmfan.serving.faults import CallerFault
from llmfan.serving.model_names import Names


def target(provider: str, model: str, number: int = 1) -> Target:
    return Target(provider=provider, model=model, key=f"{provider}#{number}")


NAMES = Names(
    [
        target("one", "small"), target("one", "small", 2), target("one", "big"), target("two", "small"),
        target("two", "one/big"), target("three", "two"), target("auto", "x"),
    ]
)  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "only", "providers"),
    [
        ("", "", {"one", "two", "three", "auto"}),
        ("auto", "", {"one", "two", "three", "auto"}),
        ("one/small", "one/small", {"one"}),
        ("small", "*/small", {"one", "two"}),
        ("big", "*/big", {"one"}),
        ("one/big", "one/big", {"one"}),  # not two's model of that name
        ("two/one/big", "two/one/big", {"two"}),
        ("two", "*/two", {"three"}),  # a model's name before a provider's
        ("one", "one", {"one"}),
        ("one#2", "one#2", {"one"}),
        ("one#2/small", "one#2/small", {"one"}),
    ],
)
def test_a_name_leads_to_the_narrowest_thing_it_means(asked: str, only: str, providers: set[str]) -> None:
    """Another model than the one that was asked for answers, and nobody notices."""
    assert NAMES.resolve(asked) == only
    assert NAMES.providers(only) == providers


def test_every_name_that_is_listed_can_be_asked_for() -> None:
    """SDKs and chat programs fill their menus from this list."""
    listed = NAMES.listing(17)
    ids = [entry["id"] for entry in listed["data"]]
    assert listed["object"] == "list"
    assert ids[0] == "auto"
    assert len(ids) == len(set(ids))
    assert {"one/small", "small", "two/one/big", "one/big", "x"} <= set(ids)
    for entry in listed["data"]:
        assert NAMES.providers(NAMES.resolve(entry["id"]))
        assert NAMES.entry(entry["id"], 17) == entry
        assert (entry["object"], entry["created"]) == ("model", 17)
        assert entry["owned_by"]
    assert {e["id"]: e["owned_by"] for e in listed["data"]}["small"] == "one, two"


@pytest.mark.parametrize("look", [NAMES.resolve, lambda name: NAMES.entry(name, 17)])
def test_an_unknown_name_is_not_found_and_a_near_one_is_told(look) -> None:
    """The commonest fault of all is a model's name of another provider."""
    with pytest.raises(CallerFault) as caught:
        look("one/smal")
    fault = caught.value
    assert (fault.status, fault.code, fault.param) == (404, "model_not_found", "model")
    assert 'did you mean "one/small"' in fault.message


def test_a_name_without_end_is_told_short() -> None:
    """A search for names near to a megabyte takes minutes, and all callers wait."""
    with pytest.raises(CallerFault) as caught:
        NAMES.resolve("\x1b[31m" + "x" * 1_000_000)
    assert len(caught.value.message) < 300
    assert "\x1b" not in caught.value.message


def test_a_fleet_without_a_key_has_the_one_name() -> None:
    """The list is asked for before anything is set up."""
    assert [entry["id"] for entry in Names([]).listing(1)["data"]] == ["auto"]
    assert Names([]).resolve("auto") == ""
    assert not Names([]).providers("")


FLEET = Names(
    [target("groqqo", "llama-3.3-70b-versatile"), target("groqqo", "oss-20b"), target("cerebro", "llama-4-scout")]
    + [target("other", f"m{n}") for n in range(9)]
)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("groqq", '"groqqo/llama-3.3-70b-versatile" or "groqqo/oss-20b" or "groqqo"'),
        ("grokqo", '"groqqo"'),
        ("groqqo/llama", '"groqqo/llama-3.3-70b-versatile"'),
        ("GROQQO/OSS-20B", '"groqqo/oss-20b"'),
        ("scout", '"cerebro/llama-4-scout" or "llama-4-scout"'),
        ("oss-2b", '"oss-20b"'),
    ],
)
def test_what_was_meant_is_looked_for_among_providers_and_models(asked: str, told: str) -> None:
    """Whoever knows half of a name is told the other half."""
    with pytest.raises(CallerFault, match="did you mean") as caught:
        FLEET.resolve(asked)
    assert caught.value.message.partition("did you mean ")[2].startswith(f"{told}?)")


def test_where_nothing_is_near_some_names_are_told() -> None:
    """`gpt-4o` stands in every example, and the reader does not know yet what there is instead."""
    with pytest.raises(CallerFault) as caught:
        FLEET.resolve("xyzzy")
    assert '; there are "auto", "groqqo/llama-3.3-70b-versatile", "groqqo/oss-20b"' in caught.value.message
    assert caught.value.message.count('"') == 12 and " …; GET /v1/models" in caught.value.message
