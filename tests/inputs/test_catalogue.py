"""The catalogue and the default fleet as data.

Dates are those of the sources; a source dated by month or year only counts from its first day.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
import yaml

import llmfan
from llmfan.dialects.classify import classify
from llmfan.settings import AXES, ErrorRow, FieldRules, KeyFacts, Preset, document_limits

CATALOGUE = Path(llmfan.__file__).parent / "inputs" / "catalogue"
ROOT = Path(__file__).parents[2]
NAMES = sorted(p.stem for p in CATALOGUE.glob("[!_]*.yaml"))
EXPECTED = {
    "cerebras", "groq", "openrouter", "mistral", "codestral", "github-models", "cloudflare", "gemini", "cohere",
    "together", "openai", "anthropic", "deepseek", "sambanova", "nvidia", "huggingface", "fireworks", "ollama", "vllm",
    "llamacpp",
}  # fmt: skip
#: Models that older lists still give for free, and that are gone.
WITHDRAWN = {"groq": ["llama-3.3-70b-versatile", "llama-3.1-8b-instant"]}
#: Answers made after the signs that the sources quote: (preset, status, limit header, body, kind, scope, permanent).
ANSWERS = [
    ("cerebras", 429, "", '{"message":"Tokens per day limit exceeded","code":"token_quota_exceeded"}',
     "quota_exhausted", "account_model", False),
    ("groq", 429, "", '{"error":{"message":"Rate limit reached on tokens per day (TPD): Limit 200000, Used 199900, '
     'Requested 900. Please try again in 5m45.6s.","type":"tokens","code":"rate_limit_exceeded"}}',
     "quota_exhausted", "account_model", False),
    ("groq", 413, "", '{"error":{"message":"Request too large on tokens per minute (TPM): Limit 8000, Requested 9012",'
     '"type":"tokens","code":"rate_limit_exceeded"}}', "bad_request", "request", False),
    ("openrouter", 402, "", '{"error":{"code":402,"metadata":{"error_type":"in_flight_budget_exhausted"}}}',
     "rate_limited", "account", False),
    ("openrouter", 402, "", '{"error":{"code":402,"message":"requested up to 4096 tokens, but can only afford 812"}}',
     "payment_required", "request", False),
    ("openrouter", 402, "", '{"error":{"code":402,"message":"No credits"}}', "payment_required", "account", True),
    ("openrouter", 429, "", '{"error":{"code":429,"message":"Rate limit exceeded: free-models-per-day-high-balance"}}',
     "quota_exhausted", "account", False),
    ("openrouter", 429, "", '{"error":{"code":429,"message":"Upstream error","metadata":{"provider_code":429}}}',
     "overloaded", "model", False),
    ("mistral", 429, "0", '{"message":"Rate limit exceeded"}', "quota_exhausted", "account_model", False),
    ("mistral", 429, "60", '{"message":"Rate limit exceeded"}', "rate_limited", "account_model", False),
    ("cloudflare", 429, "", '{"success":false,"errors":[{"code":4006,"message":"daily free allocation used up"}]}',
     "quota_exhausted", "account", False),
    ("gemini", 429, "", '{"error":{"code":429,"message":"You exceeded your current quota. limit: 0, model: x",'
     '"status":"RESOURCE_EXHAUSTED"}}', "quota_exhausted", "account_model", True),
    ("gemini", 429, "", '{"error":{"code":429,"message":"You exceeded your current quota. limit: 20","details":'
     '[{"violations":[{"quotaId":"GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]},{"retryDelay":"38s"}]}}',
     "quota_exhausted", "account_model", False),
    ("gemini", 429, "", '{"error":{"code":429,"message":"Resource has been exhausted (e.g. check quota)."}}',
     "overloaded", "model", False),
    ("gemini", 400, "", '{"error":{"code":400,"message":"API key not valid."}}', "auth", "key", True),
    ("cohere", 429, "", '{"message":"You are using a Trial key, which is limited to 1,000 API calls / month."}',
     "quota_exhausted", "account", False),
    ("openai", 429, "", '{"error":{"message":"You exceeded your current quota","code":"project_spend_limit_exceeded"}}',
     "payment_required", "account", True),
    ("anthropic", 400, "", '{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance '
     'is too low"}}', "payment_required", "account", True),
    ("huggingface", 402, "", '{"error":"Exceeded your monthly included credits"}', "quota_exhausted", "account", False),
    ("ollama", 429, "", '{"error":{"message":"you have reached your weekly usage limit"}}',
     "quota_exhausted", "account", False),
]  # fmt: skip
VARIABLE = re.compile(r"\$(\w+)\*?")


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def preset(name: str) -> Preset:
    return msgspec.convert(read(CATALOGUE / f"{name}.yaml"), Preset)


def is_day(text: str) -> bool:
    return date.fromisoformat(text).isoformat() == text


def figures(row: Preset) -> Iterator[tuple[str, str, str]]:
    """(what, source, checked) of everything in a preset that somebody had to look up."""
    for n, limit in enumerate(row.limits):
        yield f"limits[{n}]", limit.source, limit.checked
    for n, error in enumerate(row.errors):
        yield f"errors[{n}]", error.source, error.checked
    for name, model in row.models.items():
        yield f"models.{name}", model.source, model.checked
    if row.fields != FieldRules():
        yield "fields", row.fields.source, row.fields.checked
    if row.key_facts != KeyFacts():
        yield "key_facts", row.key_facts.source, row.key_facts.checked
    if not row.retired:
        yield "limiter", row.limiter.source, row.limiter.checked


def patterns(row: ErrorRow) -> list[str]:
    _, _, header = row.header.partition(": ")
    return [p for p in (row.code, row.message, row.body, header) if p]


def test_the_catalogue_holds_every_promised_provider() -> None:
    """A missing file is a preset that users were promised and cannot name."""
    assert set(NAMES) == EXPECTED


@pytest.mark.parametrize("name", NAMES)
def test_a_file_decodes_into_a_preset_and_is_dated(name: str) -> None:
    """A misspelt field would be a quirk that silently does nothing; an unquoted date is no string in YAML."""
    row = preset(name)
    assert is_day(row.checked)
    assert max(len(line) for line in (CATALOGUE / f"{name}.yaml").read_text(encoding="utf-8").splitlines()) <= 140


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_names_its_source_and_its_day(name: str) -> None:
    """Limits age in weeks: a figure nobody can trace or date cannot be trusted or mended."""
    for what, source, checked in figures(preset(name)):
        traceable = source.startswith("https://") or " " in source
        assert traceable, f"{what}: {source!r} is neither an address nor words"
        assert is_day(checked), what


@pytest.mark.parametrize("name", NAMES)
def test_every_axis_is_known(name: str) -> None:
    """A misspelt axis would be a limit that never binds."""
    row = preset(name)
    used = {axis for limit in row.limits for axis in limit.axes} | {h.axis for h in row.limit_headers}
    assert used <= set(AXES)
    assert all(figure > 0 for limit in row.limits for figure in limit.axes.values())


@pytest.mark.parametrize("name", NAMES)
def test_header_rows_are_concrete_lower_case_and_single(name: str) -> None:
    """Headers are looked up by lower-case name: a template or a capital would never be found, a pair would fight."""
    rows = preset(name).limit_headers
    assert all(re.fullmatch(r"[a-z0-9-]+", row.name) for row in rows)
    assert len({row.name for row in rows}) == len(rows)


@pytest.mark.parametrize("name", NAMES)
def test_every_error_row_has_a_sign_and_its_patterns_compile(name: str) -> None:
    """A bad pattern would crash the run at the first error; a row without a sign would swallow all others."""
    for row in preset(name).errors:
        assert row.status or patterns(row)
        for pattern in patterns(row):
            re.compile(pattern)
        assert not row.header or re.match(r"[a-z0-9-]+: \S", row.header)
        assert not (row.permanent and (row.until or row.wait)), "what no waiting cures has no wait"


@pytest.mark.parametrize("name", NAMES)
def test_a_wider_error_row_never_hides_a_narrower_one(name: str) -> None:
    """The first row that fits is taken: a bare status above a coded one would make the coded one dead."""
    bare: set[int] = set()
    for row in preset(name).errors:
        assert not (row.status and set(row.status) <= bare), row
        if not patterns(row):
            bare |= set(row.status)


@pytest.mark.parametrize(("name", "status", "limit", "body", "kind", "scope", "permanent"), ANSWERS)
def test_an_answer_is_taken_for_what_it_means(
    name: str, status: int, limit: str, body: str, kind: str, scope: str, permanent: bool
) -> None:
    """A spent day taken for a minute burns every retry; a passing shortage taken for a dead key loses the key."""
    headers = {"x-ratelimit-limit-req-minute": limit} if limit else {}
    failure = classify(status, headers, body.encode(), preset(name), 1_790_000_000.0)
    assert (failure.kind, failure.scope, failure.permanent) == (kind, scope, permanent)


@pytest.mark.parametrize("name", [n for n in NAMES if n != "github-models"])
def test_keys_travel_over_https_or_stay_on_this_machine(name: str) -> None:
    """A plain http address of a stranger would carry keys in the clear."""
    row = preset(name)
    for address in [row.base_url, *filter(None, [row.models_path, row.key_check])]:
        if address.startswith("/"):
            continue
        url = urlsplit(address)
        host = url.hostname or ""
        assert url.scheme == "https" or host == "localhost" or ip_address(host).is_loopback
        assert not url.path.endswith(("/", "/chat/completions"))
    assert ("{account_id}" in row.base_url) == bool(row.account_id_env)


@pytest.mark.parametrize("name", [n for n in NAMES if n != "github-models"])
def test_every_wire_form_is_a_known_one(name: str) -> None:
    """A form without a dialect is a provider that no request can be written for."""
    row, apis = preset(name), read(CATALOGUE / "_apis.yaml")
    assert not row.api or row.api in apis
    assert not row.fields.allow or {"model", "messages", "stream"} <= set(row.fields.allow)


#: Answers of key checks as their documents show them, in the fields that count.
KEY_ANSWERS: dict[str, dict[str, Any]] = {
    "openrouter": {
        "data": {
            "creator_user_id": "user_2d", "limit": None, "limit_remaining": None,
            "free_model_daily_requests": {"used": 3, "limit": 50, "remaining": 47},
        }
    },
    "deepseek": {"is_available": True, "balance_infos": [{"currency": "USD", "total_balance": "4.20"}]},
    "huggingface": {"id": "5f", "type": "user", "name": "ann", "isPro": False, "orgs": []},
    "cloudflare": {"success": True, "errors": [], "result": {"id": "ed", "status": "active"}},
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_what_a_key_check_tells_is_found_where_the_row_says(name: str) -> None:
    """A path that leads nowhere is an account never recognized and an empty purse never seen."""
    row, facts = preset(name), preset(name).key_facts
    assert bool(row.key_check) == (facts != KeyFacts()) == (name in KEY_ANSWERS)
    for path in filter(None, [facts.account, facts.credit, facts.requests, facts.active.partition("=")[0]]):
        found: Any = KEY_ANSWERS[name]
        for part in path.split("."):
            assert part in found, path
            found = found[part]
        assert path != facts.requests or {"limit", "remaining"} <= found.keys()
        assert path != facts.active.partition("=")[0] or found == facts.active.partition("=")[2]
    assert facts.requests_axis in AXES


def test_a_list_that_anybody_may_read_is_known_to_be_one() -> None:
    """Taken for a proof, it makes every dead key look healthy."""
    public = {"openrouter", "nvidia", "huggingface", "ollama", "llamacpp", "sambanova"}
    assert {n for n in NAMES if preset(n).models_public} == public


def test_no_withdrawn_model_is_offered() -> None:
    """A closed model as a default, or with a limit, sends newcomers into a wall of 404s."""
    for name, gone in WITHDRAWN.items():
        row = preset(name)
        for model in gone:
            assert model not in [*row.models, *row.default_models]
            assert document_limits(row, model) == {}


def test_the_closed_service_says_when_it_closed_and_what_to_use() -> None:
    """Naming it must end in a clear refusal, not in 410s one by one."""
    row = preset("github-models")
    assert "2026-07-30" in row.retired and "410" in row.retired
    assert [n for n in NAMES if re.search(rf"\b{n}\b", row.retired) and not preset(n).retired]
    assert [n for n in NAMES if preset(n).retired] == ["github-models"]


def default_fleet() -> dict[str, Any]:
    fleet: dict[str, Any] = read(ROOT / "providers.yaml")
    return fleet


def test_the_default_fleet_is_every_free_preset_and_one_paid_fallback() -> None:
    """A free provider left out is capacity nobody finds; a second paid one is money nobody meant to spend."""
    fleet = default_fleet()
    assert fleet["version"] == 1 and "defaults" not in fleet  # a cap would cut off what callers of `serve` ask for
    free = {n for n in NAMES if preset(n).status in ("free", "trial")}
    assert set(fleet["providers"]) == free | {"openai"}
    paid = {n: p for n, p in fleet["providers"].items() if p.get("paid")}
    assert set(paid) == {"openai"} and paid["openai"]["price"] == {"input": 0.15, "output": 0.60}


def test_the_default_fleet_uses_models_whose_limits_the_presets_know() -> None:
    """A default model outside its preset's rows would start unlimited in `plan` and slow in a run."""
    for name, entry in default_fleet()["providers"].items():
        row = preset(name)
        assert entry["model"] in row.default_models, name
        assert document_limits(row, entry["model"]) or name == "openai", name


def test_the_env_example_names_every_variable_of_the_default_fleet_and_no_value() -> None:
    """A variable missing here is a provider a newcomer cannot switch on; a value here would be a leaked key."""
    wanted: list[str] = []
    for name, entry in default_fleet()["providers"].items():
        row = preset(name)
        key, account = (VARIABLE.fullmatch(entry.get(field, "")) for field in ("keys", "account_id"))
        assert key and key[1] in row.env, name
        assert (account[1] if account else "") == row.account_id_env, name
        wanted += [key[1], row.account_id_env]
    lines = [ln for ln in (ROOT / ".env.example").read_text(encoding="utf-8").splitlines() if ln and ln[0] != "#"]
    assert sorted(lines) == sorted(f"{variable}=" for variable in wanted if variable)
