"""What eight providers answer to a key of each fate, in headers and bodies of their own."""

from __future__ import annotations

import datetime as dt
import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

#: (status, headers, body)
Answer = tuple[int, dict[str, str], Any]
DAY = 86400
SPENT = "You exceeded your current quota, please check your plan and billing details."


@dataclass(frozen=True)
class Asked:
    """`kind`: check, list or completion. `used`: requests that its account has sent today, this one included."""

    kind: str
    fate: str
    key: str
    model: str
    used: int
    stream: bool = False


def groq(asked: Asked) -> Answer:
    """The day in `-requests`, the minute in `-tokens`, Go durations; a spent day states limit and use in prose."""
    if asked.fate == "invalid":
        return _error(401, "Invalid API Key", "invalid_request_error", "invalid_api_key")
    if asked.kind == "list":
        return _listed("openai/gpt-oss-20b", "openai/gpt-oss-120b")
    left = 0 if asked.fate == "exhausted" else max(0, 1000 - asked.used)
    headers = {
        "x-ratelimit-limit-requests": "1000",
        "x-ratelimit-remaining-requests": str(left),
        "x-ratelimit-reset-requests": f"{(1000 - left) * 86.4:.1f}s",
        "x-ratelimit-limit-tokens": "8000",
        "x-ratelimit-remaining-tokens": "7927",
        "x-ratelimit-reset-tokens": "547.5ms",
    }
    if asked.fate == "exhausted":
        text = (
            f"Rate limit reached for model `{asked.model}` in organization `org_01hz8kfeh9` service tier `on_demand` "
            "on requests per day (RPD): Limit 1000, Used 1000, Requested 1. Please try again in 1m26.4s."
        )
        return _error(429, text, "requests", "rate_limit_exceeded", headers | {"retry-after": "87"})
    return 200, headers, chat(asked, reasoning="reasoning")


def openrouter(asked: Asked) -> Answer:
    """`/key` tells of a key; limit headers on its own 429 only, the reset in milliseconds of Unix time."""
    if asked.kind == "list":
        return _listed("openai/gpt-oss-20b:free", "openai/gpt-oss-120b:free", "openai/gpt-oss-20b")
    if asked.fate == "invalid":
        # Quoted back in full, as some servers do.
        message = f"No user with the key {asked.key}" if asked.kind == "check" else "No auth credentials found"
        return 401, {}, {"error": {"message": message, "code": 401}}
    if asked.kind == "check":
        label = f"{asked.key[:12]}...{asked.key[-3:]}"
        free = {"used": asked.used, "limit": 50, "remaining": 50 - asked.used} if asked.fate == "thinking" else None
        data = {
            "label": label, "limit": None, "limit_remaining": None, "usage": 0, "is_free_tier": True,
            "creator_user_id": f"user_{asked.key[-8:]}", "free_model_daily_requests": free,
            "rate_limit": {"requests": -1, "interval": "10s", "note": "deprecated"},
        }  # fmt: skip
        return 200, {}, {"data": data}
    if asked.fate == "exhausted":
        headers = {"X-RateLimit-Limit": "50", "X-RateLimit-Remaining": "0"}
        headers["X-RateLimit-Reset"] = str(int(next_utc_midnight() * 1000))
        metadata = {"headers": headers, "provider_name": None}
        message = "Rate limit exceeded: free-models-per-day. Add 10 credits to unlock 1000 free model requests per day"
        return 429, headers, {"error": {"message": message, "code": 429, "metadata": metadata}, "user_id": "user_2x"}
    if asked.fate == "no_credit":
        message = "Insufficient credits. Add more using https://openrouter.ai/settings/credits"
        return 402, {}, {"error": {"message": message, "code": 402}}
    return 200, {}, chat(asked, reasoning="reasoning")


