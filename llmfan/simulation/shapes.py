"""The shapes of error bodies: (status, code, message, details) to a body, and the codes a reader finds in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Body = dict[str, Any] | list[Any]

_STATUS_WORDS = {
    400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 503: "UNAVAILABLE",
}  # fmt: skip
_CODES: dict[str, str] = {
    "auth": "invalid_api_key", "rate_limited": "rate_limit_exceeded", "quota_exhausted": "rate_limit_exceeded",
    "model_not_found": "model_not_found", "overloaded": "overloaded", "server_error": "internal_error",
    "bad_request": "invalid_request_error", "context_length": "context_length_exceeded",
}  # fmt: skip
_TYPED_CODES: dict[str, str] = {
    "auth": "authentication_error", "rate_limited": "rate_limit_error", "quota_exhausted": "rate_limit_error",
    "model_not_found": "not_found_error", "overloaded": "overloaded_error", "server_error": "api_error",
}  # fmt: skip


def usual_code(shape: str, kind: str, status: int) -> str:
    if shape == "typed":
        return _TYPED_CODES.get(kind, "invalid_request_error")
    if shape in ("google", "list"):
        return _STATUS_WORDS.get(status, "UNKNOWN")
    if shape == "errors_array":
        return str(status)
    return _CODES.get(kind, "error")


def _wrapped(status: int, code: str, message: str, details: list[Any]) -> tuple[Body, list[str]]:
    kind = "invalid_request_error" if status < 429 else "server_error" if status >= 500 else "requests"
    number = int(code) if code.isdigit() else code
    return {"error": {"message": message, "type": kind, "param": None, "code": number}}, [code, kind]


def _flat(status: int, code: str, message: str, details: list[Any]) -> tuple[Body, list[str]]:
    kind = "too_many_requests_error" if status == 429 else "api_error"
    return {"object": "error", "message": message, "type": kind, "param": None, "code": code}, [code, kind]


def _array(status: int, code: str, message: str, details: list[Any]) -> tuple[Body, list[str]]:
    number = int(code) if code.isdigit() else code
    errors = [{"code": number, "message": message}]
    return {"result": None, "success": False, "errors": errors, "messages": []}, [code]


def _message(status: int, code: str, message: str, details: list[Any]) -> tuple[Body, list[str]]:
    return {"id": "00000000-0000-4000-8000-000000000000", "message": message}, []


def _status_title(status: int, code: str, message: str, details: list[Any]) -> tuple[Body, list[str]]:
    return {"status": status, "title": message, "detail": message}, [str(status)]


def _string(status: int, code: str, message: str, details: list[Any]) -> tuple[Body, list[str]]:
    return {"error": message}, []


def _google(status: int, code: str, message: str, details: list[Any]) -> tuple[Body, list[str]]:
    word = _STATUS_WORDS.get(status, "UNKNOWN")
    error: dict[str, Any] = {"code": status, "message": message, "status": word}
    reason = [] if code in ("", word) else [{"@type": "type.googleapis.com/rpc.ErrorInfo", "reason": code}]
    if details or reason:
        error["details"] = [*reason, *details]
    return {"error": error}, [word, *([code] if reason else []), str(status)]


def _list(status: int, code: str, message: str, details: list[Any]) -> tuple[Body, list[str]]:
    body, codes = _google(status, code, message, details)
    return [body], codes


def _typed(status: int, code: str, message: str, details: list[Any]) -> tuple[Body, list[str]]:
    return {"type": "error", "error": {"type": code, "message": message}}, [code]


SHAPES: dict[str, Callable[[int, str, str, list[Any]], tuple[Body, list[str]]]] = {
    "wrapped": _wrapped, "flat": _flat, "list": _list, "errors_array": _array, "message": _message,
    "status_title": _status_title, "string": _string, "google": _google, "typed": _typed,
}  # fmt: skip
