"""The fleet as typed settings: what a providers file and the catalogue say, checked and merged.

`Preset` is one catalogue row file (`inputs/catalogue/NAME.yaml`); `Fleet` is what a run is built from.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import Struct, field

from llmfan.secret import Secret

#: Limit axes: name → (what is counted, window in seconds). Concurrency has no window.
AXES: dict[str, tuple[str, float]] = {
    "rps": ("requests", 1.0),
    "rpm": ("requests", 60.0),
    "rph": ("requests", 3600.0),
    "rpd": ("requests", 86400.0),
    "requests_per_month": ("requests", 2592000.0),
    "tps": ("tokens", 1.0),
    "tpm": ("tokens", 60.0),
    "tph": ("tokens", 3600.0),
    "tpd": ("tokens", 86400.0),
    "tokens_per_month": ("tokens", 2592000.0),
    "itpm": ("input_tokens", 60.0),
    "otpm": ("output_tokens", 60.0),
    "neurons_per_day": ("neurons", 86400.0),
    "usd_per_day": ("usd", 86400.0),
    "usd_per_month": ("usd", 2592000.0),
    "concurrency": ("in_flight", 0.0),
}

#: A wire form, by the name users write; `inputs/catalogue/_apis.yaml` says which dialect speaks it.
Api = str
Kind = Literal[
    "auth", "payment_required", "rate_limited", "quota_exhausted", "overloaded", "server_error", "timeout",
    "connection", "bad_request", "context_length", "content_filter", "model_not_found", "bad_response",
    "truncated_stream", "cancelled",
]  # fmt: skip
#: What a failure rules out. `account_model`: one model of one account.
Scope = Literal["request", "key", "account", "account_model", "model", "provider"]
LimiterKind = Literal["sliding", "fixed", "bucket"]


class Price(Struct, frozen=True, kw_only=True):
    """USD per million tokens."""

    input: float
    output: float
    cached_input: float | None = None


# ---------------------------------------------------------------- catalogue rows


class LimitRow(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Documented limits of some models (globs; later rows win). A figure has its source and the day it was checked."""

    source: str
    checked: str
    models: list[str] = field(default_factory=lambda: ["*"])
    axes: dict[str, float]
    note: str = ""


