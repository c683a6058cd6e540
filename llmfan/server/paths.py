"""Where what is served, and what is said to those who look elsewhere."""

from __future__ import annotations

from llmfan.server.guard import HEALTH

CHAT, MODELS = "/v1/chat/completions", "/v1/models"
_SERVED = f"POST {CHAT}, GET {MODELS}, /api/llm-providers, /metrics, {HEALTH} and the dashboard at /"


def nowhere(path: str) -> str:
    """With the way out of the commonest mistakes: a base URL with too little or too much, another API of this form."""
    path = path.rstrip("/")
    for served in (CHAT, MODELS):
        if served == f"/v1{path}":
            return f"nothing is served at this path: is /v1 missing from the base URL? It is {served}"
        if path.endswith(served):
            return (
                f"nothing is served at this path: the base URL ends with /v1 and has no path before it; it is {served}"
            )
        if path.startswith(served):
            return f"nothing is served at this path: the base URL ends with /v1, and {served} comes by itself"
    if path.startswith("/v1/"):
        return f"only chat completions are spoken here: POST {CHAT} (and GET {MODELS})"
    return f"nothing is served at this path; there are {_SERVED}"
