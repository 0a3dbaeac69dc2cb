"""Make the docs' pictures of OHIF again: real pages, synthetic patients, a real server and PACS."""

from __future__ import annotations

import argparse
import io
import json
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import requests
from PIL import Image
from treatment_response.problems import DataProblem

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / name) for name in ("apps/pulsar_response", "tests/app", "tests")]

from app_server import AppServer  # noqa: E402
from ohif_browser import MODELS, PANEL, RUN, OhifBrowser  # noqa: E402
from orthanc_server import OrthancServer  # noqa: E402
from panel_answer import THREE_LESIONS  # noqa: E402
from pulsar_app.local.gateway import Gateway  # noqa: E402
from pulsar_app.local.maps import map_link, prediction_link  # noqa: E402
from pulsar_app.local.ohif_review import install_ohif  # noqa: E402
from pulsar_app.local.patients import FirstMri  # noqa: E402
from pulsar_app.local.site import VIEWER, Plan, Site, start  # noqa: E402
from rano_system_case import write_rano_patient, write_rano_system  # noqa: E402
from rice_system_case import write_rice_patient, write_rice_system  # noqa: E402

# The second patient of the small cohort: three lesions.
PATIENTS, PATIENT = 3, 1
WIDTH = 1400
TALL = (1600, 1300)
JOB_SECONDS = 1800
Box = tuple[float, float, float, float]
# Words of a stored series' description, and what its picture is called.
STORED = {
    "CAM with legend": "capture",
    "predicted response": "report",
    "CAM bands": "bands",
    "CAM pixelwise response": "map_response",
    "CAM pixelwise non-response": "map_non_response",
}


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images", help="folder for the pictures")
    parser.add_argument("--of", nargs="+", choices=TAKEN, default=list(TAKEN), help="systems (all)")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    try:
        for system in options.of:
            with ExitStack() as stack:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
                TAKEN[system](folder, stack, options.out)
    except DataProblem as problem:
        print(problem, file=sys.stderr)
        return 2
    return 0


def _take_pulsar(folder: Path, stack: ExitStack, out: Path) -> None:
    site = start(Plan(folder=folder, patients=PATIENTS, port=0), stack, print)
    browser = stack.enter_context(OhifBrowser())
    _take(site, browser, out)
    _take_stored(site, browser, out)


def _take_rano(folder: Path, stack: ExitStack, out: Path) -> None:
    study = write_rano_patient(folder / "dicom")
    url = _serve(folder, stack, folder / "dicom", {"rano": write_rano_system(folder)})
    browser = stack.enter_context(OhifBrowser())
    place = study.grids["FLAIR"].to_world(np.argwhere(study.tumour["FLAIR"])).mean(axis=0)
    _show_case(browser, url, FirstMri(study.study_uid, study.series_uids["FLAIR"]), "rano", place)
    _keep(browser, out / "ohif_rano.png")


def _take_rice(folder: Path, stack: ExitStack, out: Path) -> None:
    patient = write_rice_patient(folder / "cohort")
    url = _serve(folder, stack, patient.dicom, {"rice_net": write_rice_system(folder)})
    browser = stack.enter_context(OhifBrowser())
    _show_case(browser, url, patient.event, "rice_net", patient.lesion_mm)
    _, top, right, _ = _panel(browser)
    _keep(browser, out / "ohif_rice.png", (0, 0, right, top))
    browser.resize(*TALL)  # where the panel has all the lines of the sheet
    _keep(browser, out / "ohif_rice_sheet.png", _panel(browser))


TAKEN = {"pulsar": _take_pulsar, "rano": _take_rano, "rice": _take_rice}


def _serve(folder: Path, stack: ExitStack, dicom: Path, systems: dict[str, dict[str, Any]]) -> str:
    """Start a PACS with the files and a server of the systems; returns the address of viewer and server."""
    (folder / "systems.json").write_text(json.dumps(systems))
    (folder / "orthanc").mkdir()
    orthanc = stack.enter_context(OrthancServer(folder / "orthanc"))
    for file in sorted(path for path in dicom.rglob("*") if path.is_file()):
        requests.post(f"{orthanc.url}/instances", data=file.read_bytes(), timeout=60).raise_for_status()
    conf = {"systems": str(folder / "systems.json")}
    server = stack.enter_context(AppServer(orthanc.dicomweb, folder / "server", conf, ready="/info/"))
    return stack.enter_context(Gateway(0, install_ohif(VIEWER), orthanc.url, server.url)).url


