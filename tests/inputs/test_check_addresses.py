"""Where keys are checked and models are listed, by preset and by what a file puts in its place."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from llmfan.dialects import dialect
from llmfan.inputs.addresses import over_preset
from llmfan.inputs.check_addresses import key_check_address, models_address
from llmfan.inputs.config import dialect_name, preset, preset_names
from llmfan.settings import KeySettings, Preset, Provider

HERE = "http://127.0.0.1:9"


def provider(of: Preset, base_url: str = "", account_id: str = "") -> Provider:
    """As `load_fleet` makes it: an address over the preset's, with the account filled in where there is one."""
    url = over_preset(base_url, of.base_url) if base_url else of.base_url
    return Provider(
        name="p", preset=of, preset_name=of.name, api=of.api, account_id=account_id,
        base_url=url.replace("{account_id}", account_id or "{account_id}"),
        keys=[KeySettings(label="p#1", account="default")], models=[], limits={},
    )  # fmt: skip


def addresses(name: str, base_url: str = "", account_id: str = "") -> tuple[str | None, str | None]:
    found = provider(preset(name), base_url, account_id)
    return models_address(found), key_check_address(found)


@pytest.mark.parametrize(
    ("name", "account_id", "models", "check"),
    [
        ("openrouter", "", "https://openrouter.ai/api/v1/models", "https://openrouter.ai/api/v1/key"),
        ("deepseek", "", "https://api.deepseek.com/models", "https://api.deepseek.com/user/balance"),
        ("huggingface", "", "https://router.huggingface.co/v1/models", "https://huggingface.co/api/whoami-v2"),
        (
            "cloudflare", "abc",
            "https://api.cloudflare.com/client/v4/accounts/abc/ai/models/search?task=Text%20Generation&per_page=100",
            "https://api.cloudflare.com/client/v4/accounts/abc/tokens/verify",
        ),
        ("cohere", "", "https://api.cohere.com/v1/models?endpoint=chat&page_size=100", None),
        ("gemini", "", "https://generativelanguage.googleapis.com/v1beta/models?pageSize=1000", None),
        ("anthropic", "", "https://api.anthropic.com/v1/models?limit=1000", None),
        ("groq", "", "https://api.groq.com/openai/v1/models", None),
        ("codestral", "", None, None),
        ("github-models", "", None, None),
    ],
)  # fmt: skip
def test_a_presets_own_addresses_are_those_of_the_catalogue(
    name: str, account_id: str, models: str | None, check: str | None
) -> None:
    """Asked elsewhere, a good key would look invalid."""
    assert addresses(name, account_id=account_id) == (models, check)


@pytest.mark.parametrize(
    ("name", "base_url", "models", "check"),
    [
        # The preset's own path at another origin.
        ("openrouter", f"{HERE}/api/v1", f"{HERE}/api/v1/models", f"{HERE}/api/v1/key"),
        ("openrouter", HERE, f"{HERE}/api/v1/models", f"{HERE}/api/v1/key"),
        ("deepseek", HERE, f"{HERE}/models", f"{HERE}/user/balance"),
        ("huggingface", f"{HERE}/v1", f"{HERE}/v1/models", f"{HERE}/api/whoami-v2"),
        ("gemini", HERE, f"{HERE}/v1beta/models?pageSize=1000", None),
        # A path of one's own: what is under the base stays under it, what is not keeps its bare path.
        ("openrouter", f"{HERE}/x/v1", f"{HERE}/x/v1/models", f"{HERE}/x/v1/key"),
        ("cohere", f"{HERE}/x/v1", f"{HERE}/v1/models?endpoint=chat&page_size=100", None),
        ("huggingface", f"{HERE}/llm", f"{HERE}/llm/models", f"{HERE}/api/whoami-v2"),
        # The preset's path behind a prefix: the prefix stands for the host.
        ("openrouter", f"{HERE}/or/api/v1", f"{HERE}/or/api/v1/models", f"{HERE}/or/api/v1/key"),
        ("huggingface", f"{HERE}/hf/v1", f"{HERE}/hf/v1/models", f"{HERE}/hf/api/whoami-v2"),
        ("cohere", f"{HERE}/co/compatibility/v1", f"{HERE}/co/v1/models?endpoint=chat&page_size=100", None),
        ("deepseek", f"{HERE}/ds", f"{HERE}/ds/models", f"{HERE}/ds/user/balance"),
    ],
)
def test_an_overridden_base_takes_every_address_with_it(
    name: str, base_url: str, models: str, check: str | None
) -> None:
    """A key meant for a gateway, shown to the provider behind it, is a key in the wrong hands."""
    assert addresses(name, base_url) == (models, check)


@pytest.mark.parametrize("prefix", ["", "/cf"])
def test_an_account_in_the_address_is_filled_in_there_too(prefix: str) -> None:
    """Left open, it would be an address that does not exist, and every key invalid."""
    base = f"{HERE}{prefix}/client/v4/accounts/{{account_id}}/ai/v1"
    models, check = addresses("cloudflare", base, "abc")
    assert check == f"{HERE}{prefix}/client/v4/accounts/abc/tokens/verify"
    assert models is not None
    assert models.startswith(f"{HERE}{prefix}/client/v4/accounts/abc/ai/models/search?")


def test_without_the_account_there_is_no_address() -> None:
    """Better not asked than asked of an account called {account_id}."""
    assert addresses("cloudflare") == (None, None)
    assert addresses("cloudflare", f"{HERE}/gateway/v1") == (None, None)


def test_at_home_a_key_check_stays_where_it_is_though_the_path_be_another() -> None:
    """Many write a version into an address that needs none; the account's page is still where it was."""
    models, check = addresses("deepseek", "https://api.deepseek.com:443/v1")
    assert (models, check) == ("https://api.deepseek.com:443/v1/models", "https://api.deepseek.com/user/balance")


def test_a_server_without_a_preset_has_a_list_and_no_check() -> None:
    """Its list is the usual one; anything more would be a guess."""
    bare = provider(Preset(name="", checked=""), f"{HERE}/v1")
    assert (models_address(bare), key_check_address(bare)) == (f"{HERE}/v1/models", None)


ASKED = [n for n in preset_names() if not preset(n).retired]
PATHS = st.lists(st.sampled_from(["v1", "api", "openai", "x", "accounts", "abc", "ai", "client"]), max_size=5)


@given(st.sampled_from(ASKED), PATHS, st.booleans())
def test_no_other_host_is_ever_asked(name: str, path: list[str], whole: bool) -> None:
    """The contract's promise, and a user's: what is overridden goes to that origin alone."""
    of = preset(name)
    own = urlsplit(of.base_url).path if whole else ""
    base = "http://127.0.0.1:9" + "".join(f"/{part}" for part in path) + own.rstrip("/")
    for found in addresses(name, base, "abc"):
        assert found is None or urlsplit(found)[:2] == ("http", "127.0.0.1:9")
        assert found is None or "{" not in found


@given(st.sampled_from(ASKED), PATHS)
def test_a_list_under_the_base_stands_beside_the_calls(name: str, path: list[str]) -> None:
    """A list in another wire form than the calls would need other headers than those that are sent."""
    of = replace(preset(name), models_path="/models")
    found = provider(of, "http://127.0.0.1:9" + "".join(f"/{part}" for part in path), "abc")
    call, _ = dialect(dialect_name(of.api), of).address(found.base_url, "m")
    listed = models_address(found)
    assert listed is not None
    assert call.startswith(listed.removesuffix("/models") + "/")
