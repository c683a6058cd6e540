from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from llmfan.errors import UserError
from llmfan.inputs.catalogue_files import Catalogue
from llmfan.inputs.config import dialect_name, load_fleet, packaged_providers, preset, preset_names
from llmfan.inputs.environment import expand_keys
from llmfan.inputs.schema import DEFAULTS, KEY, LIMITS, MODEL, PRICE, PROVIDER, TOP
from llmfan.settings import AXES, Fleet, LimitSet, Price, Provider

CONFIGS = Path(__file__).parents[1] / "configs"
Load = Callable[..., Fleet]


def no_network(host: str, port: int) -> Iterable[Any]:
    raise AssertionError(f"looked up {host}")


CATALOGUE = {
    "_apis": "openai: openai_chat\nanthropic: messages\n",
    "acme": """
name: Acme Inc.
checked: "2026-01-01"
status: free
base_url: https://api.acme.example/openai/v1
env: [ACME_API_KEY, ACME_TOKEN]
signup: https://acme.example/keys
headers: {X-Acme: "1", X-Old: "1"}
shared: account
per_model: true
limits:
  - {source: s, checked: "2026-01-01", axes: {rpm: 30, tpm: 6000}}
  - {source: s, checked: "2026-01-01", models: ["big*"], axes: {rpm: 5}}
limiter: {reset: America/Los_Angeles}
models:
  big-1: {price: {input: 1, output: 2}, neurons: {input: 3, output: 4}}
default_models: [big-1]
""",
    "accounted": """
checked: "2026-01-01"
base_url: https://api.cf.example/accounts/{account_id}/v1
env: [CF_TOKEN]
account_id_env: CF_ACCOUNT
account_in_key: true
""",
    "anthropic": """
checked: "2026-01-01"
api: anthropic
base_url: https://api.a.example/v1
auth_header: x-api-key
auth_scheme: ""
headers: {a-version: "2023"}
env: [A_KEY]
error_shape: typed
""",
    "homely": 'checked: "2026-01-01"\nstatus: local\nkeyless: true\nbase_url: http://localhost:1/v1\nenv: [HOME_KEY]\n',
    "gone": 'checked: "2026-01-01"\nretired: >-\n  It closed.\n  Use acme.\n',
    "credit": """
checked: "2026-01-01"
status: free
base_url: https://credit.example/v1
env: [CREDIT_KEY]
limits: [{source: s, checked: "2026-01-01", axes: {usd_per_month: 0.1, rpm: 9}}]
""",
}


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Loads a text with a catalogue of invented presets, and without any name look-up."""
    folder = tmp_path / "catalogue"
    folder.mkdir()
    for name, text in CATALOGUE.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    def run(text: str, env: dict[str, str] | None = None, **options: Any) -> Fleet:
        Path("p.yaml").write_text(text, encoding="utf-8")
        options.setdefault("resolve", no_network)
        return load_fleet("p.yaml", env or {}, catalogue=Catalogue(folder), **options)

    return run


def refused(load: Load, *args: Any, code: int = 2, **options: Any) -> str:
    with pytest.raises(UserError) as caught:
        load(*args, **options)
    assert caught.value.exit_code == code
    return str(caught.value)


def one(fleet: Fleet) -> Provider:
    (provider,) = fleet.providers
    return provider


def only_limits(fleet: Fleet) -> LimitSet:
    (limits,) = one(fleet).limits.values()
    return limits


def secrets(provider: Provider) -> list[str | None]:
    return [k.secret.reveal() if k.secret else None for k in provider.keys]


# ---------------------------------------------------------------- whole files


def test_the_documented_example_is_read_as_documented() -> None:
    """It is the first thing a user copies."""
    env = {"CEREBRAS_API_KEY_2": "csk-two", "OPENAI_API_KEY": "sk-one"}
    fleet = load_fleet(str(CONFIGS / "good-contract.yaml"), env, resolve=no_network)
    cerebras, local, openai = fleet.providers
    assert [(k.label, k.missing) for k in cerebras.keys] == [("cerebras#1", "CEREBRAS_API_KEY"), ("cerebras#2", "")]
    assert fleet.notes == ["cerebras#1: left out, $CEREBRAS_API_KEY is not set"]
    limits = cerebras.limits["cerebras#2", "gpt-oss-120b"]
    assert {a: limits.axes[a] for a in ("rpm", "tpm", "tpd", "concurrency")} == {
        "rpm": 5, "tpm": 30000, "tpd": 1_000_000, "concurrency": 4,
    }  # fmt: skip
    assert (cerebras.priority, cerebras.paid, cerebras.max_tokens, cerebras.timeout) == (95, False, 512, 60.0)
    assert (local.preset_name, local.base_url, local.keys[0].label) == ("", "http://127.0.0.1:8000/v1", "local#1")
    assert local.limits["local#1", "my-model"] == LimitSet(axes={}, origin={}, shared="key", open=False)
    assert (openai.paid, openai.keys[0].account) == (True, "team-a")
    assert openai.models[0].price == Price(input=0.15, output=0.60)
    assert openai.line == 14


def test_every_key_of_the_schema_is_taken() -> None:
    """A documented setting that is refused, or does nothing, is a promise broken."""
    env = {"GROQ_API_KEY": "gsk-1", "GROQ_API_KEY_2": "gsk-2", "TEAM": "blue", "PATH_PART": "x"}
    path = CONFIGS / "good-everything.yaml"
    fleet = load_fleet(str(path), env, resolve=no_network)
    mine, second = fleet.providers
    assert mine.base_url == "https://proxy.example.org/x/v1"
    assert [(k.label, k.account) for k in mine.keys] == [("mine#1", "mine#1"), ("bobs", "bob")]
    assert mine.keys[1].axes == {"rpm": 7, "tpd": None}
    assert (mine.priority, mine.paid, mine.learn, mine.account_id) == (-3, False, "off", "blue")
    assert (mine.max_tokens, mine.temperature, mine.timeout, mine.stream, mine.concurrency) == (128, 0, 20, True, 6)
    assert mine.headers == {"X-Title": "batch", "X-Team": "blue", "X-Number": "3"}
    assert mine.params == {"top_p": 0.9, "top_k": 5, "nested": {"a": 1, "b": 2, "c": 4}}
    big, small = mine.models
    assert (big.max_tokens, big.price) == (99, Price(input=0.1, output=0.2, cached_input=0.05))
    assert (small.max_tokens, small.price) == (None, Price(input=1, output=2))
    assert big.params["nested"] == {"a": 1, "b": 3, "c": 4}
    plain = mine.limits["mine#1", small.name]
    assert set(plain.axes) == set(AXES)
    assert set(plain.origin.values()) == {"provider"}
    assert (plain.burst, plain.reset, plain.shared) == (3, "America/Los_Angeles", "key")
    bobs = mine.limits["bobs", big.name]
    assert (bobs.axes["rpm"], bobs.origin["rpm"], bobs.burst) == (3, "model", 2)
    assert "tpd" not in bobs.axes
    assert (second.max_tokens, second.temperature, second.timeout, second.stream) == (256, 0.5, 30.5, False)
    assert (second.concurrency, second.params["gone"]) == (9, 1)
    assert all(not s.axes and not s.open for s in second.limits.values())
    text = path.read_text(encoding="utf-8")
    for table in (TOP, DEFAULTS, PROVIDER, KEY, MODEL, LIMITS, PRICE):
        assert [key for key in table if f"{key}:" not in text and key != "model"] == []


def test_merge_keys_share_settings_between_providers() -> None:
    """Anchors are how people keep several entries of one provider equal."""
    one_, two = load_fleet(str(CONFIGS / "good-merge-keys.yaml"), {}).providers
    assert (one_.models[0].name, two.models[0].name) == ("a", "b")
    assert two.limits["two#1", "b"].axes == {"tpm": 5, "rpm": 30, "rpd": 20}


def test_the_default_fleet_is_whole() -> None:
    """`run --simulate` in an empty folder is the newcomer's first minute."""
    path = packaged_providers()
    fleet = load_fleet(path, {}, simulate=True, resolve=no_network)
    assert len(fleet.providers) >= 10
    assert fleet.notes == []
    assert [p.name for p in fleet.providers if p.paid] == ["openai"]


