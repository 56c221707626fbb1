"""The page in a real browser: Debian's Chromium, headless.

Without Chromium these tests are skipped, unless ``CHROMIUM_REQUIRED`` is set, as CI does.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from curation.report.page import SECTIONS
from tests.curation.report.conftest import Made

WIDTHS = (320, 768, 1280)
WIDER = """() => [...document.body.querySelectorAll('*')]
    .filter(one => one.getBoundingClientRect().right > innerWidth + 1 && !one.closest('.scroll')
        && !one.closest('details:not([open])'))
    .map(one => one.outerHTML.slice(0, 80))"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium")
    if path is None:
        if os.environ.get("CHROMIUM_REQUIRED"):
            pytest.fail("no Chromium: apt-get install chromium")
        pytest.skip("no Chromium (apt-get install chromium)")
    # Chromium refuses its sandbox to root, as whom CI runs.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


def opened(browser: Browser, made: Made, width: int = 1280, *, scripts: bool = True) -> Page:
    context = browser.new_context(
        viewport={"width": width, "height": 900}, java_script_enabled=scripts, offline=True
    )
    page = context.new_page()
    page.goto((made.folder / "report.html").as_uri())
    return page


def test_it_loads_without_a_word_on_the_console_or_a_request(browser: Browser, made: Made) -> None:
    context = browser.new_context()
    page = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto((made.folder / "report.html").as_uri(), wait_until="networkidle")
    assert said == []
    assert asked == [(made.folder / "report.html").as_uri()]
    context.close()


def test_every_section_is_seen_and_reached_from_the_list_of_contents(browser: Browser, made: Made) -> None:
    page = opened(browser, made)
    for name in SECTIONS:
        section = page.locator(f"section#{name}")
        assert section.is_visible() and (section.bounding_box() or {})["height"] > 60
        page.locator(f"nav a[href='#{name}']").click()
        assert page.evaluate("location.hash") == f"#{name}"
    assert page.locator("figure svg").count() == len(
        [one for one in made.files if one.startswith("figures/")]
    )
    for drawing in page.locator("figure svg").all():
        box = drawing.bounding_box()
        assert box is not None and box["width"] > 200 and box["height"] > 60
    page.context.close()


def test_it_says_the_same_without_javascript(browser: Browser, made: Made) -> None:
    texts = []
    for scripts in (True, False):
        page = opened(browser, made, scripts=scripts)
        texts.append(page.locator("body").inner_text())
        page.locator("details:has(table)").first.locator("summary").click()
        assert page.locator("details table").first.is_visible()
        page.context.close()
    assert texts[0] == texts[1] and "What came in, and what became of it" in texts[0]


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_wider_than_the_screen(browser: Browser, made: Made, width: int) -> None:
    page = opened(browser, made, width)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate(WIDER) == []
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.context.close()


@pytest.mark.parametrize("width", [WIDTHS[0], WIDTHS[-1]])
def test_axe_finds_nothing_to_complain_of(browser: Browser, made: Made, width: int) -> None:
    page = opened(browser, made, width)
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    page.context.close()


def test_axe_sees_what_is_wrong(browser: Browser, made: Made) -> None:
    page = opened(browser, made)
    page.evaluate("document.querySelector('h2').style.color = '#ccc'")
    page.evaluate("document.querySelector('h3').outerHTML = '<h6>deep</h6>'")
    rules = {one["id"] for one in Axe().run(page).response["violations"]}
    assert {"color-contrast", "heading-order"} <= rules
    page.context.close()


def test_it_prints(browser: Browser, made: Made) -> None:
    page = opened(browser, made)
    page.emulate_media(media="print")
    assert not page.locator("nav").is_visible()
    assert page.locator("details").first.is_hidden()
    paper = page.pdf(format="A4")
    assert paper.startswith(b"%PDF") and 3 <= paper.count(b"/Type /Page\n") <= 15
    page.context.close()
