"""The system's Chromium, and what it must not do: ask another host, or complain on its console."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import ConsoleMessage, Page, Request, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
WIDTHS = (1280, 400)
POINT = """(element, lane) => {
  const chart = getElement(Number(element.id.slice(1))).chart;
  const points = chart.getOption().series[0].data.filter((point) => point.value[1] === lane);
  return chart.convertToPixel({seriesIndex: 0}, points.at(-1).value);
}"""


def chromium() -> str:
    """Its path; without one the test is skipped, in CI it fails."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("no Chromium: install the package `chromium`")
    return str(found)


class Tab:
    """A page with all that it asked for and said."""

    def __init__(self, page: Page, base: str, pictures: Path) -> None:
        self.page, self.base, self.pictures = page, base, pictures
        self.outside: list[str] = []
        self.complaints: list[str] = []
        page.set_default_navigation_timeout(90_000)  # whoever comes first waits until all has started
        page.on("request", self._request)
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _request(self, request: Request) -> None:
        own = self.base.removeprefix("http")
        if not request.url.startswith((f"http{own}", f"ws{own}", "data:", "blob:")):
            self.outside.append(request.url)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.complaints.append(message.text)

    def open(self, path: str) -> None:
        """Go there and wait until the page is alive."""
        self.page.goto(self.base + path)
        self.page.get_by_role("navigation", name="Pages").wait_for()

    def press_point(self, chart: str, lane: str) -> None:
        """Press the last point of a lane of a chart."""
        canvas = self.page.get_by_role("img", name=chart)
        canvas.locator("canvas").first.wait_for()
        self.page.wait_for_timeout(500)  # drawn, and nothing above it grows any more
        at = canvas.evaluate(POINT, lane)
        canvas.click(position={"x": at[0], "y": at[1]})

    def picture(self, name: str) -> None:
        """At each width; nothing may stick out to the side."""
        for width in WIDTHS:
            self.page.set_viewport_size({"width": width, "height": 900})
            self.page.wait_for_timeout(700)
            over = self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            assert over <= 0, f"{name} is {over} px wider than {width}"
            self.page.screenshot(path=self.pictures / f"{name}-{width}.png", full_page=True)
        self.page.set_viewport_size({"width": WIDTHS[0], "height": 900})


@contextmanager
def tab(base: str, pictures: Path) -> Iterator[Tab]:
    """A fresh browser."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield Tab(browser.new_page(viewport={"width": WIDTHS[0], "height": 900}), base, pictures)
        browser.close()