def test_the_default_fleet_without_keys_ends_with_4_and_tells_where_to_get_them() -> None:
    """An empty result would look like a run that worked."""
    with pytest.raises(UserError) as caught:
        load_fleet(packaged_providers(), {}, resolve=no_network)
    assert caught.value.exit_code == 4
    assert "groq: left out, $GROQ_API_KEY is not set (get one at https://" in str(caught.value)


# ---------------------------------------------------------------- the catalogue


def test_every_preset_loads_and_names_its_dialect() -> None:
    """A broken row would be found by the first user of that provider."""
    names = preset_names()
    assert len(names) == 20
    assert "_apis" not in names
    for name in names:
        found = preset(name)
        assert found.retired or found.base_url
        assert dialect_name(found.api)


def test_a_closed_provider_is_refused_in_words() -> None:
    """Else a run finds out by its failures."""
    assert preset("github-models").retired.startswith("GitHub Models closed on 2026-07-30")


def test_a_retired_preset_is_a_fault_under_any_name(load: Load) -> None:
    """A renamed provider is no less closed."""
    text = "providers:\n  gone: {model: m}\n  mine:\n    preset: gone\n    model: m\n"
    assert refused(load, text) == (
        "p.yaml:2: providers.gone: It closed. Use acme.\np.yaml:4: providers.mine.preset: It closed. Use acme."
    )


