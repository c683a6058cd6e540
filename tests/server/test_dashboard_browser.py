"""The dashboard in a real browser, before a server that says what a test wants it to; left out where there is none."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import re
import shutil
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import web

from llmfan.server.dashboard import add_pages
from tests.server.dashboard_documents import HOSTILE, document_of

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.skipif(BROWSER is None, reason="no browser"),
    pytest.mark.skipif(importlib.util.find_spec("playwright") is None, reason="no playwright"),
]
#: The least contrast of any text with what lies behind it, and whose it is.
LEAST_CONTRAST = """() => {
  const parsed = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = (color) => {
    const [r, g, b] = parsed(color).map((v) => (v / 255 <= 0.03928 ? v / 3294.6 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (e) => {
    for (; e; e = e.parentElement) {
      const color = getComputedStyle(e).backgroundColor;
      if (parsed(color)[3] !== 0) return color;
    }
    return "rgb(255, 255, 255)";
  };
  let least = [99, ""];
  for (const e of document.querySelectorAll("body *")) {
    if (![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()) || !e.getClientRects().length) continue;
    const style = getComputedStyle(e);
    const [a, b] = [light(e.namespaceURI.endsWith("svg") ? style.fill : style.color), light(behind(e))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < least[0]) least = [ratio, e.outerHTML.slice(0, 200)];
  }
  return least;
}"""
#: Marks an element, and counts how often something is said.
WATCH_CHANGES = """(e) => {
  e.mark = 1;
  window.heard = 0;
  new MutationObserver(() => heard++).observe(document.getElementById("changes"), {childList: true});
}"""
WIDE = "document.documentElement.scrollWidth - innerWidth"


class Desk:
    """Serves the page from a thread of its own. `say`: to who listens now, and to whoever comes after."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.said = b""
        self.listeners: dict[web.StreamResponse, asyncio.Event] = {}
        self.refusing = False
        self.status = 200
        self.address = ""
        self._runner: web.AppRunner | None = None
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self._do(self._open())

    def say(self, document: dict[str, Any]) -> None:
        self._do(self._say(b"data: " + json.dumps(document).encode() + b"\n\n"))

    def end(self) -> None:
        self._do(self._say(b"event: end\ndata: {}\n\n"))

    def drop(self) -> None:
        self.refusing = True
        self._do(self._drop())

    def come_back(self) -> None:
        self.refusing = False

    def close(self) -> None:
        self.drop()
        assert self._runner is not None
        self._do(self._runner.cleanup())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    def _do(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self.loop).result(10)

    async def _open(self) -> None:
        app = web.Application()
        add_pages(app)
        app.router.add_get("/events", self._events)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.address = f"http://127.0.0.1:{self._runner.addresses[0][1]}/"

    async def _events(self, request: web.Request) -> web.StreamResponse:
        if self.status != 200:
            return web.Response(status=self.status)
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        stream.enable_chunked_encoding()
        await stream.prepare(request)
        await stream.write(b"retry: 100\n\n")
        if self.refusing:
            return stream
        await stream.write(self.said)
        self.listeners[stream] = asyncio.Event()
        await self.listeners[stream].wait()
        return stream

    async def _say(self, event: bytes) -> None:
        self.said = event
        for stream in list(self.listeners):
            try:
                await stream.write(event)
            except ConnectionError:
                self.listeners.pop(stream).set()

    async def _drop(self) -> None:
        while self.listeners:
            self.listeners.popitem()[1].set()


class Seen:
    """The page as it stands. `troubles`: whatever it complained of, or asked anybody but its own server for."""

    def __init__(self, tab: Any, desk: Desk):
        self.tab, self.desk = tab, desk
        self.troubles: list[str] = []
        tab.on("console", lambda said: self.troubles.append(said.text))
        tab.on("pageerror", lambda error: self.troubles.append(str(error)))
        tab.on("dialog", self._asks)
        tab.on("request", lambda asked: self._asked(asked.url))

    def open(self, document: dict[str, Any]) -> None:
        self.desk.come_back()
        self.desk.say(document)
        self.tab.goto(self.desk.address)
        self.tab.wait_for_selector("#keys tbody tr", state="attached")

    def text(self, selector: str) -> str:
        return re.sub(r"\s+", " ", str(self.tab.locator(selector).first.inner_text())).strip()

    def texts(self, selector: str) -> list[str]:
        return [re.sub(r"\s+", " ", each).strip() for each in self.tab.locator(selector).all_inner_texts()]

    def row(self, key: str, cell: str) -> str:
        return self.text(f"#keys tbody tr:has(.open:text-is('{key}')) {cell}")

    def until(self, selector: str, words: str) -> None:
        self.tab.wait_for_selector(f"{selector}:has-text('{words}')", timeout=8000)

    def _asks(self, dialog: Any) -> None:
        self.troubles.append(dialog.message)
        dialog.dismiss()

    def _asked(self, url: str) -> None:
        if not url.startswith((self.desk.address, "data:,")):
            self.troubles.append(url)


@pytest.fixture(scope="module")
def seen() -> Iterator[Seen]:
    from playwright.sync_api import sync_playwright

    desk = Desk()
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"])
        context = started.new_context(color_scheme="light", viewport={"width": 1280, "height": 900})
        yield Seen(context.new_page(), desk)
        started.close()
    desk.close()


def test_figures_are_those_of_the_document_and_what_is_undefined_is_no_nought(seen: Seen) -> None:
    """A cost of 0 that nobody knows, or a limit that is none, is believed."""
    document = document_of()
    seen.open(document)
    assert seen.text("#simulated").startswith("simulated") and seen.text("#what") == "serve"
    assert seen.text("[data-figure=cost_usd]") == "—" == seen.text("[data-figure=ttft_p50_s]")
    assert seen.text("[data-figure=waiting]") == "121" and seen.text("[data-figure=waiting_note]") == "3 interactive"
    assert seen.text("[data-figure=requests_per_s]") == "3.42" and seen.text("[data-figure=latency_p95_s]") == "2.9 s"
    assert seen.row("ash#1", ".pace") == "rpm 28 /30 tpm 3,100 /6,000"
    assert seen.row("ash#1", ".quota") == "rpd 312 /14.4k"
    assert seen.row("ash#2", ".quota") == "rpd 950 /1,000"  # reported, where 14,400 are declared
    assert seen.row("dogwood#1", ".pace") == "rpm 7 /≈28"  # nobody said how many
    assert seen.row("fir#1", ".pace") == "no limit known" == seen.row("fir#1", ".quota")
    assert seen.row("fir#1", ".p50") == "—"
    for entry in document["status"]["quota_status"].values():
        for key in entry["keys"]:
            if key["state"] != "missing" and len(entry["models"]) == 1:
                assert seen.row(key["key"], ".word") == key["state"]
    assert seen.tab.locator("#keys tbody .shape path").count() == 8
    assert len(set(seen.tab.eval_on_selector_all(".chip path", "all => all.map((e) => e.getAttribute('d'))"))) == 5
    assert seen.texts("#failures tbody tr")[0].endswith(
        "server error 503 upstream connect error or disconnect before headers"
    )
    assert "last 2.90/s" in str(seen.tab.text_content("#throughput-chart desc"))
    assert seen.troubles == []


def test_a_change_of_state_is_said_once_and_the_row_stays_the_same_row(seen: Seen) -> None:
    """Who listens to the page hears what has happened, not sixty figures a minute; who is on a button stays on it."""
    seen.open(document_of())
    assert seen.text("#changes") == ""
    button = seen.tab.locator("#keys tbody .open:text-is('ash#2')")
    button.focus()
    button.evaluate(WATCH_CHANGES)
    seen.tab.locator("th[data-sort=quota] button").evaluate("e => e.click()")
    assert seen.texts("#keys tbody .open")[0] == "ash#2"
    seen.desk.say(document_of(resting=False, done=413))
    seen.until("#changes", "ash#2 is ready again")
    seen.desk.say(document_of(resting=False, done=414))
    seen.until("[data-figure=ok]", "405")
    assert seen.tab.evaluate("[document.activeElement.mark, heard]") == [1, 1]
    assert seen.tab.locator("#changes[role=status]").count() == 1
    assert seen.tab.locator("#keys [aria-live], .tiles [aria-live], figure [aria-live]").count() == 0
    assert seen.troubles == []


def test_a_countdown_goes_on_between_two_documents(seen: Seen) -> None:
    """A server that is busy says something now and then; a clock that stands looks like a page that hangs."""
    seen.open(document_of())
    left = int(seen.row("ash#2", ".back").split()[2])
    assert left > 2
    seen.until("#keys .back", f"back in {left - 1} s")


def test_what_strangers_say_is_text(seen: Seen) -> None:
    """A provider's error message with markup in it must not become part of the page; nor turn its direction."""
    seen.open(document_of(said=HOSTILE, total=1319))
    message = seen.text("#failures tbody .message")
    assert message.startswith("<img src=x onerror=alert(1)><script>alert(2)</script>\\u202egnp.exe\\x1b[31m\\x0a")
    seen.tab.locator(".chip:has-text('missing')").click()
    assert len([name for name in seen.texts("#keys tbody .open") if name.startswith("<img")]) == 2
    assert seen.tab.locator("img, body script, iframe").count() == 0
    for width in (1280, 390):
        seen.tab.set_viewport_size({"width": width, "height": 900})
        assert seen.tab.evaluate(WIDE) <= 0
    seen.tab.set_viewport_size({"width": 1280, "height": 900})
    assert seen.troubles == []


def test_it_stands_still_for_those_who_read(seen: Seen) -> None:
    """Figures that change while one compares them cannot be compared."""
    seen.open(document_of(done=500))
    seen.tab.locator("#pause").focus()
    seen.tab.keyboard.press("Enter")
    assert seen.tab.locator("#pause").get_attribute("aria-pressed") == "true"
    seen.until("#news", "Paused")
    seen.desk.say(document_of(done=600))
    seen.tab.wait_for_timeout(150)
    assert seen.text("[data-figure=ok]") == "491"
    seen.tab.keyboard.press("Enter")
    seen.until("[data-figure=ok]", "591")
    assert seen.text("#news") == ""
    assert seen.troubles == []


def test_headings_sort_and_rows_unfold_by_keyboard(seen: Seen) -> None:
    """Whoever has no mouse has the same page."""
    seen.open(document_of())
    seen.tab.keyboard.press("Tab")
    assert seen.tab.evaluate("document.activeElement.hash") == "#keys"
    head = seen.tab.locator("th[data-sort=ok]")
    head.locator("button").focus()
    seen.tab.keyboard.press("Enter")
    counts = [int(text.replace(",", "")) for text in seen.texts("#keys tbody tr:not([hidden]) td.ok")]
    assert head.get_attribute("aria-sort") == "descending"
    assert len(counts) == 7 and counts == sorted(counts, reverse=True)
    seen.tab.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    seen.tab.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") is None and seen.texts("#keys tbody .open")[0] == "ash#1"
    seen.tab.locator("#keys tbody .open:text-is('ash#2')").focus()
    seen.tab.keyboard.press("Space")
    assert "950 used of 1,000; reported 1,000 (in force); declared 14,400" in seen.text("#keys tr.more")
    seen.tab.keyboard.press("Space")
    assert seen.tab.locator("#keys tr.more").count() == 0
    seen.tab.locator("#latency summary").focus()
    seen.tab.keyboard.press("Enter")
    seen.tab.wait_for_selector("#latency tbody tr")
    assert seen.tab.locator("#latency tbody tr").count() == 60 and "— —" in " ".join(seen.texts("#latency tbody tr"))
    assert seen.troubles == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read_on_a_desk_and_on_a_phone(seen: Seen, scheme: str) -> None:
    """Grey on grey, or a page that must be pushed sideways, is not watched."""
    seen.tab.emulate_media(color_scheme=scheme)
    seen.open(document_of(total=1319))
    seen.tab.locator(".chip:has-text('missing')").click()
    for width in (1280, 800, 390):
        seen.tab.set_viewport_size({"width": width, "height": 900})
        ratio, whose = seen.tab.evaluate(LEAST_CONTRAST)
        assert ratio >= 4.5, whose
        assert seen.tab.evaluate(WIDE) <= 0
    seen.tab.set_viewport_size({"width": 1280, "height": 900})
    other = "dark" if scheme == "light" else "light"
    seen.tab.locator("#theme").click()
    seen.tab.reload()
    assert seen.tab.evaluate("getComputedStyle(document.documentElement).colorScheme") == other
    seen.tab.evaluate("localStorage.clear()")
    assert seen.troubles == []


def test_the_end_of_a_run_is_said_and_its_figures_stay(seen: Seen) -> None:
    """A run that has ended takes its server with it: that is no fault, and its last figures are the ones wanted."""
    seen.open(document_of(total=1319))
    assert seen.text("#progress-words").startswith("412 of 1,319 (31 %), about 4 m 25 s left")
    assert seen.text("[data-figure=waiting]") == "907"
    seen.desk.say(document_of(total=1319, done=1319))
    seen.until("#news", "The run has ended: 1,319 of 1,319 done, 9 failed.")
    seen.desk.say(document_of(total=1319, done=700))  # another one, which is broken off
    seen.tab.wait_for_selector("#news:empty", state="attached")
    seen.desk.end()
    seen.until("#news", "The run has ended: 700 of 1,319 done, 9 failed.")
    seen.desk.drop()
    seen.tab.wait_for_timeout(250)
    assert "ended" in seen.text("#news") and seen.tab.locator("[data-stale]").count() == 0


def test_a_lost_connection_is_said_until_it_is_back(seen: Seen) -> None:
    """Old figures that look like new ones are worse than none."""
    seen.open(document_of())
    seen.desk.drop()
    seen.until("#news[role=status]", "Connection lost, trying again.")
    assert "The figures are of" in seen.text("#news") and seen.tab.locator("main[data-stale]").count() == 1
    assert seen.tab.evaluate(LEAST_CONTRAST)[0] >= 4.5
    standing = seen.row("ash#2", ".back")
    seen.desk.come_back()
    seen.tab.wait_for_selector("main:not([data-stale])")
    assert seen.text("#news") == "" and standing.startswith("back in")


def test_a_server_that_says_nothing_or_something_else_is_asked_again(seen: Seen) -> None:
    """The browser tries again by itself after a break only: not where the line is open and silent, nor after a 503."""
    seen.tab.clock.install()
    seen.open(document_of(done=500))
    seen.desk.status = 503
    seen.tab.clock.run_for(16_000)
    seen.until("#news", "No news for 15 seconds, connecting again.")
    seen.tab.clock.run_for(3_000)
    seen.until("#news", "Connection lost, trying again.")
    seen.desk.status = 200
    seen.tab.clock.run_for(3_000)
    seen.tab.wait_for_selector("main:not([data-stale])")
    assert seen.text("#news") == ""
