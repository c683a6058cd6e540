"""The dashboard: one page out of files of the package. What it shows comes over `/events`, which is not here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib.resources import files

from aiohttp import web

#: Route → (file, media type). Nothing that is not named here is served, whatever else lies beside it.
PAGES = {
    "/": ("index.html", "text/html"),
    "/dashboard.css": ("dashboard.css", "text/css"),
    **{
        f"/{name}.js": (f"{name}.js", "text/javascript")
        for name in (
            "dashboard", "dashboard-charts", "dashboard-fleet", "dashboard-rows", "dashboard-stream",
            "dashboard-theme", "dashboard-totals", "dashboard-words",
        )
    },
}  # fmt: skip
#: Provider names, models and error messages are strangers' words: no script but these files may ever run.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",  # another llmfan may be at the same port a minute later
    "Referrer-Policy": "no-referrer",
}


def add_pages(app: web.Application) -> None:
    """Serves the page and its files. They are read once, here: an upgrade under a running server cannot mix two."""
    for route, (name, media_type) in PAGES.items():
        body = (files("llmfan.server") / "page" / name).read_bytes()
        app.router.add_get(route, _serving(body, media_type))


def _serving(body: bytes, media_type: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def serve(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type=media_type, charset="utf-8", headers=HEADERS)

    return serve