def test_a_preset_is_found_by_the_providers_own_name_or_by_preset(load: Load) -> None:
    """Two entries of one provider need two names."""
    text = "providers: {acme: {model: m}, mine: {preset: acme, model: m}}"
    fleet = load(text, {"ACME_API_KEY": "k"})
    assert [(p.name, p.preset_name, p.preset.name, p.api) for p in fleet.providers] == [
        ("acme", "acme", "Acme Inc.", "openai"),
        ("mine", "acme", "Acme Inc.", "openai"),
    ]


def test_another_wire_form_brings_its_own_way_of_showing_keys(load: Load) -> None:
    """A server of the messages form that gets a bearer token answers 401 to everything."""
    env = {"K": "k"}
    bare = one(load("providers: {x: {base_url: 'https://x.example', api: anthropic, keys: $K, model: m}}", env))
    assert (bare.preset.auth_header, bare.preset.error_shape, bare.headers) == (
        "x-api-key",
        "typed",
        {"a-version": "2023"},
    )
    assert bare.preset.shared == "key"
    turned = one(load("providers: {anthropic: {api: openai, keys: $K, model: m}}", env))
    assert (turned.api, turned.preset.auth_header, turned.headers) == ("openai", "Authorization", {})
    assert turned.base_url == "https://api.a.example/v1"


# ---------------------------------------------------------------- keys


def test_labels_count_unset_keys_too(load: Load) -> None:
    """Else `acme#2` means another key on every machine."""
    text = "providers: {acme: {model: m, keys: [$A, $B*, $NOT, literal-key-1, $C]}}"
    fleet = load(text, {"A": "a", "B_10": "b10", "B_2": "b2", "C": "c"})
    assert [(k.label, k.missing) for k in one(fleet).keys] == [
        ("acme#1", ""), ("acme#2", ""), ("acme#3", ""), ("acme#4", "NOT"), ("acme#5", ""), ("acme#6", ""),
    ]  # fmt: skip
    assert secrets(one(fleet)) == ["a", "b2", "b10", None, "literal-key-1", "c"]


def test_a_literal_key_works_and_draws_one_warning_that_does_not_show_it(load: Load) -> None:
    """Keys in files end in repositories; warnings end in logs."""
    text = (
        "providers:\n  acme: {model: m, keys: literal-key-1}\n  two: {preset: acme, model: m, keys: [literal-key-2]}\n"
    )
    fleet = load(text)
    assert fleet.notes == [
        "a key stands in the file itself: p.yaml:2 (acme), p.yaml:3 (two); better in .env, with $NAME here"
    ]
    assert "literal-key" not in repr(fleet)


def test_a_key_loses_the_white_space_around_it(load: Load) -> None:
    """`export K=$(cat key.txt)` on Windows leaves a carriage return, and every call is a 401."""
    assert secrets(one(load("providers: {acme: {model: m, keys: $K}}", {"K": " k\r\n"}))) == ["k"]


