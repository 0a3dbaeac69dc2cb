"""OHIF in a headless Chromium: opening pages, waiting for them, and reading the pixels that a viewport shows."""

from __future__ import annotations

import base64
import io
import json
import shutil
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from PIL import Image
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.actions.action_builder import ActionBuilder
from selenium.webdriver.common.by import By
from treatment_response.geometry import flip_lps_ras

SIZE = (1600, 1000)
LOADS = 3  # beside other browsers the first drawing now and then does not come at all
COLOURED = 40  # least difference between a pixel's channels
ARGUMENTS = (
    "--headless=new --no-sandbox --disable-dev-shm-usage --use-angle=swiftshader --enable-unsafe-swiftshader "
    "--disable-background-networking --disable-component-update --disable-sync --no-first-run "
    f"--force-device-scale-factor=1 --hide-scrollbars --window-size={SIZE[0]},{SIZE[1]}"
)
# No name is looked up: a page that asks anyone outside for anything fails at once.
ONLY_THIS_MACHINE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"
MODELS = ".modelSelector select"
RUN, RUN_CLICKS = "button[title='Run Prediction']", "button[title='Run Prediction from clicks']"
PANEL = "document.querySelector('#pulsar-panel')?.shadowRoot"
CONFIRM = "[data-cy='confirm-and-hide-button']"

# The viewports of both OHIF versions that show an image.
VIEWPORTS = """
const viewports = (window.cornerstone?.getRenderingEngines() ?? []).flatMap(engine => engine.getViewports())
  .filter(one => one.canvasToWorld && one.getActors().length);
"""
VIEWPORT = VIEWPORTS + "const viewport = viewports.find(one => one.id === arguments[0]);"