def mistral(asked: Asked) -> Answer:
    """Flat errors, the code a word of digits; no reset time but Retry-After."""
    if asked.fate == "invalid":
        return 401, {}, {"detail": "Unauthorized"}
    if asked.kind == "list":
        return _listed("mistral-small-latest", "ministral-14b-latest", "codestral-latest")
    headers = {
        "x-ratelimit-limit-req-minute": "50", "x-ratelimit-remaining-req-minute": str(50 - asked.used),
        "x-ratelimit-limit-tokens-minute": "50000", "x-ratelimit-remaining-tokens-minute": "49990",
        "x-ratelimit-tokens-query-cost": "10",
    }  # fmt: skip
    if asked.fate == "rate_limited":
        body = {"object": "error", "message": "Rate limit exceeded", "type": "rate_limited", "param": None}
        headers |= {"x-ratelimit-remaining-req-minute": "0", "retry-after": "37"}
        return 429, headers, {**body, "code": "1300", "raw_status_code": 429}
    return 200, headers, chat(asked)


def cloudflare(asked: Asked) -> Answer:
    """`success` and `errors`; what the call cost in a header. The token of a user cannot be verified here (403)."""
    if asked.kind == "check":
        if asked.fate == "invalid":
            return _array(401, 1000, "Invalid API Token")
        if asked.fate == "unverifiable":
            return _array(403, 9109, "Unauthorized to access requested resource")
        return 200, {}, {"result": {"id": "f267e341", "status": "active"}, "success": True, "errors": []}
    if asked.fate in ("invalid", "forbidden"):
        return _array(401 if asked.fate == "invalid" else 403, 10000, "Authentication error")
    if asked.kind == "list":
        names = ("@cf/openai/gpt-oss-20b", "@cf/zai-org/glm-4.7-flash")
        rows = [{"id": str(uuid.uuid5(uuid.NAMESPACE_URL, name)), "source": 1, "name": name} for name in names]
        return 200, {}, {"result": rows, "success": True, "errors": []}
    return 200, {"cf-ai-neurons": "0.4"}, chat(asked)


def gemini(asked: Asked) -> Answer:
    """No header at all; a dead key comes as 400, and a spent day with a delay of seconds."""
    if asked.fate == "invalid":
        reason = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
        return _google(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", [reason])
    if asked.kind == "list":
        names = ("gemini-3.1-flash-lite", "gemini-3.5-flash", "gemma-3-27b-it")
        return 200, {}, {"models": [{"name": f"models/{name}", "displayName": name} for name in names]}
    if asked.fate == "forbidden":
        return _google(400, "FAILED_PRECONDITION", "User location is not supported for the API use.")
    if asked.fate == "exhausted":
        metric = "generativelanguage.googleapis.com/generate_content_free_tier_requests"
        violation = {
            "quotaMetric": metric, "quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier",
            "quotaDimensions": {"location": "global", "model": asked.model}, "quotaValue": "500",
        }  # fmt: skip
        failure = {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation]}
        retry = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "38s"}
        text = f"{SPENT}\n* Quota exceeded for metric: {metric}, limit: 500\nPlease retry in 38.2s."
        return _google(429, "RESOURCE_EXHAUSTED", text, [failure, retry])
    usage = {"promptTokenCount": 3, "thoughtsTokenCount": 1, "totalTokenCount": 4}
    candidate = {"content": {"role": "model"}, "finishReason": "MAX_TOKENS", "index": 0}
    return 200, {}, {"candidates": [candidate], "usageMetadata": usage, "modelVersion": asked.model}


def cohere(asked: Asked) -> Answer:
    """A bare message; limit headers while all is well only."""
    if asked.fate == "invalid":
        return 401, {}, {"id": "0d5e", "message": "invalid api token"}
    if asked.kind == "list":
        names = ("command-a-03-2025", "command-a-plus-05-2026", "command-r7b-12-2024")
        return 200, {}, {"models": [{"name": name, "endpoints": ["chat"]} for name in names]}
    if asked.fate == "no_model":
        text = f"model '{asked.model}' not found, make sure the correct model ID was used and that you have access"
        return 404, {}, {"id": "0d5e", "message": text}
    if asked.fate == "exhausted":
        text = (
            "You are using a Trial key, which is limited to 1000 API calls / month. You can continue to use the Trial "
            "key for free or upgrade to a Production key with higher rate limits"
        )
        return 429, {}, {"id": "0d5e", "message": text}
    headers = {
        "x-endpoint-monthly-call-limit": "1000", "x-trial-endpoint-call-limit": "20",
        "x-trial-endpoint-call-remaining": str(20 - asked.used),
    }  # fmt: skip
    return 200, headers, chat(asked)


