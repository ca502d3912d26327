"""The page in a real browser, by the files that a reader gets."""

import json
import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from reports.page import _fence
from reports.write import write_report

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
DRIVER = shutil.which("chromedriver")
PHONE = 390

needs_browser = pytest.mark.skipif(
    CHROMIUM is None or DRIVER is None, reason="no chromium and chromedriver on the PATH"
)


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Chrome]:
    options = ChromeOptions()
    options.binary_location = CHROMIUM or ""
    for flag in ("headless", "no-sandbox", "disable-gpu", f"user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = Chrome(options=options, service=ChromeService(executable_path=DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


def set_width(browser: Chrome, width: int) -> None:
    # A window cannot be as narrow as a phone; the device that is emulated can.
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def set_scheme(browser: Chrome, scheme: str, *, media: str = "") -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})


def requested(browser: Chrome) -> set[str]:
    """The addresses that the page asked for."""
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return {
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    }


# Every element that shows text of its own, against the nearest ground that is painted behind it.
FAINT = """
const luminance = ([r, g, b]) => {
  const [x, y, z] = [r, g, b].map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * x + 0.7152 * y + 0.0722 * z;
};
const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
const painted = (colour, below) => {
  canvas.fillStyle = `rgb(${below.join(',')})`; canvas.fillRect(0, 0, 1, 1);
  canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
  return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
};
const ground = element => {
  const chain = [];
  for (let e = element; e; e = e.parentElement) chain.unshift(getComputedStyle(e).backgroundColor);
  return chain.reduce((below, colour) => painted(colour, below), [255, 255, 255]);
};
const faint = [];
for (const element of document.querySelectorAll('body *')) {
  const own = [...element.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
  if (!own || !element.checkVisibility()) continue;
  const style = getComputedStyle(element), behind = ground(element);
  const svg = element instanceof SVGElement;
  const colour = painted(svg ? style.fill : style.color, behind);
  const [dark, light] = [luminance(colour), luminance(behind)].sort((a, b) => a - b);
  const ratio = (light + 0.05) / (dark + 0.05);
  if (ratio < 4.5) faint.push(`${ratio.toFixed(2)} ${element.tagName} ${element.textContent}`);
}
return faint;
"""


@needs_browser
@pytest.mark.slow
def test_the_page_opens_offline_without_an_error_or_a_request(make_study, browser):
    page = write_report(make_study(seeds=(0, 1)))
    requested(browser)  # what the browser's own first tab asked for
    browser.get(page.as_uri())
    assert browser.get_log("browser") == []
    assert {url for url in requested(browser) if not url.startswith("data:")} == {page.as_uri()}
    assert browser.find_element(By.TAG_NAME, "h1").text == "four methods on arithmetic"
    # A browser parses what it can: an <svg> that were cut short would have no size.
    for figure in browser.find_elements(By.TAG_NAME, "svg"):
        assert figure.size["width"] > 100 and figure.size["height"] > 40


@needs_browser
@pytest.mark.slow
def test_figures_and_tables_say_to_a_screen_reader_what_they_are(make_study, browser):
    browser.get(write_report(make_study(seeds=(0, 1))).as_uri())
    figures = browser.find_elements(By.TAG_NAME, "svg")
    assert len(figures) > 10
    for figure in figures:
        assert figure.get_attribute("role") == "img"
        assert len(figure.get_attribute("aria-label")) > 20
    for table in browser.find_elements(By.TAG_NAME, "table"):
        headers = table.find_elements(By.TAG_NAME, "th")
        assert {header.get_attribute("scope") for header in headers} == {"col", "row"}
    levels = [int(h.tag_name[1]) for h in browser.find_elements(By.CSS_SELECTOR, "h1,h2,h3,h4")]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert browser.find_element(By.TAG_NAME, "html").get_attribute("lang") == "en"


@needs_browser
@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(make_study, browser, scheme):
    path = make_study(seeds=(0, 1), gate={"passed": False, "failed": ["mask: leaks"]})
    browser.get(write_report(path).as_uri())
    set_scheme(browser, scheme)
    ground = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert ground == {"light": "rgb(254, 254, 254)", "dark": "rgb(20, 23, 27)"}[scheme]
    assert browser.execute_script(FAINT) == []


@needs_browser
@pytest.mark.slow
def test_every_table_that_scrolls_is_reached_by_the_keyboard(make_study, browser):
    browser.get(write_report(make_study(methods=("ppo", "grpo"), seeds=(0, 1))).as_uri())
    set_width(browser, PHONE)
    regions = [r for r in browser.find_elements(By.CSS_SELECTOR, ".scroll") if r.is_displayed()]
    assert all(region.get_attribute("aria-label") for region in regions)
    reached: list[Any] = []
    for _ in range(len(regions) + 40):
        browser.switch_to.active_element.send_keys(Keys.TAB)
        reached.append(browser.switch_to.active_element)
    assert [region for region in regions if region not in reached] == []
    wide = next(r for r in regions if r.get_property("scrollWidth") > r.size["width"] + 50)
    browser.execute_script("arguments[0].focus()", wide)
    wide.send_keys(Keys.ARROW_RIGHT)
    assert browser.execute_async_script(
        "const [e, done] = arguments; setTimeout(() => done(e.scrollLeft), 400)", wide
    )


@needs_browser
@pytest.mark.slow
def test_a_phone_and_a_sheet_of_paper_hold_the_page(make_study, browser):
    browser.get(write_report(make_study(seeds=(0, 1))).as_uri())
    set_width(browser, PHONE)
    wide = browser.execute_script("return document.documentElement.scrollWidth")
    assert PHONE - 20 < wide <= PHONE  # less a scroll bar
    # Printed from a dark screen, the page is black on white all the same.
    set_scheme(browser, "dark", media="print")
    ground = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert ground == "rgb(254, 254, 254)"
    printed = browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})
    assert printed["data"].startswith("JVBERi0")  # %PDF-


def test_a_fence_is_longer_than_any_in_the_text() -> None:
    assert _fence("a ``` b").startswith("````text\n")
    assert _fence("a").splitlines() == ["```text", "a", "```"]
