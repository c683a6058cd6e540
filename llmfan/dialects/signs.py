"""What failures mean wherever they come from: rows in the form of the catalogue's, read after a provider's own.

Order matters: the first row that fits is taken. Rows with a sign (a code, words) come before those with a status
alone; `classify` reads both kinds of the catalogue and of this table in that order.
"""

from __future__ import annotations

from llmfan.settings import ErrorRow

_PAID = (
    r"insufficient_(quota|credits?|balance|funds)|credit_balance_\w+|(organization|project)_(spend|usage)_limit_exceeded"
    r"|enforced_spend_limit_reached|billing_(hard_limit_reached|not_active|error)"
)
_PAID_WORDS = (
    r"insufficient (quota|credits?|balance|funds)|credit balance|out of credits|spend(ing)? limit|billing hard limit"
    r"|(account|billing) is not active|exceeded your current quota,? please check your plan"
)
_TOO_LONG = (
    r"context[_ -]?(length|window|size)|maximum context|(prompt|input|messages?|request) (is |are )?too (long|large)"
    r"|too many (input )?tokens|reduce the length|longer than the model"
)
_FILTERED = (
    r"content[ _-]?(filter|policy|management|moderation)|safety (system|filter|policy)|usage polic|requires moderation"
    r"|flagged"
)
_BUSY = (
    r"\boverloaded\b|(at|over) capacity|capacity (is )?(temporarily )?(exceeded|exhausted|reached)|queue (is )?full"
    r"|high (traffic|demand|load)|too much traffic|server is busy"
)
_MINUTES = r"\((RPS|RPM|RPH|TPS|TPM|TPH|ITPM|OTPM|IPM|ASH)\): limit"
#: A text that names a minute as well as a day gives no day away.
_DAYS = r"(?s)^(?!.*(per|/)[ -]?(second|min)).*(per[ -]day|per[ -]month|\bdaily\b|\bmonthly\b|/ ?(day|month)\b)"


def _row(kind: str, scope: str, *status: int, **signs: object) -> ErrorRow:
    return ErrorRow(kind=kind, scope=scope, status=list(status), **signs)  # type: ignore[arg-type]


ROWS: tuple[ErrorRow, ...] = (
    # A refusal for money that passes as soon as calls in flight are settled is no empty purse.
    _row("rate_limited", "account", 402, 403, 429, body=r"in[_-]flight[_-]budget"),
    _row("quota_exhausted", "account_model", 429, message=r"\blimit: ?0\b(?!\.)", permanent=True),
    _row("bad_request", "request", 429, message=r"request too large"),
    _row("quota_exhausted", "account_model", 429, code=r".*PerDay.*", until="day"),
    _row("rate_limited", "account_model", 429, code=r".*PerMinute.*"),
    _row("quota_exhausted", "account_model", 429, message=r"\((RPD|TPD|ASD)\)"),
    _row("rate_limited", "account_model", 429, message=_MINUTES),
    # The same words on plan and billing stand in every refusal of this shape, those of a minute's limit too.
    _row("rate_limited", "account_model", 429, code=r"RESOURCE_EXHAUSTED"),
    _row("payment_required", "account", 429, 400, 403, code=_PAID, permanent=True),
    _row("payment_required", "account", 429, 400, 403, message=_PAID_WORDS, permanent=True),
    _row("overloaded", "model", 429, code=r"\w*(queue|capacity)_(exceeded|exhausted)|\w*overloaded\w*"),
    _row("overloaded", "model", 429, message=_BUSY),
    _row("quota_exhausted", "account_model", 429, message=_DAYS),
    _row("context_length", "request", 400, 413, 422, code=r"context_length_exceeded|exceed_context_size\w*"),
    _row("context_length", "request", 400, 413, 422, message=_TOO_LONG),
    _row("content_filter", "request", 400, 403, 422, code=r"content_(filter|policy)\w*|ResponsibleAIPolicyViolation"),
    _row("content_filter", "request", 400, 403, 422, message=_FILTERED),
    _row("auth", "key", 400, 422, code=r"(invalid_api_key|api_key_invalid|wrong_api_key)", permanent=True),
    _row("auth", "key", 400, message=r"api[ _-]?key\b.*(invalid|not valid|expired|incorrect|missing)", permanent=True),
    _row("auth", "key", 400, message=r"(invalid|incorrect|expired|missing) api[ _-]?key", permanent=True),
    _row("model_not_found", "account_model", 400, 422, code=r"model_(not_found|decommissioned|deprecated|not_active)",
         permanent=True),
    _row("model_not_found", "account_model", 400, 422, permanent=True,
         message=r"\bmodel\b.{0,80}(not found|does not exist|decommissioned)|(unknown|invalid|no such) model"),
    # From here on the status alone speaks.
    _row("auth", "key", 401, 403, permanent=True),
    _row("payment_required", "account", 402, permanent=True),
    _row("model_not_found", "account_model", 404, 405, 410, permanent=True),
    _row("connection", "provider", 407, permanent=True),
    _row("timeout", "provider", 408),
    _row("server_error", "provider", 409),
    _row("context_length", "request", 413),
    _row("bad_request", "request", 400, 422),
    _row("rate_limited", "account_model", 429),
    _row("overloaded", "model", 498, 503, 529),
)  # fmt: skip

#: Errors inside an answer with status 200 often give a word in the place of a number: the status it stands for.
STATUS_WORDS: tuple[tuple[str, int], ...] = (
    (r"rate_limit\w*|too_many_requests|resource_exhausted|\w*quota_exceeded|insufficient_quota", 429),
    (r"\w*overloaded\w*|unavailable\w*|\w*(queue|capacity)_(exceeded|exhausted)|service_unavailable\w*", 503),
    (r"timeout\w*|deadline_exceeded", 504),
    (r"authentication_error|unauthenticated|invalid_api_key", 401),
    (r"permission_(error|denied)", 403),
    (r"billing_error|payment_required", 402),
    (r"not_found(_error)?|model_not_found", 404),
    (r"request_too_large", 413),
    (r"invalid_request_error|invalid_argument|bad_request|context_length_exceeded|content_(filter|policy)\w*", 400),
    (r"api_error|internal\w*|server_error", 500),
)
