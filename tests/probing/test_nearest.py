"""Models lists in every form, and the names nearest to one that is not in them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmfan.probing.nearest import Listing, listing_in, nearest


def listed(value: Any) -> Listing | None:
    return listing_in(json.dumps(value).encode())


@pytest.mark.parametrize(
    "value",
    [
        {"object": "list", "data": [{"id": "a/x"}, {"id": "y"}]},
        {"data": [{"id": "a/x", "name": "The X"}, {"id": "y", "name": "The Y"}]},
        [{"id": "a/x"}, {"id": "y"}],
        ["a/x", "y"],
        {"models": [{"name": "models/a/x"}, {"name": "models/y"}]},
        {"models": [{"name": "a/x"}, {"name": "y"}]},
        {"success": True, "result": [{"id": "7f1c-uuid", "name": "a/x"}, {"id": "8", "name": "y"}]},
    ],
)
def test_each_form_of_a_list_is_read(value: Any) -> None:
    """A list that cannot be read proves no key and names nothing."""
    found = listed(value)
    assert found is not None and found.whole
    assert found.has("a/x") and found.has("y") and not found.has("z")


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b"3", b'{"data": 3}', b'{"error": {"message": "no"}}'])
def test_what_is_no_list_is_none(body: bytes) -> None:
    """A page that anybody gets must not prove a key."""
    assert listing_in(body) is None


@pytest.mark.parametrize(
    "more",
    [{"nextPageToken": "x"}, {"has_more": True}, {"result_info": {"total_count": 300}}, {"next_page_token": "x"}],
)
def test_a_first_page_is_no_whole_list(more: dict[str, Any]) -> None:
    """A model on the second page would be called missing."""
    found = listed({"models": [{"name": "a"}], **more})
    assert found is not None and not found.whole


def test_a_partner_after_a_colon_need_not_be_listed() -> None:
    """Routers list `org/model` and take `org/model:partner`."""
    assert Listing(("org/model",)).has("org/model:partner")
    assert not Listing(("org/model:free",)).has("org/model")


@pytest.mark.parametrize(
    ("model", "names", "first"),
    [
        ("gpt-oss-20b", ["openai/gpt-oss-120b", "openai/gpt-oss-20b", "llama"], "openai/gpt-oss-20b"),
        ("gemini-3-flsh", ["models/gemini-3-flash", "models/gemma"], "gemini-3-flash"),
        ("command-a-03-2052", ["command-r", "command-a-03-2025"], "command-a-03-2025"),
        ("meta/llama-3.3-70b", ["qwen-2", "llama-3.3-70b-versatile", "llama-3.1-8b"], "llama-3.3-70b-versatile"),
        ("GPT-4O", ["gpt-4o", "o3"], "gpt-4o"),
    ],
)
def test_the_name_that_was_meant_comes_first(model: str, names: list[str], first: str) -> None:
    """`no_model` alone sends one to the provider's pages."""
    assert nearest(model, names)[0] == first


def test_nothing_near_is_nothing() -> None:
    """Three wild guesses are worse than none."""
    assert nearest("zzz", ["gpt-4o", "llama"]) == []


@given(st.text(max_size=30), st.lists(st.text(max_size=30), max_size=20))
def test_at_most_three_names_of_the_list_and_never_the_name_itself(model: str, names: list[str]) -> None:
    """Names come from a server; whatever they are, the cell holds three."""
    found = nearest(model, names)
    assert len(found) <= 3 and len(set(found)) == len(found)
    assert set(found) <= {name.removeprefix("models/") for name in names}
    assert model.removeprefix("models/") not in found


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(st.sampled_from(["data", "models", "result", "id", "name", "result_info"]), inner)
        ),
        max_leaves=10,
    )
)
def test_any_document_can_be_looked_at(value: Any) -> None:
    """A strange answer must not end the probe of thirty other keys."""
    found = listed(value)
    assert found is None or all(isinstance(name, str) and name for name in found.names)