class HeaderRow(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A response header that tells of a limit. role `cost` tells what this one call was charged on `axis`."""

    name: str
    axis: str
    role: Literal["limit", "remaining", "reset", "cost"]
    format: Literal["number", "go", "epoch_ms", "epoch_s", "rfc3339"] = "number"
    when: Literal["always", "success", "refused"] = "always"


class ErrorRow(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One sign of a failure and what it means. All conditions given must hold; the first row that fits is taken.

    `code` is a regular expression that must match one of the body's codes, types or status words in full; `message`
    one that is searched in its message; `body` one searched in the raw body; `header` a `name: regex` pair.
    `wait` is the rest in seconds where the answer gives no hint; `until` names a reset (`day`, `month`) that
    overrules any hint; `permanent` says that no waiting cures it.
    """

    kind: Kind
    scope: Scope
    status: list[int] = field(default_factory=list)
    code: str = ""
    message: str = ""
    body: str = ""
    header: str = ""
    permanent: bool = False
    wait: float | None = None
    until: Literal["", "day", "month"] = ""
    source: str = ""
    checked: str = ""


class FieldRules(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which request fields a provider takes. `allow` (if any) lists all it takes; `drop` what it refuses.

    `ask_usage`: whether `stream_options.include_usage` may be sent. Names in `allow` and `drop` are those on the wire,
    after `rename`.
    """

    rename: dict[str, str] = field(default_factory=dict)
    allow: list[str] = field(default_factory=list)
    drop: list[str] = field(default_factory=list)
    ask_usage: bool = True
    source: str = ""
    checked: str = ""


class Limiter(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the provider counts. `precharge`: prompt plus max_tokens are charged before the call runs."""

    kind: LimiterKind = "sliding"
    precharge: bool = False
    reset: str = "utc"  # when a day begins: utc, a zone, rolling
    source: str = ""
    checked: str = ""


class ModelRow(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Facts on one model: price in USD, and neurons, both per million tokens."""

    price: Price | None = None
    neurons: Price | None = None
    source: str = ""
    checked: str = ""


class KeyFacts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the answer of `key_check` tells; dotted paths into its JSON, "" where it does not.

    `account`: a name of the account (two keys that give the same one share it); `credit`: money left, or whether there
    is any (a number at or below 0, or false: none; null: no bound); `requests`: an object with `limit` and `remaining`
    of `requests_axis`; `active`: a word that must be the one after `=` (`result.status=active`).
    """

    account: str = ""
    credit: str = ""
    requests: str = ""
    requests_axis: str = "rpd"
    active: str = ""
    source: str = ""
    checked: str = ""


class Preset(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One provider of the catalogue. `{account_id}` in `base_url` is filled from the providers file."""

    name: str
    checked: str
    retired: str = ""
    status: Literal["free", "trial", "paid", "local"] = "paid"
    api: Api = ""
    base_url: str = ""
    auth_header: str = "Authorization"
    auth_scheme: str = "Bearer"
    keyless: bool = False
    headers: dict[str, str] = field(default_factory=dict)
    env: list[str] = field(default_factory=list)
    account_id_env: str = ""
    account_in_key: bool = False
    signup: str = ""
    key_prefixes: list[str] = field(default_factory=list)
    shared: Literal["key", "account"] = "account"
    per_model: bool = False
    limits: list[LimitRow] = field(default_factory=list)
    limiter: Limiter = Limiter()
    limit_headers: list[HeaderRow] = field(default_factory=list)
    errors: list[ErrorRow] = field(default_factory=list)
    error_shape: Literal[
        "wrapped", "flat", "list", "errors_array", "message", "status_title", "string", "google", "typed"
    ] = "wrapped"
    fields: FieldRules = FieldRules()
    usage_at: Literal["extra", "finish", "native"] = "extra"
    reasoning_field: str = "reasoning_content"
    models: dict[str, ModelRow] = field(default_factory=dict)
    default_models: list[str] = field(default_factory=list)
    models_path: str = "/models"
    models_public: bool = False
    key_check: str = ""
    key_facts: KeyFacts = KeyFacts()
    terms: str = ""
    terms_source: str = ""


# ---------------------------------------------------------------- the fleet


class LimitSet(Struct, frozen=True, kw_only=True):
    """Limits as merged for one target. `axes` maps an axis to its figure; a lifted one is absent.

    `origin` says, axis by axis, which level gave the figure (`preset`, `provider`, `key`, `model`): it decides whose
    counter it is. `open`: nothing was said about a rate, so it has to be learned.
    """

    axes: dict[str, float]
    origin: dict[str, str]
    burst: int | None = None
    reset: str = "utc"
    shared: Literal["key", "account"] = "key"
    per_model: bool = False
    open: bool = False


class KeySettings(Struct, frozen=True, kw_only=True):
    """One key. `secret` is None for `keys: none` and for a variable that is not set (`missing` then names it)."""

    label: str
    account: str
    secret: Secret | None = None
    missing: str = ""
    axes: dict[str, float | None] = field(default_factory=dict)
    unlimited: bool = False


class ModelSettings(Struct, frozen=True, kw_only=True):
    name: str
    price: Price | None = None
    neurons: Price | None = None
    max_tokens: int | None = None
    params: dict[str, Any] = field(default_factory=dict)


class Provider(Struct, frozen=True, kw_only=True):
    """One provider of the file, merged with its preset and the defaults. `limits` is keyed by (key label, model)."""

    name: str
    preset: Preset
    preset_name: str
    api: Api
    base_url: str
    keys: list[KeySettings]
    models: list[ModelSettings]
    limits: dict[tuple[str, str], LimitSet]
    line: int = 0
    priority: int = 0
    paid: bool = False
    learn: Literal["down", "up", "off"] = "down"
    headers: dict[str, str] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)
    max_tokens: int = 512
    capped: bool = False  # whether the file says max_tokens
    temperature: float | None = None
    timeout: float = 60.0
    timed: bool = False  # whether the file says timeout
    stream: bool | None = None
    concurrency: int | None = None
    account_id: str = ""


class Fleet(Struct, frozen=True, kw_only=True):
    """Every usable provider, and notes on those left out (`name: why`)."""

    file: str
    providers: list[Provider]
    notes: list[str] = field(default_factory=list)

    def secrets(self) -> list[Secret]:
        return [k.secret for p in self.providers for k in p.keys if k.secret is not None]


def document_limits(preset: Preset, model: str) -> dict[str, float]:
    """The catalogue's figures for one model: rows whose globs match, later ones over earlier ones."""
    from fnmatch import fnmatchcase

    axes: dict[str, float] = {}
    for row in preset.limits:
        if any(fnmatchcase(model, glob) for glob in row.models):
            axes.update(row.axes)
    return axes


def to_builtins(value: Any) -> Any:
    """Settings as plain data for `run.json`: secrets become their mask."""
    return msgspec.to_builtins(value, enc_hook=lambda v: v.mask if isinstance(v, Secret) else str(v), str_keys=True)