def _show_case(browser: OhifBrowser, url: str, mri: FirstMri, model: str, place: np.ndarray) -> None:
    """Run a model that works as a job on an MR, and show the slices through a place (RAS, mm)."""
    browser.open(prediction_link(url, mri))
    browser.connect()
    browser.choose(model, MODELS)
    browser.click("a", "Options / Configurations")
    browser.click("button", "Confirm")
    browser.click(RUN)
    ended = f"return {PANEL}.textContent.includes('press Run again') || {PANEL}.querySelector('#lesions h4')"
    browser.wait_for(ended, "the end of the job", JOB_SECONDS)
    browser.run_model()
    for viewport in browser.viewports():
        browser.show_slice(viewport, place)


def _take(site: Site, browser: OhifBrowser, out: Path) -> None:
    found = site.maps[PATIENT]
    browser.open(prediction_link(site.url, found.mr))
    browser.connect()
    browser.click("a", "Options / Configurations")
    browser.wait_for("return document.querySelector('#inferpulsar_responsestore')", "the options")
    _keep(browser, out / "ohif_options.png")
    browser.click("button", "Confirm")
    browser.run_model()
    browser.ask(f"{PANEL}.querySelectorAll('h4 button')[2].click()")
    _keep(browser, out / "ohif_prediction.png")
    _keep_refusal(browser, out / "ohif_refusal.png")
    _keep_certainty(browser, out / "ohif_certainty.png")
    browser.open(prediction_link(site.url, found.mr))
    browser.connect()
    browser.predict_from_click(browser.viewports()[0], found.at)
    browser.ask(f"{PANEL}.querySelector('h4 button').click()")
    _keep(browser, out / "ohif_click.png")
    browser.open(map_link(site.url, found))
    browser.wait_for("return window.cornerstone.cache._volumeCache.size > 1", "the map")
    _keep(browser, out / "ohif_map.png")


def _panel(browser: OhifBrowser) -> Box:
    left, top, right, bottom = map(float, browser.boxes("document.querySelectorAll('#pulsar-panel')")[0])
    return left, top, right, bottom


def _keep_refusal(browser: OhifBrowser, file: Path) -> None:
    browser.click("a", "Options / Configurations")
    browser.type("#inferpulsar_responserois", "GTV_9")
    browser.click("button", "Confirm")
    browser.click(RUN)
    browser.wait_for(f"return {PANEL}.querySelector('.warning') && !{PANEL}.querySelector('h4')", "the refusal")
    _keep(browser, file, _panel(browser))


def _keep_certainty(browser: OhifBrowser, file: Path) -> None:
    browser.ask(f"window.pulsarPanel.show({json.dumps(THREE_LESIONS)})")
    _keep(browser, file, _panel(browser))


def _take_stored(site: Site, browser: OhifBrowser, out: Path) -> None:
    """Each stored object, as its link opens it; a map of each class, whatever was predicted."""
    mr = site.maps[PATIENT].mr
    requests.post(
        f"{site.url}/infer/pulsar_response",
        params={"image": mr.series_uid, "output": "json"},
        data={"params": json.dumps({"store": True, "shown": "response"})},
        timeout=120,
    ).raise_for_status()
    query = {"includefield": "0008103E"}
    found = requests.get(f"{site.url}/dicom-web/studies/{mr.study_uid}/series", query, timeout=30).json()
    series = sorted((one.get("0008103E", {}).get("Value", [""])[0], one["0020000E"]["Value"][0]) for one in found)
    for words, name in STORED.items():
        uid = next(uid for description, uid in series if f" {words} " in description)
        browser.open(f"{site.url}/viewer?StudyInstanceUIDs={mr.study_uid}&initialSeriesInstanceUID={uid}")
        if words == "CAM bands":
            browser.wait_for("return document.body.innerText.includes('open this Segmentation')", "the segmentation")
        _keep(browser, out / f"ohif_{name}.png")


def _keep(browser: OhifBrowser, file: Path, box: Box | None = None) -> None:
    """The page, or a box of it (left, top, right, bottom in pixels), as a small picture."""
    # OHIF's messages fade away.
    browser.wait_for("return !document.querySelector('[data-sonner-toast]')", "a quiet page")
    for viewport in browser.viewports():
        browser.picture(viewport)  # waits until it no longer changes
    picture = Image.open(io.BytesIO(browser.driver.get_screenshot_as_png())).convert("RGB")
    if box is not None:
        picture = picture.crop(box)
    picture = picture.resize((WIDTH, round(picture.height * WIDTH / picture.width)), Image.Resampling.LANCZOS)
    # Maximum coverage keeps the few coloured pixels of a map among many grey ones.
    picture = picture.quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=2, dither=Image.Dither.NONE)
    picture.save(file, optimize=True)
    print(f"{file}: {file.stat().st_size // 1024} KiB")


if __name__ == "__main__":
    sys.exit(main())
