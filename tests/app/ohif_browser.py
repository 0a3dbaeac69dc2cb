"""OHIF in a headless Chromium: opening pages, waiting for them, and reading the pixels that a viewport shows."""

from __future__ import annotations

import base64
import io
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from PIL import Image
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from treatment_response.geometry import flip_lps_ras

SIZE = (1600, 1000)
ARGUMENTS = (
    "--headless=new --no-sandbox --disable-dev-shm-usage --use-angle=swiftshader --enable-unsafe-swiftshader "
    "--disable-background-networking --disable-component-update --disable-sync --no-first-run "
    f"--force-device-scale-factor=1 --hide-scrollbars --window-size={SIZE[0]},{SIZE[1]}"
)
# No name is looked up: a page that asks anyone outside for anything fails at once.
ONLY_THIS_MACHINE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"
CONFIRM = "[data-cy='confirm-and-hide-button']"

# The viewports of both OHIF versions, and the first of them that shows an image.
VIEWPORT = """
const viewports = (window.cornerstone?.getRenderingEngines() ?? []).flatMap(engine => engine.getViewports());
const viewport = viewports.find(one => one.getActors().length && one.worldToCanvas);
if (!viewport) return null;
"""


def missing_browser() -> str | None:
    """Why no browser can be started here and what to install, or None if one can."""
    for program, package in (("chromium", "chromium"), ("chromedriver", "chromium-driver")):
        if shutil.which(program) is None:
            return f"{program} is missing: apt-get install {package}"
    return None


class OhifBrowser:
    """A browser with one page, as a context manager."""

    def __enter__(self) -> Self:
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium") or ""
        for argument in (*ARGUMENTS.split(), ONLY_THIS_MACHINE):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "WARNING", "performance": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.driver.quit()

    def open(self, url: str) -> None:
        """Open a page of OHIF, wait for its viewport to show an image, and hide its own dialog."""
        self.driver.get(url)
        self.wait_for(VIEWPORT + "return viewport.getActors().length > 0", "a viewport with an image", 60)
        if found := self.driver.find_elements(By.CSS_SELECTOR, CONFIRM):
            found[0].click()
        self.wait_for(
            "return [...window.cornerstone.cache._volumeCache.values()].every(one => one.volume?.loadStatus?.loaded)",
            "all volumes loaded",
            60,
        )

    def ask(self, script: str, *arguments: Any) -> Any:
        """What the page answers to a script."""
        return self.driver.execute_script(script, *arguments)

    def wait_for(self, script: str, what: str, seconds: float = 30) -> Any:
        """Poll until the script answers something true; returns that."""
        end = time.monotonic() + seconds
        while True:
            try:
                if found := self.ask(script):
                    return found
            except WebDriverException:
                pass  # the page is still being built
            if time.monotonic() > end:
                raise TimeoutError(f"waited {seconds:g} s for {what}")
            time.sleep(0.1)

    def find(self, selector: str, seconds: float = 30) -> WebElement:
        """The first visible element, waited for."""
        script = "return [...document.querySelectorAll(arguments[0])].find(one => one.offsetParent) ?? null"
        end = time.monotonic() + seconds
        while (found := self.ask(script, selector)) is None:
            if time.monotonic() > end:
                raise TimeoutError(f"waited {seconds:g} s for {selector}")
            time.sleep(0.1)
        return found

    def panel_text(self) -> str:
        """What this app's panel shows; empty while it is not there."""
        return str(self.ask("return document.querySelector('#pulsar-panel')?.shadowRoot.textContent ?? ''"))

    def show_slice(self, point_ras: Sequence[float]) -> None:
        """Move the viewport to the slice through a point (RAS, mm)."""
        moved = VIEWPORT + """
        const { focalPoint, position, viewPlaneNormal: n } = viewport.getCamera();
        const step = n.reduce((sum, part, i) => sum + part * (arguments[0][i] - focalPoint[i]), 0);
        const along = from => from.map((value, i) => value + step * n[i]);
        viewport.setCamera({ focalPoint: along(focalPoint), position: along(position) });
        viewport.render();
        return true;"""
        self.ask(moved, _lps(point_ras))
        self.settle()

    def settle(self) -> None:
        """Wait until the picture no longer changes."""
        before = self.picture()
        for _ in range(100):
            time.sleep(0.15)
            after = self.picture()
            if np.array_equal(before, after):
                return
            before = after
        raise TimeoutError("the viewport's picture goes on changing")

    def picture(self) -> np.ndarray:
        """The viewport's image without texts and tools over it, ``(rows, columns, 3)`` uint8."""
        url = self.ask(VIEWPORT + "return viewport.canvas.toDataURL('image/png')")
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",", 1)[1]))).convert("RGB"))

    def project(self, points_ras: np.ndarray) -> np.ndarray:
        """Pixels ``(N, 2)`` as column, row of the picture at which points (RAS, mm) are shown."""
        script = VIEWPORT + """
        const scale = viewport.canvas.width / viewport.canvas.clientWidth;
        return arguments[0].map(point => viewport.worldToCanvas(point).map(value => value * scale));"""
        return np.array(self.ask(script, [_lps(point) for point in points_ras]))

    def save(self, file: Path) -> None:
        """Keep a screenshot of the whole page."""
        self.driver.save_screenshot(str(file))


def _lps(point_ras: Sequence[float]) -> list[float]:
    return [float(value) for value in flip_lps_ras(np.asarray(point_ras, float)[None])[0]]


def colourful(picture: np.ndarray, least: int = 40) -> np.ndarray:
    """Where a picture is coloured: an MR is grey, what is laid over it is not. ``(rows, columns)`` bool."""
    return np.ptp(picture.astype(int), axis=2) >= least