def test_a_key_given_twice_is_taken_once(load: Load) -> None:
    """Counted as two it would be sent twice what it may take."""
    fleet = load("providers: {acme: {model: m, keys: [$K, $L, $M]}}", {"K": "same", "L": "same", "M": "other"})
    assert [k.label for k in one(fleet).keys] == ["acme#1", "acme#3"]
    assert fleet.notes == ["acme#2: left out, it is the same key as acme#1"]


def test_keys_that_are_not_named_come_from_the_presets_variables(load: Load) -> None:
    """The shortest file there is should work; and a second name for a variable is no second key."""
    text = "providers: {acme: {model: m}}"
    assert secrets(one(load(text, {"ACME_API_KEY": "a", "ACME_API_KEY_2": "b", "ACME_TOKEN": "t"}))) == ["a", "b"]
    assert secrets(one(load(text, {"ACME_TOKEN": "t"}))) == ["t"]


def test_a_local_preset_needs_no_key_and_takes_one_that_is_set(load: Load) -> None:
    """A server started with a key refuses calls without it; one without is the usual case."""
    text = "providers: {homely: {model: m}}"
    assert secrets(one(load(text))) == [None]
    assert secrets(one(load(text, {"HOME_KEY": "h"}))) == ["h"]


def test_keys_are_not_needed_on_loopback_only(load: Load) -> None:
    """A hosted server without a key would answer 401 to everything."""
    assert secrets(one(load("providers: {x: {base_url: 'http://127.0.0.1:1/v1', model: m}}"))) == [None]
    assert "no keys" in refused(load, "providers: {x: {base_url: 'http://10.0.0.1/v1', model: m}}")


def test_accounts_follow_what_the_limits_are_counted_by(load: Load) -> None:
    """Two keys of one account that are taken for two accounts get 429s half of the time."""
    keys = "keys: [$A, {key: $B, account: bob}, {key: $C, limits: {shared: key}}]"
    env = {"A": "a", "B": "b", "C": "c"}
    by_account = one(load(f"providers: {{acme: {{model: m, {keys}}}}}", env))
    assert [k.account for k in by_account.keys] == ["default", "bob", "acme#3"]
    by_key = one(load(f"providers: {{acme: {{model: m, limits: {{shared: key}}, {keys}}}}}", env))
    assert [k.account for k in by_key.keys] == ["acme#1", "bob", "acme#3"]
    bare = one(load(f"providers: {{x: {{base_url: 'https://x.example', model: m, {keys}}}}}", env))
    assert [k.account for k in bare.keys] == ["x#1", "bob", "x#3"]


def test_a_provider_without_a_key_is_left_out_with_a_note(load: Load) -> None:
    """One file serves people with different keys."""
    fleet = load("providers: {acme: {model: m, keys: [$A, $B]}, homely: {model: m}}")
    assert [p.name for p in fleet.providers] == ["homely"]
    assert fleet.notes == ["acme: left out, $A and $B are not set (get one at https://acme.example/keys)"]


def test_no_usable_key_at_all_ends_with_4_and_lists_every_reason(load: Load) -> None:
    """Exit 4 tells a script that nothing is wrong with the file."""
    message = refused(load, "providers: {acme: {model: m}, credit: {model: m}}", {"ACME_API_KEY": " "}, code=4)
    assert "acme: left out, $ACME_API_KEY is not set (get one at https://acme.example/keys)" in message
    assert "credit: left out, $CREDIT_KEY is not set" in message


def test_the_account_in_an_address_comes_from_the_file_the_variable_or_the_key(load: Load) -> None:
    """Without the account there is no address."""
    text = "providers: {accounted: {model: m}}"
    by_variable = one(load(text, {"CF_TOKEN": "t", "CF_ACCOUNT": "abc"}))
    assert (by_variable.base_url, by_variable.account_id) == ("https://api.cf.example/accounts/abc/v1", "abc")
    by_key = one(load(text, {"CF_TOKEN": "abc:t:u", "CF_TOKEN_2": "abc:v"}))
    assert (by_key.account_id, secrets(by_key)) == ("abc", ["t:u", "v"])
    by_file = one(load("providers: {accounted: {model: m, account_id: $MINE}}", {"CF_TOKEN": "t", "MINE": "xyz"}))
    assert by_file.account_id == "xyz"