def deepseek(asked: Asked) -> Answer:
    """The balance tells of key and credit; no limit header at all."""
    if asked.fate == "invalid":
        text = f"Authentication Fails, Your api key: {asked.key} is invalid"  # other servers quote all of it
        return _error(401, text, "authentication_error", "invalid_request_error")
    if asked.kind == "check":
        rich = asked.fate == "ok"
        infos = [{"currency": "USD", "total_balance": "9.81" if rich else "0.00"}]
        return 200, {}, {"is_available": rich, "balance_infos": infos}
    if asked.kind == "list":
        return _listed("deepseek-v4-flash", "deepseek-v4-pro")
    if asked.fate == "no_credit":
        return _error(402, "Insufficient Balance", "unknown_error", "invalid_request_error")
    return 200, {}, chat(asked, reasoning="reasoning_content")


def openai(asked: Asked) -> Answer:
    """Money that is gone hides behind a 429, a model out of reach behind the code of one that does not exist."""
    if asked.fate == "invalid":
        return _error(401, f"Incorrect API key provided: {asked.key}.", "invalid_request_error", "invalid_api_key")
    if asked.kind == "list":
        return _listed("gpt-4o-mini", "gpt-4o")
    if asked.fate == "no_credit":
        return _error(429, SPENT, "insufficient_quota", "insufficient_quota")
    if asked.fate == "forbidden":
        text = f"Project `proj_9fkq` does not have access to model `{asked.model}`"
        return _error(403, text, "invalid_request_error", "model_not_found")
    headers = {
        "x-ratelimit-limit-requests": "500", "x-ratelimit-remaining-requests": str(500 - asked.used),
        "x-ratelimit-reset-requests": "120ms", "x-ratelimit-limit-tokens": "200000",
        "x-ratelimit-remaining-tokens": "199990", "x-ratelimit-reset-tokens": "3ms",
    }  # fmt: skip
    return 200, headers, chat(asked)


DIALECTS: dict[str, Callable[[Asked], Answer]] = {
    "groq": groq, "openrouter": openrouter, "mistral": mistral, "cloudflare": cloudflare, "gemini": gemini,
    "cohere": cohere, "deepseek": deepseek, "openai": openai,
}  # fmt: skip


def chat(asked: Asked, reasoning: str = "") -> Any:
    """A completion cut after its one token; a model that thinks has spent that on thought."""
    thinks = asked.fate == "thinking"
    message: dict[str, Any] = {"role": "assistant", "content": "" if thinks else "Hi"}
    if thinks and reasoning:
        message[reasoning] = "We"
    usage = {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}
    head = {"id": "c1", "created": int(time.time()), "model": asked.model}
    if not asked.stream:
        choice = {"index": 0, "message": message, "finish_reason": "length"}
        return {**head, "object": "chat.completion", "choices": [choice], "usage": usage}
    delta = {"index": 0, "delta": message, "finish_reason": None}
    finish = {"index": 0, "delta": {}, "finish_reason": "length"}
    events = [{**head, "choices": [delta]}, {**head, "choices": [finish], "usage": usage}]
    return "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"


def next_utc_midnight() -> float:
    return (time.time() // DAY + 1) * DAY


def next_midnight_in(zone: dt.tzinfo) -> float:
    tomorrow = dt.datetime.now(zone).date() + dt.timedelta(days=1)
    return dt.datetime.combine(tomorrow, dt.time(), zone).timestamp()


def _listed(*names: str) -> Answer:
    return 200, {}, {"object": "list", "data": [{"id": name, "object": "model"} for name in names]}


def _error(status: int, message: str, kind: str, code: str, headers: dict[str, str] | None = None) -> Answer:
    return status, headers or {}, {"error": {"message": message, "type": kind, "param": None, "code": code}}


def _array(status: int, code: int, message: str) -> Answer:
    return (
        status,
        {},
        {"result": None, "success": False, "errors": [{"code": code, "message": message}], "messages": []},
    )


def _google(status: int, word: str, message: str, details: list[Any] | None = None) -> Answer:
    error: dict[str, Any] = {"code": status, "message": message, "status": word}
    return status, {}, {"error": error | ({"details": details} if details else {})}
