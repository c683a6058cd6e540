"""The report's page in a real browser with the network off; left out where there is none."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llmfan.outputs.html.page import Page
from llmfan.outputs.html.render import render
from tests.outputs.html_pages import HOSTILE, empty_run, page, run

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.skipif(BROWSER is None, reason="no browser"),
    pytest.mark.skipif(importlib.util.find_spec("playwright") is None, reason="no playwright"),
]
HEAD = "section.prompts thead th[data-field={}]"
CELLS = "section.prompts tbody tr:not(.texts) th"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"])
        yield started
        started.close()


class Opened:
    """A page that was opened from a file; `troubles`: whatever it complained of or asked the network for."""

    def __init__(self, browser: Any, folder: Path, made: Page, **view: Any):
        path = folder / "report.html"
        path.write_text("".join(render(made)), encoding="utf-8", newline="\n")
        self.context = browser.new_context(offline=True, **view)
        self.tab = self.context.new_page()
        self.troubles: list[str] = []
        self.tab.on("console", lambda said: self.troubles.append(said.text))
        self.tab.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.tab.on("dialog", lambda dialog: (self.troubles.append(dialog.message), dialog.dismiss()))
        self.tab.on("request", lambda asked: self.asked(asked.url))
        self.tab.goto(path.as_uri())
        self.tab.wait_for_selector("html[data-charts=drawn]", state="attached", timeout=30_000)

    def asked(self, url: str) -> None:
        if not url.startswith("file:"):
            self.troubles.append(url)

    def count(self, selector: str) -> int:
        return int(self.tab.locator(selector).count())

    def ids(self) -> list[str]:
        return [str(text) for text in self.tab.locator(CELLS).all_inner_texts()]

    def fits(self) -> bool:
        return bool(self.tab.evaluate("document.documentElement.scrollWidth <= innerWidth"))


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_charts_are_drawn_offline_and_the_page_fits(browser: Any, tmp_path: Path, scheme: str, width: int) -> None:
    """A chart that stays empty, or a page that must be pushed sideways on a phone, is not read to its end."""
    view = {"color_scheme": scheme, "viewport": {"width": width, "height": 900}}
    opened = Opened(browser, tmp_path, page(run(said=HOSTILE)), **view)
    figures = opened.count("figure.chart")
    assert figures == opened.count("figure.chart svg") == 7
    for place in range(figures):
        drawn = opened.tab.locator("figure.chart").nth(place).locator("svg .role-mark path, svg .role-mark text")
        assert drawn.count() > 2
    assert opened.fits()
    assert opened.troubles == []
    opened.context.close()


def test_two_hundred_providers_and_a_thousand_rows(browser: Any, tmp_path: Path) -> None:
    """The table keeps to a page of rows, so that it answers at once."""
    fleet = {f"provider-{i:03d}": 0.3 + i / 50 for i in range(200)}
    opened = Opened(browser, tmp_path, page(run(fleet=fleet, results=10_000, rows=1000)))
    assert opened.count(CELLS) == 50
    opened.tab.get_by_role("button", name="Next").click()
    assert opened.ids()[0].endswith("prompt-0050")
    opened.tab.get_by_role("searchbox").fill("prompt-0777")
    opened.tab.wait_for_selector("section.prompts [role=status]:text('1–1 of 1 ')")
    assert opened.count(CELLS) == 1
    assert opened.troubles == []
    opened.context.close()


def test_prompts_are_searched_sorted_and_opened_by_keyboard(browser: Any, tmp_path: Path) -> None:
    """Whoever has no mouse has the same report."""
    opened = Opened(browser, tmp_path, page(run(rows=120)))
    tab = opened.tab
    tab.locator(HEAD.format("latency_s") + " button").focus()
    tab.keyboard.press("Enter")
    assert tab.locator(HEAD.format("latency_s")).get_attribute("aria-sort") == "descending"
    times = [float(t.split()[0]) for t in tab.locator("section.prompts tbody td:nth-child(4)").all_inner_texts()]
    assert times == sorted(times, reverse=True) and len(times) == 50
    tab.keyboard.press("Enter")
    assert tab.locator(HEAD.format("latency_s")).get_attribute("aria-sort") == "ascending"
    tab.locator("section.prompts select[data-field=why]").select_option("failed")
    assert "1–30 of 30" in tab.get_by_role("status").inner_text()
    tab.get_by_role("searchbox").focus()
    tab.keyboard.type("no byte 24 times")
    tab.wait_for_selector("section.prompts [role=status]:text('1–1 of 1 ')")
    tab.locator("button.open").first.focus()
    tab.keyboard.press("Space")
    assert tab.locator("button.open").first.get_attribute("aria-expanded") == "true"
    assert "times" in tab.locator("tr.texts .said").nth(1).inner_text()
    tab.locator("table[data-sortable] thead button").nth(4).focus()
    tab.keyboard.press("Enter")
    assert tab.locator("table[data-sortable] tbody th").first.inner_text() != ""
    assert opened.troubles == []
    opened.context.close()


def test_what_was_said_is_shown_as_text_with_its_hidden_marks(browser: Any, tmp_path: Path) -> None:
    """A right-to-left mark turns `exe.txt` into `txt.exe`; what cannot be seen must be named."""
    opened = Opened(browser, tmp_path, page(run(said=HOSTILE), title=HOSTILE))
    opened.tab.locator("button.open").first.click()
    said = opened.tab.locator("tr.texts .said").nth(1)
    shown = said.inner_text()
    assert "<script>alert(1)</script>" in shown and "ESC[31mredBEL" in shown and "RLO" in shown and "NUL" in shown
    assert not set(shown) & set("\x00\x1b\u202e\u2066\u2069")
    assert said.evaluate("e => getComputedStyle(e).unicodeBidi + ' ' + e.dir") == "isolate auto"
    assert opened.count("script") == opened.count("script[type]") + 2
    assert opened.troubles == []
    opened.context.close()


def test_another_figure_is_drawn_at_a_choice_and_paper_opens_what_is_folded(browser: Any, tmp_path: Path) -> None:
    """A list that changes nothing is worse than none; on paper nothing can be opened."""
    opened = Opened(browser, tmp_path, page(run(), run(seed=2)))
    opened.tab.locator("select[data-draw]").first.select_option("ttft_s")
    opened.tab.wait_for_selector("#r0-spread[data-drawn=ttft_s]")
    opened.tab.wait_for_selector("#r0-within svg text:text('TTFT, seconds')")
    opened.tab.emulate_media(media="print", color_scheme="dark")
    assert opened.tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    folded = opened.count("details:not([open])")
    opened.tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert folded and not opened.count("details:not([open])")
    opened.tab.evaluate("dispatchEvent(new Event('afterprint'))")
    assert opened.count("details:not([open])") == folded
    assert opened.troubles == []
    opened.context.close()


def test_a_run_without_any_answer_has_a_page_too(browser: Any, tmp_path: Path) -> None:
    """The report of a run in which all failed is the one most needed."""
    opened = Opened(browser, tmp_path, page(empty_run()))
    assert opened.count("figure.chart") == 0 and opened.count("section") == 7
    assert opened.troubles == []
    opened.context.close()