def test_an_unset_account_leaves_the_provider_out(load: Load) -> None:
    """It is missing in the same way as a key is."""
    message = refused(load, "providers: {accounted: {model: m, keys: $T}}", {"T": "t"}, code=4)
    assert "accounted: left out, $CF_ACCOUNT is not set" in message
    message = refused(load, "providers: {accounted: {model: m, keys: $T, account_id: '${MINE}'}}", {"T": "t"}, code=4)
    assert "accounted: left out, $MINE is not set" in message


def test_keys_of_two_accounts_cannot_share_one_address(load: Load) -> None:
    """The second account's key would be refused at the first one's address."""
    message = refused(
        load, "providers: {accounted: {model: m}}", {"CF_TOKEN": "a:secret-1", "CF_TOKEN_2": "b:secret-2"}
    )
    assert "keys of several accounts" in message
    assert "secret" not in message


# ---------------------------------------------------------------- simulation


def test_a_simulation_uses_no_real_key_and_no_network(load: Load) -> None:
    """It is what people try first, with their real .env lying there."""
    text = """
providers:
  acme: {model: m, keys: [$K*, $UNSET, $UNSET_TOO*, literal-key-1], headers: {X-Team: $K}}
  accounted: {model: m, account_id: real-account}
  homely: {model: m, base_url: "http://some-name/v1"}
  x: {base_url: "http://${NO_URL}/v1", keys: $K, model: m}
"""
    fleet = load(text, {"K": "real-secret", "K_2": "real-secret-2", "CF_ACCOUNT": "real"}, simulate=True)
    acme, accounted, homely, x = fleet.providers
    assert secrets(acme) == [f"simulated-acme-{n}" for n in range(1, 6)]
    assert acme.headers["X-Team"] == "simulated"
    assert secrets(accounted) == ["simulated-accounted-1"]
    assert accounted.base_url == "https://api.cf.example/accounts/simulated/v1"
    assert secrets(homely) == [None]
    assert secrets(x) == ["simulated-x-1"]
    every = [s.reveal() for s in fleet.secrets()] + [repr(fleet)]
    assert not any("real" in text or "literal" in text for text in every)


# ---------------------------------------------------------------- addresses


def test_an_origin_of_ones_own_keeps_the_presets_path(load: Load) -> None:
    """A recording proxy in front of a provider should need its origin only."""
    env = {"ACME_API_KEY": "k"}
    url = "providers: {acme: {model: m, base_url: 'http://127.0.0.1:9%s'}}"
    assert one(load(url % "", env)).base_url == "http://127.0.0.1:9/openai/v1"
    assert one(load(url % "/", env)).base_url == "http://127.0.0.1:9/openai/v1"
    assert one(load(url % "/proxy/", env)).base_url == "http://127.0.0.1:9/proxy"


def test_keys_over_plain_http_stay_on_private_addresses(load: Load) -> None:
    """Everyone on the way could read them."""

    def resolve(host: str, port: int) -> Iterable[Any]:
        looked_up.append((host, port))
        return [(0, 0, 0, "", ("10.0.0.1" if host == "box" else "203.0.113.9", port))]

    looked_up: list[tuple[str, int]] = []
    text = "providers: {acme: {model: m, keys: $K, base_url: 'http://%s:81/v1'}}"
    env = {"K": "k"}
    assert one(load(text % "box", env, resolve=resolve)).base_url == "http://box:81/v1"
    assert looked_up == [("box", 81)]
    assert "use https" in refused(load, text % "elsewhere", env, resolve=resolve)
    assert one(load(text.replace("http:", "https:") % "elsewhere", env)).base_url == "https://elsewhere:81/v1"


def test_prompts_over_plain_http_to_a_public_address_draw_a_note(load: Load) -> None:
    """There is no key to lose, but the prompts can be read."""
    fleet = load("providers: {x: {model: m, keys: none, base_url: 'http://203.0.113.9/v1'}}")
    assert fleet.notes == ["x: plain http to a public address, prompts can be read on the way"]


# ---------------------------------------------------------------- limits


def test_limits_merge_axis_by_axis_with_their_origin(load: Load) -> None:
    """The origin decides whose counter an axis is."""
    text = """
providers:
  acme:
    keys: [{key: $K, limits: {rpd: 50, tpm: null}}]
    models: {big-1: {limits: {tps: 7}}}
    limits: {rpd: 100, rph: 60}
"""
    limits = only_limits(load(text, {"K": "k"}))
    assert limits.axes == {"rpm": 5, "rpd": 50, "rph": 60, "tps": 7}
    assert limits.origin == {"rpm": "preset", "rpd": "key", "rph": "provider", "tps": "model"}
    assert (limits.shared, limits.per_model, limits.reset) == ("account", True, "America/Los_Angeles")
    assert not limits.open


