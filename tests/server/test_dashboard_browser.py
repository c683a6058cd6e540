"""The dashboard in a real browser, before a server that says what a test wants it to; left out where there is none."""

from __future__ import annotations

import importlib.util
import re
import shutil
from collections.abc import Iterator

import pytest

from tests.server.dashboard_documents import HOSTILE, document_of
from tests.server.dashboard_tab import Desk, Seen

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
                assert seen.row(key["key"], ".word") == ("window full" if key["key"] == "ash#1" else key["state"])
    assert seen.tab.locator("#keys tbody .shape path").count() == 8
    assert len(set(seen.tab.eval_on_selector_all(".chip path", "all => all.map((e) => e.getAttribute('d'))"))) == 6
    assert seen.texts("#failures tbody tr")[0].endswith(
        "server error 503 upstream connect error or disconnect before headers"
    )
    assert "last 2.90/s" in str(seen.tab.text_content("#throughput-chart desc"))
    assert seen.troubles == []


def test_a_ready_key_whose_window_is_full_is_told_from_one_that_has_room(seen: Seen) -> None:
    """`11 ready` beside forty calls that wait and none in flight looks like a service that hangs."""
    document = document_of()
    seen.open(document)
    assert re.fullmatch(r"window full · [345] s rpm", seen.row("ash#1", ".state"))
    assert "1 window full" in seen.texts(".chip") and "3 ready" in seen.texts(".chip")
    colours = [seen.tab.evaluate("(s) => getComputedStyle(document.querySelector(s)).color", f".chip.{name} .shape")
               for name in ("ready", "window-full", "cooldown")]  # fmt: skip
    assert len(set(colours)) == 3
    seen.tab.locator(".chip:has-text('window full')").click()
    assert "ash#1" not in seen.texts("#keys tbody tr:not([hidden]) .open")
    seen.tab.locator(".chip:has-text('window full')").click()
    idle = document["status"]["quota_status"]["dogwood"]["keys"][0]  # nothing waits for it, but the next call would
    idle["available_in_s"] = idle["limits"]["rpm"]["resets_in_s"] = 31.0
    idle["limits"]["rpm"] |= {"used": 40, "left": 0}
    seen.desk.say(document)
    seen.until("#keys .back", "· 31 s")
    assert seen.row("dogwood#1", ".state") == "window full · 31 s rpm"
    assert seen.row("dogwood#1", ".pace") == "rpm 40 /≈28" and seen.text("#learned").startswith("≈ a limit that nobody")
    bar = seen.tab.locator("#keys tbody tr:has(.open:text-is('dogwood#1')) .pace .bar")
    assert bar.evaluate("e => e.firstChild.offsetWidth <= e.offsetWidth")
    assert "learned from what was let through" in str(seen.tab.get_attribute(".meter:has-text('≈28')", "title"))
    assert seen.text("#changes") == "", "windows fill and empty all the time"
    assert seen.troubles == []


def test_failed_calls_are_told_from_failed_attempts(seen: Seen) -> None:
    """`0 % of 274` and `failed 1` for attempts that another one made good: neither is what happened."""
    document = document_of()
    document["now"] |= {"failed": 1, "done": 274}
    seen.open(document)
    assert seen.text("[data-figure=failed]") == "1" and seen.text("[data-figure=failed_note]") == "0.4 % of 274"
    assert seen.text("[data-figure=attempts]") == "443"
    assert seen.text("[data-figure=attempts_note]") == "14 refused (429), 17 failed"
    assert seen.tab.locator("[data-bad]").count() == 1
    document["now"] |= {"failed": 0}
    seen.desk.say(document)
    seen.tab.wait_for_function("!document.querySelector('[data-bad]')")


def test_a_stretch_alone_between_two_gaps_can_be_seen(seen: Seen) -> None:
    """The first answers of a fleet are one bucket: a line of no length is a speck."""
    document = document_of()
    for row in document["minutes"]["rows"]:
        if row["ago_s"] != 90.0:
            row["latency_p50_s"] = row["latency_p95_s"] = None
    seen.open(document)
    boxes = [dot.bounding_box() for dot in seen.tab.locator("#latency .dot").all()]
    assert [box["width"] >= 5 and box["height"] >= 5 for box in boxes] == [True, True]


def test_idle_keys_take_a_line_each_on_a_phone(seen: Seen) -> None:
    """A dozen keys that do nothing would be four screens to pass before the failures."""
    document = document_of(keys=9)
    for lane in document["keys"]:
        lane |= {"rate_limited": 0, "in_flight": 0}
    seen.open(document)
    seen.tab.set_viewport_size({"width": 390, "height": 900})
    row = seen.tab.locator("#keys tbody tr:has(.open:text-is('grove3#1'))")
    busy = seen.tab.locator("#keys tr:has(.open:text-is('ash#1'))")
    assert row.bounding_box()["height"] < 60 < busy.bounding_box()["height"]
    row.locator(".open").click()
    assert "no limit" not in row.inner_text() and row.bounding_box()["height"] > 80
    assert seen.tab.evaluate(WIDE) <= 0
    seen.tab.set_viewport_size({"width": 1280, "height": 900})


def test_nothing_is_cut_off_on_a_desk_without_a_word_that_has_it_whole(seen: Seen) -> None:
    """`back in 23 h 18…`: the minute that was asked for is the part that is missing."""
    document = document_of()
    key = document["status"]["quota_status"]["birch"]["keys"][0]
    for each in [key, *key["models"]]:
        each["limits"]["neurons_per_day"] = {**each["limits"]["rpd"], "used": 9999}
        each["available_in_s"] = 23 * 3600 + 18 * 60 if each["state"] == "exhausted" else each["available_in_s"]
    seen.open(document)
    assert "back in 23 h 18 m" in " ".join(seen.texts("#keys .back"))
    cut = seen.tab.evaluate("""() => [...document.querySelectorAll("main *")].filter((e) =>
      e.getClientRects().length && e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflowX !== "visible"
      && e.textContent.trim() && !e.closest("[title], .hidden")).map((e) => e.outerHTML.slice(0, 120))""")
    assert cut == []


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
    assert seen.text("#progress-words").startswith("412 of 1,319 (31 %), about 4 m 12 s left")
    assert seen.text("[data-figure=waiting]") == "907"
    seen.desk.say(document_of(total=1319, done=1319))
    seen.until("#news", "The run has ended: 1,319 of 1,319 done, 9 failed.")
    assert seen.text("#news").endswith(
        "Its results are in results/a run's; llmfan report 'results/a run'\\''s' sums them up."
    )
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
