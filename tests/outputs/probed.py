"""Findings of a fleet of 32 keys in which something of everything is the matter."""

from __future__ import annotations

from typing import Any

from llmfan.probing.findings import Finding, Measured, Reading

#: 2026-11-22 20:48:00 UTC
NOW = 1795380480.0
MIDNIGHT = NOW + 3 * 3600 + 12 * 60
STATES = (
    "ok", "invalid", "forbidden", "no_credit", "exhausted", "rate_limited", "no_model", "unreachable", "missing",
    "retired", "unproven",
)  # fmt: skip


def finding(key: str, state: str = "ok", why: str = "", **more: Any) -> Finding:
    provider, _, number = key.partition("#")
    given = {"model": "openai/gpt-oss-20b", "mask": f"…x{int(number):02}f", "state": state, "why": why}
    return Finding(key=key, provider=provider, **(given | more))


def fleet() -> list[Finding]:
    """As a probe of 13 providers ends."""
    found = [finding(f"groq#{n}", latencies=[0.31], limits=_day(1000 - n)) for n in range(1, 6)]
    for one in found[:3]:
        one.shares_with = [other.key for other in found[:3] if other is not one]
        one.account = "org_01hz8k"
    found[3].measured = [
        Measured(axis="rpm", figure=30, low=28.9, high=30.4, counts="sliding", confidence=0.95, sent=63, refused=2)
    ]
    found += [
        finding("groq#6", "exhausted", "Rate limit reached for model `openai/gpt-oss-20b` in organization `org_01hz8k` "
                "service tier `on_demand` on requests per day (RPD): Limit 1000, Used 1000, Requested 1. Please try "
                "again in 1m26.4s.", until=NOW + 86.4, limits=_day(0), latencies=[0.12]),
        *_named("openrouter", "openai/gpt-oss-20b:free", [
            ("ok", "", {"latencies": [1.94], "limits": {"rpd": Reading(limit=50, remaining=49, resets_at=MIDNIGHT)}}),
            ("invalid", "No auth credentials found", {}),
            ("exhausted", "Rate limit exceeded: free-models-per-day", {"until": MIDNIGHT}),
            ("no_credit", "Insufficient credits", {}),
        ]),
        *_named("mistral", "mistral-small-latest", [
            ("ok", "", {"latencies": [0.44], "limits": {"rpm": Reading(limit=50, remaining=49),
                                                        "tpm": Reading(limit=50000, remaining=49993)}}),
            ("rate_limited", "Rate limit exceeded", {"until": NOW + 38}),
        ]),
        *_named("cloudflare", "@cf/google/gemma-4-26b-a4b-it", [
            ("ok", "", {"latencies": [2.4]}),
            ("invalid", "Invalid API Token", {}),
            ("forbidden", "Authentication error", {}),
        ]),
        *_named("gemini", "gemini-3.1-flash-lite", [
            ("ok", "", {"latencies": [0.6]}),
            ("invalid", "API key not valid. Please pass a valid API key.", {}),
            ("exhausted", "You exceeded your current quota, please check your plan and billing details. For more "
             "information on this error, head to: https://ai.google.dev/gemini-api/docs/rate-limits.",
             {"until": NOW + 11 * 3600 + 720}),
            ("forbidden", "User location is not supported for the API use.", {}),
        ]),
        *_named("cohere", "command-a-03-2025", [
            ("ok", "", {"latencies": [0.77], "limits": {"rpm": Reading(limit=20, remaining=19),
                                                        "requests_per_month": Reading(limit=1000)}}),
            ("exhausted", "You are using a Trial key, which is limited to 1000 API calls / month.",
             {"until": NOW + 86400}),
        ]),
        *_named("deepseek", "deepseek-v4-flash", [
            ("ok", "", {"latencies": [3.1]}),
            ("no_credit", "the balance is 0", {}),
        ]),
        *_named("openai", "gpt-4o-mini", [
            ("ok", "", {"latencies": [0.52], "limits": {"rpm": Reading(limit=500, remaining=499),
                                                        "tpm": Reading(limit=200000, remaining=199984)}}),
            ("no_credit", "You exceeded your current quota, please check your plan and billing details.", {}),
            ("unproven", "a completion would be billed", {}),
            ("missing", "$OPENAI_API_KEY_4 is not set; a key is got at https://platform.openai.com/api-keys",
             {"mask": ""}),
        ]),
        *_named("typo", "command-a-03-2052", [("no_model", "model 'command-a-03-2052' not found",
                                              {"nearest": ["command-a-03-2025", "command-a-plus-05-2026"]})]),
        *_named("dead", "m", [("unreachable", "connection refused", {})]),
        *_named("hanging", "m", [("unreachable", "timed out: waiting for the first byte", {})]),
        *_named("nowhere", "m", [("unreachable", "name not found (the host name does not resolve)", {})]),
        *_named("github-models", "openai/gpt-4o", [("retired", "GitHub Models closed on 2026-07-30 and answers every "
                                                    "call with HTTP 410.", {})]),
    ]  # fmt: skip
    return found


def _named(provider: str, model: str, keys: list[tuple[str, str, dict[str, Any]]]) -> list[Finding]:
    return [
        finding(f"{provider}#{n}", state, why, **({"model": model} | more))
        for n, (state, why, more) in enumerate(keys, 1)
    ]


def _day(left: float) -> dict[str, Reading]:
    return {
        "rpd": Reading(limit=1000, remaining=left, resets_at=NOW + 86.4),
        "tpm": Reading(limit=8000, remaining=7946, resets_at=NOW + 0.4),
    }