@pytest.mark.parametrize(
    ("where", "open_"),
    [
        ("base_url: 'https://x.example'", True),
        ("base_url: 'https://x.example', limits: {tpm: 5, rpd: 5}", True),
        ("base_url: 'https://x.example', limits: {rpm: 5}", False),
        ("base_url: 'https://x.example', limits: {concurrency: 5}", False),
        ("base_url: 'https://x.example', limits: none", False),
        ("base_url: 'https://x.example', limits: {rpm: null}", False),
        ("base_url: 'https://x.example', limits: {tpm: null}", True),
        ("base_url: 'http://127.0.0.1:1'", False),
        ("base_url: 'https://192.168.0.9'", False),
    ],
)
def test_a_rate_that_nobody_stated_is_left_to_be_learned(load: Load, where: str, open_: bool) -> None:
    """Taken for unlimited, an unknown provider gets a burst that may ban the account."""
    assert only_limits(load(f"providers: {{x: {{model: m, keys: $K, {where}}}}}", {"K": "k"})).open is open_


def test_limits_none_lifts_all_that_stood_below(load: Load) -> None:
    """`none` on a paid key of a free provider."""
    text = "providers: {acme: {model: m, keys: [{key: $K, limits: none}], limits: {burst: 3}}}"
    fleet = load(text, {"K": "k"})
    assert (only_limits(fleet).axes, only_limits(fleet).burst, only_limits(fleet).open) == ({}, None, False)
    assert one(fleet).keys[0].unlimited
    text = "providers: {acme: {models: {m: {limits: {rpm: 2}}}, keys: [{key: $K, limits: none}]}}"
    assert only_limits(load(text, {"K": "k"})).axes == {"rpm": 2}


def test_a_presets_dollar_limit_needs_a_price_to_count(load: Load) -> None:
    """Without one it can neither be kept nor blamed on the user."""
    env = {"CREDIT_KEY": "k"}
    assert only_limits(load("providers: {credit: {model: m}}", env)).axes == {"rpm": 9}
    priced = load("providers: {credit: {model: m, price: {input: 1, output: 1}}}", env)
    assert only_limits(priced).axes == {"rpm": 9, "usd_per_month": 0.1}


def test_prices_and_neurons_come_from_the_preset_unless_the_file_has_its_own(load: Load) -> None:
    """Cost figures are only as good as the price that was meant."""
    env = {"ACME_API_KEY": "k"}
    model = one(load("providers: {acme: {models: [big-1, other]}}", env)).models[0]
    assert (model.price, model.neurons) == (Price(input=1, output=2), Price(input=3, output=4))
    model = one(load("providers: {acme: {model: big-1, price: {input: 5, output: 0}}}", env)).models[0]
    assert model.price == Price(input=5, output=0)


def test_paid_follows_the_preset_unless_said(load: Load) -> None:
    """A paid provider taken for a free one spends money first."""
    env = {"K": "k"}
    text = "providers: {a: {preset: anthropic, %s model: m, keys: $K}, x: {base_url: 'https://x', model: m, keys: $K}}"
    assert [p.paid for p in load(text % "", env).providers] == [True, False]
    assert [p.paid for p in load(text % "paid: false,", env).providers] == [False, False]


def test_headers_lie_over_the_presets_without_regard_to_case(load: Load) -> None:
    """Two headers of one name are joined by some servers and refused by others."""
    text = "providers: {acme: {model: m, keys: $K, headers: {x-acme: 'two $K2', X-Old: null}}}"
    assert one(load(text, {"K": "k", "K2": "é"})).headers == {"x-acme": "two é"}


def test_null_takes_a_default_away(load: Load) -> None:
    """A model that refuses a temperature has to be reachable under defaults that set one."""
    text = """
defaults: {temperature: 1, max_tokens: 9, timeout: 9, stream: false, concurrency: 9}
providers:
  x: {base_url: "http://127.0.0.1:1", model: m, temperature: null, max_tokens: , timeout: ~, stream: , concurrency: }
"""
    x = one(load(text))
    assert (x.temperature, x.max_tokens, x.timeout, x.stream, x.concurrency) == (None, 512, 60.0, None, None)


