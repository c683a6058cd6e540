"""What came with status 200 and is no answer."""

from __future__ import annotations

from collections.abc import Mapping

from llmfan.dialects.bodies import encoded, error_in, is_html, one_line, plain, read_error
from llmfan.dialects.classify import classify_inside
from llmfan.dialects.headers import until_date, value_of
from llmfan.records import Failure
from llmfan.settings import Preset


def no_answer(body: bytes, headers: Mapping[str, str], preset: Preset, wanted: str) -> Failure:
    """A body with status 200 that holds no answer: an error after all, or nothing that can be read."""
    if not body:
        return bad_response("an empty body")
    if is_html(body):
        return bad_response(f"an HTML page: {read_error(body).message}")
    value = plain(body)
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, dict):
        return bad_response("a body that is not a JSON object")
    error = error_in(value)
    if error is None:
        return bad_response(f"a JSON body without {wanted}: {read_error(body).message}".removesuffix(": "))
    return classify_inside(encoded(error), headers, preset, server_time(headers))


def server_time(headers: Mapping[str, str]) -> float | None:
    """The server's own clock, from its `Date`: an answer is read without one of ours."""
    text = value_of(headers, "date")
    return until_date(text, 0.0) if text else None


def bad_response(message: str, *, ambiguous: bool = False) -> Failure:
    return Failure(
        kind="bad_response", scope="provider", message=one_line(message), http_status=200, ambiguous=ambiguous
    )


def filtered(message: str) -> Failure:
    return Failure(kind="content_filter", scope="request", message=message, http_status=200)
