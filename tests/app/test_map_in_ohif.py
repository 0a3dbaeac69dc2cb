"""OHIF lays every voxel of a Parametric Map on the MR's voxel at the same millimetres, whatever the series.

OHIF places the map's frames by their order alone, so a map of some slices, or in another order, would lie elsewhere.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import requests
from ohif_browser import OhifBrowser, missing_browser
from orthanc_server import OrthancServer, missing_orthanc
from pulsar_app.local.gateway import Gateway
from pulsar_app.local.maps import StoredMap, map_link
from pulsar_app.local.ohif_review import VERSION, install_ohif
from pulsar_app.local.patients import FirstMri
from scipy.spatial.transform import Rotation
from stored_places import VALUES
from treatment_response.dicom.results.model import ModelIdentity
from treatment_response.dicom.results.parametric_map import cam_parametric_map
from treatment_response.dicom.source import MrSource, read_mr_source
from treatment_response.dicom.write import PatientIds, StudyIds, write_enhanced_series, write_series
from treatment_response.dicom.write.base import derived_uid
from treatment_response.geometry import Volume, flip_lps_ras

SHAPE = (40, 48, 14)
SPACING = np.array([0.9, 0.7, 2.1])
DIRECTIONS = {
    "oblique": Rotation.from_euler("xyz", [17, -8, 25], degrees=True).as_matrix(),
    "sagittal": np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]]),
}
PLANTED = {(0, 0, 0): 0.2, (39, 47, 13): 1.0, (39, 0, 5): 0.4, (12, 30, 3): 0.6, (0, 47, 9): 0.8}
IDENTITY = ModelIdentity("PULSAR response", "test", "demo (synthetic)", "RESEARCH ONLY", True)


@dataclass(frozen=True)
class Case:
    """A series in the archive with its map."""

    source: MrSource
    map_series: str


def make(kind: str, direction: str, folder: Path) -> Case:
    """Write a series, classic or enhanced with its frames shuffled, and its map."""
    affine = np.eye(4)
    affine[:3, :3] = DIRECTIONS[direction] @ np.diag(SPACING)
    affine[:3, 3] = [11.5, -23.25, 40.125]
    volume = Volume(np.random.default_rng(0).integers(0, 1000, SHAPE).astype(np.int16), affine)
    name = f"{kind}-{direction}"
    common = {
        "patient": PatientIds(name, "SYNTHETIC^007"),
        "study": StudyIds(derived_uid("study", name), "20200131", "SYNTHETIC MR head"),
        "series_uid": derived_uid("series", name),
        "frame_uid": derived_uid("frame", name),
        "description": "T1 Gd",
    }
    if kind == "classic":
        write_series(volume, folder, **common)
    else:
        order = [int(k) for k in np.random.default_rng(1).permutation(SHAPE[2])]
        write_enhanced_series(volume, folder / "enhanced.dcm", frame_order=order, **common)
    source = read_mr_source(folder)
    cam = np.zeros(SHAPE, dtype=np.float32)
    for voxel, value in PLANTED.items():
        cam[voxel] = value
    made = cam_parametric_map(source, cam, IDENTITY, variant="gradcampp", target="response")
    made.save_as(folder / "map.dcm", write_like_original=False)
    return Case(source, made.SeriesInstanceUID)


@pytest.fixture(scope="module")
def gateway(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, OrthancServer]]:
    pages = repository / "build" / "ohif"
    for reason in (missing_orthanc(), missing_browser()):
        if reason:
            pytest.skip(reason)
    if not (pages / f"ohif-{VERSION}" / "index.html").is_file() and shutil.which("npm") is None:
        pytest.skip("npm is missing, which fetches OHIF: apt-get install npm")
    with (
        OrthancServer(tmp_path_factory.mktemp("archive")) as orthanc,
        Gateway(0, install_ohif(pages), orthanc.url, orthanc.url) as started,
    ):
        yield started.url, orthanc


@pytest.fixture(scope="module")
def browser() -> Iterator[OhifBrowser]:
    with OhifBrowser() as started:
        yield started


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("kind", ["classic", "enhanced"])
def test_voxels_of_the_map_lie_on_those_of_the_mr(
    gateway: tuple[str, OrthancServer], browser: OhifBrowser, tmp_path: Path, kind: str, direction: str
) -> None:
    url, orthanc = gateway
    case = make(kind, direction, tmp_path)
    for file in tmp_path.iterdir():
        requests.post(f"{orthanc.url}/instances", data=file.read_bytes(), timeout=30).raise_for_status()
    volume = case.source.volume
    shown = StoredMap(FirstMri(case.source.study_uid, case.source.series_uid), case.map_series, (0.0, 0.0, 0.0))
    browser.open(map_link(url, shown))
    browser.wait_for(
        "return [...window.cornerstone.cache._volumeCache.keys()].some(key => key.startsWith('pmap'))", "the map"
    )
    elsewhere = [(i, j, k) for i in (0, 20, 39) for j in (10, 25) for k in range(SHAPE[2])]
    voxels = np.array([*PLANTED, *elsewhere])
    points = flip_lps_ras(volume.to_world(voxels)).tolist()
    shown = browser.ask(VALUES, points)
    assert {name for name, _ in shown} == {"mr", "map"}
    for name, values in shown:
        planted = np.array([PLANTED.get(tuple(voxel), 0.0) for voxel in voxels.tolist()])
        expected = planted * 100 if name == "map" else volume.array[tuple(voxels.T)]
        np.testing.assert_allclose(values, expected, atol=1e-4)