@dataclass(frozen=True)
class Picture:
    """What a viewport shows, without texts and tools over it.

    Attributes:
        pixels: ``(rows, columns, 3)`` uint8.
        corner: where the centre of the first pixel lies, RAS mm.
        right, down: from one pixel to the next, RAS mm.
    """

    pixels: np.ndarray
    corner: np.ndarray
    right: np.ndarray
    down: np.ndarray

    @property
    def coloured(self) -> np.ndarray:
        """``(rows, columns)`` bool: an MR is grey, what is laid over it is not."""
        return np.ptp(self.pixels.astype(int), axis=2) >= COLOURED

    def sample(self, volume: np.ndarray, affine: np.ndarray) -> np.ndarray:
        """The nearest voxel's value of a volume ``(I, J, K)`` at each pixel, 0 outside; ``(rows, columns)``."""
        rows, columns = np.indices(self.pixels.shape[:2])
        world = self.corner + columns[..., None] * self.right + rows[..., None] * self.down
        inverse = np.linalg.inv(affine)
        index = np.rint(world @ inverse[:3, :3].T + inverse[:3, 3]).astype(int)
        inside = np.all((index >= 0) & (index < volume.shape), axis=-1)
        found = np.zeros(inside.shape, volume.dtype)
        found[inside] = volume[tuple(index[inside].T)]
        return found


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
        options.set_capability("goog:loggingPrefs", {"browser": "SEVERE"})
        self.driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.driver.quit()

    def open(self, url: str) -> None:
        """Open a page of OHIF, wait for its viewports to show images, and hide its own dialog.

        Beside other browsers OHIF's first drawing now and then does not come at all; the page is then loaded again.
        """
        for load in range(LOADS):
            self.driver.get(url)
            try:
                self.viewports(100)
                break
            except TimeoutError as error:
                said = [entry["message"] for entry in self.driver.get_log("browser")]
                if load + 1 == LOADS:
                    raise TimeoutError(f"{error}, {LOADS} times; the browser says {said}") from error
                warnings.warn(f"OHIF is loaded again: {error}; the browser says {said}", stacklevel=2)
        if found := self.driver.find_elements(By.CSS_SELECTOR, CONFIRM):
            # By script: one of OHIF's passing notes may lie over the button.
            self.driver.execute_script("arguments[0].click()", found[0])
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

    def click(self, selector: str, text: str = "", seconds: float = 30) -> None:
        """Click the first visible element of a selector with just this text, waited for, as a user would.

        A page that is being drawn anew gives way to the next attempt.
        """
        script = """return [...document.querySelectorAll(arguments[0])]
            .find(one => one.offsetParent && (!arguments[1] || one.textContent.trim() === arguments[1])) ?? null"""
        end = time.monotonic() + seconds
        while True:
            try:
                if (found := self.ask(script, selector, text)) is not None:
                    found.click()
                    return
                reason = "it is not there"
            except WebDriverException as error:
                reason = str(error.msg)
            if time.monotonic() > end:
                raise TimeoutError(f"{selector} {text!r} could not be clicked for {seconds:g} s: {reason}")
            time.sleep(0.1)

    def type(self, selector: str, text: str) -> None:
        """Write into an input field."""
        self.driver.find_element(By.CSS_SELECTOR, selector).send_keys(text)

    def panel_text(self) -> str:
        """What this app's panel shows; empty while it is not there."""
        return str(self.ask("return document.querySelector('#pulsar-panel')?.shadowRoot.textContent ?? ''"))

    def connect(self) -> None:
        """In MONAI Label mode: connect to the server that the page names."""
        self.click("table.settingsTable button")
        self.wait_for(f'return document.querySelector("{RUN}")', "the list of models")

    def choose(self, value: str, among: str) -> None:
        """Choose an entry of a drop-down list, as a user would.

        Args:
            among: selector of the lists that may hold it.
        """
        script = f"""const choice = [...document.querySelectorAll({json.dumps(among)})]
            .find(one => one.offsetParent && [...one.options].some(option => option.value === {json.dumps(value)}));
        if (!choice) return false;
        Object.getOwnPropertyDescriptor(HTMLSelectElement.prototype, 'value').set.call(choice, {json.dumps(value)});
        return choice.dispatchEvent(new Event('change', {{ bubbles: true }}));"""
        self.wait_for(script, f"the choice of {value}")

    def run_model(self) -> None:
        """In MONAI Label mode: press Run, wait for OHIF's message and for the panel with the answer."""
        self.ask(f"{PANEL}.querySelector('#lesions').replaceChildren()")
        self.click(RUN)
        self.wait_for("return document.body.innerText.includes('Answered: see the panel below')", "the result")
        self.wait_for(f"return {PANEL}.querySelector('#lesions h4')", "the panel")

    def predict_from_click(self, viewport: str, point_ras: Sequence[float]) -> None:
        """In MONAI Label mode: click on a point (RAS, mm) of the slice through it, and predict what grows from it."""
        self.click("label.tab-label", "Predict from a click")
        self._mark(viewport, point_ras)
        self.click(RUN_CLICKS)
        self.wait_for(f"return {PANEL}.textContent.includes('click 1')", "the answer")

    def _mark(self, viewport: str, point_ras: Sequence[float]) -> None:
        """Show the slice through a point and click on it, until OHIF takes the click."""
        self.show_slice(viewport, point_ras)
        self.picture(viewport)  # waits until the slice is drawn
        script = """
        const [x, y] = viewport.worldToCanvas(arguments[1]);
        const place = viewport.canvas.getBoundingClientRect();
        return [Math.round(place.x + x), Math.round(place.y + y)];"""
        x, y = self.ask(VIEWPORT + script, viewport, flip_lps_ras(np.asarray(point_ras, float)[None])[0].tolist())
        marks = """return window.cornerstoneTools.annotation.state.getAllAnnotations()
            .filter(one => one.metadata.toolName === 'ProbeMONAILabel').length"""
        for _ in range(20):  # until the tool is ready to take it, a click makes no mark
            action = ActionBuilder(self.driver)
            action.pointer_action.move_to_location(x, y)
            action.pointer_action.click()
            action.perform()
            time.sleep(0.5)
            if (found := self.ask(marks)) > 0:
                assert found == 1
                return
        raise AssertionError("OHIF took no click")

    def resize(self, width: int, height: int) -> None:
        """Give the page another size, in pixels."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        for viewport in self.viewports():
            self.picture(viewport)  # waits until it no longer changes

    def boxes(self, *elements: str) -> np.ndarray:
        """Where elements are seen.

        Args:
            elements: expressions of the page, each for a list of elements; those without any size are left out.

        Returns:
            Left, top, right and bottom edge of each in pixels of the page, ``(N, 4)``.
        """
        script = f"""return [{", ".join(f"...({one})" for one in elements)}]
            .map(one => one.getBoundingClientRect()).filter(box => box.width && box.height)
            .map(box => [box.left, box.top, box.right, box.bottom]);"""
        return np.array(self.ask(script), float).reshape(-1, 4)

    def next_sample(self, strategy: str = "random") -> None:
        """In MONAI Label mode: press Next Sample under Active Learning and wait for the form that tells of it."""
        self.click("label.tab-label", "Active Learning")
        self.choose(strategy, "select.actionInput")
        self.click("button", "Next Sample")
        self.wait_for(
            """if (document.body.innerText.includes('Failed to Fetch Next Sample')) throw 'refused';
            return document.querySelector('.nextSampleForm')""",
            "the next sample",
        )

    def viewports(self, seconds: float = 30) -> list[str]:
        """The names of the viewports that show an image, waited for: a layout built anew has none for a moment."""
        script = "return viewports.length ? viewports.map(one => one.id) : null"
        return list(self.wait_for(VIEWPORTS + script, "a viewport with an image", seconds))

    def show_slice(self, viewport: str, point_ras: Sequence[float]) -> None:
        """Move a viewport to the slice through a point (RAS, mm)."""
        script = """
        const { focalPoint, position, viewPlaneNormal: n } = viewport.getCamera();
        const step = n.reduce((sum, part, i) => sum + part * (arguments[1][i] - focalPoint[i]), 0);
        const along = from => from.map((value, i) => value + step * n[i]);
        viewport.setCamera({ focalPoint: along(focalPoint), position: along(position) });
        viewport.render();"""
        self.ask(VIEWPORT + script, viewport, flip_lps_ras(np.asarray(point_ras, float)[None])[0].tolist())

    def picture(self, viewport: str) -> Picture:
        """What a viewport shows, once that no longer changes."""
        before = self._pixels(viewport)
        for _ in range(100):
            time.sleep(0.15)
            after = self._pixels(viewport)
            if np.array_equal(before, after):
                break
            before = after
        else:
            raise TimeoutError("the viewport's picture goes on changing")
        script = """
        const scale = viewport.canvas.clientWidth / viewport.canvas.width;
        const at = (column, row) => [...viewport.canvasToWorld([(column + 0.5) * scale, (row + 0.5) * scale])];
        return [at(0, 0), at(1, 0), at(0, 1)];"""
        corner, right, down = flip_lps_ras(np.array(self.ask(VIEWPORT + script, viewport)))
        return Picture(after, corner, right - corner, down - corner)

    def _pixels(self, viewport: str) -> np.ndarray:
        url = self.ask(VIEWPORT + "return viewport.canvas.toDataURL('image/png')", viewport)
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",", 1)[1]))).convert("RGB"))

    def complaints(self) -> list[str]:
        """What the page has written to its console as errors since it was last asked."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]

    def save(self, file: Path) -> None:
        """Keep a screenshot of the whole page."""
        self.driver.save_screenshot(str(file))
