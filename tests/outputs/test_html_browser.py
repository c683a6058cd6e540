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
NAMES = "figure.chart .names_marks text"
OVERPRINTED = f"""() => {{
  const boxes = [...document.querySelectorAll("{NAMES}")].map((each) => each.getBoundingClientRect());
  const over = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
  return boxes.some((a, place) => boxes.slice(0, place).some((b) => over(a, b)));
}}"""


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    """One page for all: to open it, with the library in it, takes longer than whatever is done with it."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"])
        context = started.new_context(offline=True, color_scheme="dark", viewport={"width": 390, "height": 900})
        page_ = Opened(context.new_page())
        page_.open(tmp_path_factory.mktemp("page"), page(run(rows=120, said=HOSTILE), title=HOSTILE))
        yield page_
        started.close()


class Opened:
    """A page that was opened from a file; `troubles`: whatever it complained of or asked the network for."""

    def __init__(self, tab: Any):
        self.tab = tab
        self.troubles: list[str] = []
        tab.on("console", lambda said: self.troubles.append(said.text))
        tab.on("pageerror", lambda error: self.troubles.append(str(error)))
        tab.on("dialog", self.asks)
        tab.on("request", lambda asked: self.asked(asked.url))

    def open(self, folder: Path, made: Page) -> None:
        path = folder / "report.html"
        path.write_text("".join(render(made)), encoding="utf-8", newline="\n")
        self.tab.goto(path.as_uri())
        self.tab.wait_for_selector("html[data-charts=drawn]", state="attached", timeout=30_000)

    def asks(self, dialog: Any) -> None:
        self.troubles.append(dialog.message)
        dialog.dismiss()

    def asked(self, url: str) -> None:
        if not url.startswith("file:"):
            self.troubles.append(url)

    def count(self, selector: str) -> int:
        return int(self.tab.locator(selector).count())

    def ids(self) -> list[str]:
        return [str(text) for text in self.tab.locator(CELLS).all_inner_texts()]

    def charts_fit(self) -> bool:
        """Seven of them, none empty, none wider than its place, and no name over another."""
        figures = self.count("figure.chart")
        assert figures == self.count("figure.chart svg") == 7
        for place in range(figures):
            drawn = self.tab.locator("figure.chart").nth(place).locator("svg .role-mark path, svg .role-mark text")
            assert drawn.count() > 2
        assert self.count(NAMES) > 2 and not self.tab.evaluate(OVERPRINTED)
        return bool(self.tab.evaluate("document.documentElement.scrollWidth <= innerWidth"))


def test_charts_are_drawn_offline_and_follow_the_width_of_the_page(opened: Opened) -> None:
    """A chart that stays empty, or a page that must be pushed sideways on a phone, is not read to its end."""
    tab = opened.tab
    assert opened.charts_fit()
    tab.emulate_media(color_scheme="light")
    tab.set_viewport_size({"width": 1280, "height": 900})
    wide = "[...document.querySelectorAll('.draw svg')].every(e => e.viewBox.baseVal.width > 500)"
    for _ in range(100):  # the page's policy keeps the driver's own way of waiting out
        if tab.evaluate(wide):
            break
        tab.wait_for_timeout(50)
    tab.wait_for_timeout(100)
    assert opened.charts_fit()
    assert opened.troubles == []


def test_prompts_are_searched_sorted_and_opened_by_keyboard(opened: Opened) -> None:
    """Whoever has no mouse has the same report."""
    tab = opened.tab
    tab.get_by_role("button", name="Next").focus()
    for _ in range(3):  # past the end: the button is off, and keeps the focus all the same
        tab.keyboard.press("Enter")
    assert len(opened.ids()) == 20 and opened.ids()[0].startswith("prompt-0100")
    assert tab.evaluate("document.activeElement.textContent") == "Next"
    assert tab.evaluate("document.activeElement.getAttribute('aria-disabled')") == "true"
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
    tab.locator("table[data-sortable] thead button").nth(4).focus()
    tab.keyboard.press("Enter")
    assert tab.locator("table[data-sortable] tbody th").first.inner_text() != ""
    assert opened.troubles == []


def test_what_was_said_is_shown_as_text_with_its_hidden_marks(opened: Opened) -> None:
    """A right-to-left mark turns `exe.txt` into `txt.exe`; what cannot be seen must be named."""
    opened.tab.locator("section.prompts select[data-field=why]").select_option("sample")
    opened.tab.get_by_role("searchbox").fill("prompt-0003")
    opened.tab.wait_for_selector("section.prompts [role=status]:text('1–1 of 1 ')")
    opened.tab.locator("button.open").first.click()
    said = opened.tab.locator("tr.texts .said").first
    shown = said.inner_text()
    assert "What is 3 times 4?" in shown
    assert "<script>alert(1)</script>" in shown and "ESC[31mredBEL" in shown and "RLO" in shown and "NUL" in shown
    assert not set(shown) & set("\x00\x1b\u202e\u2066\u2069")
    assert said.evaluate("e => getComputedStyle(e).unicodeBidi + ' ' + e.dir") == "isolate auto"
    assert opened.count("script") == opened.count("script[type]") + 2
    assert opened.troubles == []


def test_another_figure_is_drawn_at_a_choice_and_paper_opens_what_is_folded(opened: Opened) -> None:
    """A list that changes nothing is worse than none; on paper nothing can be opened."""
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


def test_a_run_without_any_answer_has_a_page_too(opened: Opened, tmp_path: Path) -> None:
    """The report of a run in which all failed is the one most needed."""
    opened.open(tmp_path, page(empty_run()))
    assert opened.count("figure.chart") == 0 and opened.count("section") == 7
    assert opened.troubles == []