# ---------------------------------------------------------------- --only and --exclude

FLEET = """
providers:
  acme: {models: [org/a, b], keys: [$K, {key: $L, label: lily}, $NOT]}
  credit: {model: c, keys: $K}
"""
ENV = {"K": "k", "L": "l"}


@pytest.mark.parametrize(
    ("only", "exclude", "left"),
    [
        (["acme"], [], "acme: org/a b / acme#1 lily acme#3"),
        (["acme/org/a"], [], "acme: org/a / acme#1 lily acme#3"),
        (["acme#2"], [], "acme: org/a b / lily"),
        (["lily", "credit"], [], "acme: org/a b / lily; credit: c / credit#1"),
        (["acme/b", "acme#1"], [], "acme: b / acme#1"),
        (["acme/b", "acme"], [], "acme: org/a b / acme#1 lily acme#3"),
        ([], ["acme"], "credit: c / credit#1"),
        ([], ["acme/b", "lily", "credit"], "acme: org/a / acme#1 acme#3"),
        (["acme", "credit"], ["credit/c"], "acme: org/a b / acme#1 lily acme#3"),
    ],
)
def test_only_and_exclude_pick_providers_models_and_keys(
    load: Load, only: list[str], exclude: list[str], left: str
) -> None:
    """Labels stay those of the file: `acme#2` alone is still `acme#2`."""
    fleet = load(FLEET, ENV, only=only, exclude=exclude)
    said = [
        f"{p.name}: {' '.join(m.name for m in p.models)} / {' '.join(k.label for k in p.keys)}" for p in fleet.providers
    ]
    assert "; ".join(said) == left
    for p in fleet.providers:
        assert set(p.limits) == {(k.label, m.name) for k in p.keys for m in p.models}


def test_unknown_names_in_only_and_exclude_are_named_all_at_once(load: Load) -> None:
    """A typing mistake in --exclude would send prompts to whom they must not go."""
    message = refused(load, FLEET, ENV, only=["amce", "acme#9"], exclude=["acme/org/x"])
    assert message == (
        '--only amce: no such provider, model or key (did you mean "acme"?)\n'
        '--only acme#9: no such provider, model or key (did you mean "acme#3"?)\n'
        '--exclude acme/org/x: no such provider, model or key (did you mean "acme/org/a"?)'
    )


def test_a_selection_with_nothing_in_it_is_a_usage_error_and_one_without_keys_is_not(load: Load) -> None:
    """2 says that the command is wrong, 4 that a key is wanting."""
    assert "leave no provider" in refused(load, FLEET, ENV, only=["credit"], exclude=["credit/c"])
    assert "acme#3: left out, $NOT is not set" in refused(load, FLEET, ENV, only=["acme#3"], code=4)


def test_a_broken_key_of_an_excluded_provider_is_no_matter(load: Load) -> None:
    """The way round one bad key is to leave its provider out."""
    text = "providers: {acme: {model: m, keys: $BAD}, credit: {model: m, keys: $K}}"
    env = {"K": "k", "BAD": "a b"}
    assert "$BAD has a space in it" in refused(load, text, env)
    assert one(load(text, env, exclude=["acme"])).name == "credit"


# ---------------------------------------------------------------- other folders, many keys


def test_the_catalogue_is_data_that_other_folders_can_hold(tmp_path: Path) -> None:
    """Tests and forks bring their own presets."""
    shutil.copy(Path(packaged_providers()), tmp_path / "p.yaml")
    (tmp_path / "_apis.yaml").write_text("openai: openai_chat\n", encoding="utf-8")
    with pytest.raises(UserError, match="is no preset"):
        load_fleet(str(tmp_path / "p.yaml"), {}, catalogue=Catalogue(tmp_path))


def test_globs_give_labels_in_natural_order() -> None:
    """`#10` before `#2` would move every label when an eleventh key is added."""
    env = {f"K_{n}": str(n) for n in range(2, 12)} | {"K": "1"}
    assert [value for _, value in expand_keys("$K*", env) or []] == [str(n) for n in range(1, 12)]
