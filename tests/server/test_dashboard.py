"""The dashboard's files: what is served with which headers, and that nothing in them reaches outside."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from llmfan.server.dashboard import PAGES, add_pages

FOLDER = Path(str(files("llmfan.server") / "page"))
FILES = sorted(path.name for path in FOLDER.iterdir())
SCRIPTS = [name for name in FILES if name.endswith(".js")]


class Reader(HTMLParser):
    """The elements, with their attributes; what is open must be closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.scripted = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("script", "style"):
            self.scripted += data


def read() -> Reader:
    reader = Reader()
    reader.feed((FOLDER / "index.html").read_text(encoding="utf-8"))
    reader.close()
    assert not reader.open
    return reader


async def _answers() -> dict[str, tuple[int, dict[str, str], bytes]]:
    app = web.Application()
    add_pages(app)
    async with TestClient(TestServer(app)) as client:
        found = {}
        for route in [*PAGES, "/index.html", "/page/index.html", "/dashboard.py", "/..%2fdashboard.py"]:
            async with client.get(route) as answer:
                found[route] = answer.status, dict(answer.headers), await answer.read()
        return found


@pytest.fixture(scope="module")
def answers() -> dict[str, tuple[int, dict[str, str], bytes]]:
    import asyncio

    return asyncio.run(_answers())


def test_each_file_is_served_as_what_it_is(answers: dict[str, tuple[int, dict[str, str], bytes]]) -> None:
    """A file left out of the table is a page that stays empty; one file too many may be somebody's secret."""
    assert sorted(name for name, _ in PAGES.values()) == FILES
    for route, (name, media_type) in PAGES.items():
        status, headers, body = answers[route]
        assert status == 200 and headers["Content-Type"] == f"{media_type}; charset=utf-8"
        assert body == (FOLDER / name).read_bytes()
    assert {answers[route][0] for route in answers if route not in PAGES} == {404}


def test_no_script_but_the_pages_own_may_run_and_nobody_else_may_be_asked(
    answers: dict[str, tuple[int, dict[str, str], bytes]],
) -> None:
    """Names and messages on the page are strangers' words: one hole, and a stranger's script drives the fleet."""
    for route in PAGES:
        headers = answers[route][1]
        policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
        assert policy == {
            "default-src": "'none'", "script-src": "'self'", "style-src": "'self'", "connect-src": "'self'",
            "img-src": "'self' data:", "base-uri": "'none'", "form-action": "'none'", "frame-ancestors": "'none'",
        }  # fmt: skip
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        assert headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize("name", FILES)
def test_no_file_names_an_address_outside(name: str) -> None:
    """A page that fetches from elsewhere tells elsewhere who watches what, and is broken where there is no network."""
    said = (FOLDER / name).read_text(encoding="utf-8")
    assert not re.search(r"https?:|wss?://|[\"'(]//[a-z0-9-]+\.[a-z]|@import|url\((?!#)", said, re.IGNORECASE)


@pytest.mark.parametrize("name", SCRIPTS)
def test_no_script_makes_markup_of_text(name: str) -> None:
    """The policy would stop a script in it, but not a form, a link or a faked row."""
    said = (FOLDER / name).read_text(encoding="utf-8")
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|eval\(|new Function|setHTML", said
    )
    imported = re.findall(r'from "\./([^"]+)"', said)
    assert set(imported) <= set(SCRIPTS) and said.count("import ") == len(imported)


def test_the_page_needs_nothing_that_its_policy_forbids() -> None:
    """What is written into the page itself is left out by the browser without a word to the reader."""
    reader = read()
    assert not reader.scripted
    for tag, attrs in reader.tags:
        assert not any(name.startswith("on") or name == "style" for name in attrs), tag
        assert {*attrs} & {"src", "href"} <= ({"href"} if tag in ("a", "link") else {"src"}), tag
    asked = [str(attrs.get("src") or attrs.get("href")) for tag, attrs in reader.tags if tag in ("script", "link")]
    assert {f"/{each}" for each in asked if each != "data:,"} <= PAGES.keys()


def test_the_page_can_be_read_without_seeing_it() -> None:
    """A table without headings, or a button without a name, is a wall to whoever listens to the page."""
    reader = read()
    idents = [str(attrs["id"]) for _, attrs in reader.tags if "id" in attrs]
    assert len(idents) == len(set(idents))
    for tag, attrs in reader.tags:
        assert str(attrs.get("aria-labelledby", idents[0])) in idents
        assert tag != "th" or attrs.get("scope") == "col"
    tags = [tag for tag, _ in reader.tags]
    assert tags.count("main") == tags.count("header") == tags.count("h1") == 1
    assert tags.count("caption") == tags.count("table") == 4
    assert ("html", {"lang": "en"}) in reader.tags


def test_the_files_are_in_the_package() -> None:
    """An install whose dashboard is missing starts, and fails when somebody looks."""
    builder = pytest.importorskip("hatchling.builders.wheel").WheelBuilder
    root = Path(__file__).parents[2]
    packed = {each.distribution_path for each in builder(str(root)).recurse_included_files()}
    assert {f"llmfan/server/page/{name}" for name in FILES} <= {path.replace("\\", "/") for path in packed}
