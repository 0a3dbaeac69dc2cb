"""How long a viewer waits for a prediction, and where the time goes, on the real server.

One lesion in a generated 176 × 256 × 256 MR (1 mm) that the server has in its cache: the request that OHIF sends, until
the label map is here. Once from a folder of NIfTI with a saved label, and, where Orthanc is installed, once from a PACS
with a structure set.

    python benchmarks/server.py [--requests 200]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import requests
from treatment_response.cohort.layout import write_volume
from treatment_response.dicom.write import PatientIds, StudyIds, write_series, write_structure_set
from treatment_response.dicom.write.base import derived_uid
from treatment_response.geometry import Volume, outline_mask

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "apps" / "pulsar_response"))

from pulsar_app.local.app_server import start_app
from pulsar_app.local.orthanc import Orthanc
from pulsar_app.local.processes import Program

SHAPE = (256, 256, 176)
LESION, RADIUS_MM = (150, 140, 90), 9.0
P50 = {"A folder of NIfTI, a saved label": 0.3, "A PACS, a structure set": 0.15}
P95, NETWORK, GROWTH_MB = 1.0, 0.1, 10.0
PARTS = ("read", "preprocess", "network", "map_back", "answer", "write", "total")
WARM_UP = 10
IMAGE_ID = "sub-001_ce-gadolinium_T1w"
PATIENT = PatientIds("SYN-001", "SYNTHETIC^001")


def phantom() -> tuple[Volume, np.ndarray]:
    """A head of noise with one bright ball, and the ball."""
    i, j, k = np.ogrid[tuple(slice(0, size) for size in SHAPE)]
    middle = [size / 2 for size in SHAPE]
    inside = sum(((axis - m) / (0.9 * m)) ** 2 for axis, m in zip((i, j, k), middle, strict=True)) < 1
    ball = sum((axis - centre) ** 2 for axis, centre in zip((i, j, k), LESION, strict=True)) <= RADIUS_MM**2
    values = np.where(inside, 400.0, 15.0) + 350.0 * ball
    values += np.random.default_rng(0).normal(0, 12, SHAPE)
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])
    affine[:3, 3] = [128.0, 128.0, -88.0]
    return Volume(np.rint(values.clip(0)).astype(np.int16), affine), np.asarray(ball)


@contextmanager
def folder_of_nifti(root: Path) -> Iterator[tuple[Program, str, str]]:
    """A server on a folder with the MR and a label that a user saved."""
    image, ball = phantom()
    (root / "studies").mkdir(parents=True)
    write_volume(root / "studies" / f"{IMAGE_ID}.nii.gz", image)
    write_volume(root / "label.nii.gz", Volume(ball.astype(np.uint8), image.affine))
    program, url = start_app(str(root / "studies"), root / "server")
    with program:
        saved = requests.put(
            f"{url}/datastore/label",
            params={"image": IMAGE_ID},
            files={"label": ("label.nii.gz", (root / "label.nii.gz").read_bytes())},
            timeout=60,
        )
        saved.raise_for_status()
        yield program, url, IMAGE_ID


@contextmanager
def pacs(root: Path) -> Iterator[tuple[Program, str, str]]:
    """A server on an Orthanc with the MR and a structure set of the lesion."""
    image, ball = phantom()
    study = StudyIds(derived_uid("benchmark study"), "20200131", "SYNTHETIC MR head")
    uids = {"series_uid": derived_uid("benchmark series"), "frame_uid": derived_uid("benchmark frame")}
    written = write_series(image, root / "dicom", patient=PATIENT, study=study, **uids)
    contours = {"GTV_1": [points for _, points in outline_mask(ball, image.affine)]}
    write_structure_set(contours, root / "dicom" / "rtstruct.dcm", patient=PATIENT, study=study, referenced=written)
    with Orthanc(root / "orthanc") as orthanc:
        orthanc.load(sorted((root / "dicom").rglob("*.dcm")))
        program, url = start_app(orthanc.dicomweb, root / "server")
        with program:
            yield program, url, written.series_uid


def ask(url: str, image: str) -> tuple[float, dict[str, float], int]:
    """One request as OHIF sends it; seconds until all is here, the server's own account, lesions predicted."""
    params = {"result_extension": ".nrrd", "result_dtype": "uint8", "result_compress": False}
    started = time.perf_counter()
    response = requests.post(
        f"{url}/infer/pulsar_response",
        params={"image": image, "output": "image"},
        data={"params": json.dumps(params)},
        timeout=120,
        stream=True,
    )
    response.raw.read()  # in one piece, as a browser does; `requests` would take 10 kB at a time
    seconds = time.perf_counter() - started
    response.raise_for_status()
    told = requests.get(f"{url}/answers/{image}", timeout=30).json()
    return seconds, told["latencies"], len(told["lesions"])


def processes(program: Program) -> list[psutil.Process]:
    """The server's process and the workers that it started."""
    server = psutil.Process(program._process.pid)
    return [server, *server.children(recursive=True)]


def resident_mb(program: Program) -> float:
    """Memory of the server and its workers."""
    return float(sum(process.memory_info().rss for process in processes(program))) / 2**20


def cpu_seconds(program: Program) -> float:
    """What the server and its workers have computed so far; a busy machine moves it less than the clock."""
    return float(sum(sum(process.cpu_times()[:2]) for process in processes(program)))


def measure(name: str, program: Program, url: str, image: str, count: int) -> bool:
    """Print one table; whether the limits hold."""
    first, _, lesions = ask(url, image)
    if lesions != 1:
        raise SystemExit(f"{name}: expected one lesion, the server predicted {lesions}.")
    for _ in range(WARM_UP):
        ask(url, image)
    before, computed = resident_mb(program), cpu_seconds(program)
    answers = [ask(url, image)[:2] for _ in range(count)]
    after, computed = resident_mb(program), cpu_seconds(program) - computed
    waits = sorted(seconds for seconds, _ in answers)
    p50, p95 = statistics.median(waits), waits[min(len(waits) - 1, int(0.95 * len(waits)))]
    print(f"\n### {name}\n")
    print(f"{count} warm requests, load {os.getloadavg()[0]:.1f}; the first, which reads the MR: {first:.2f} s\n")
    print("| | p50 s | p95 s |\n|---|---|---|")
    print(f"| **a viewer waits** | **{p50:.3f}** | **{p95:.3f}** |")
    network = 0.0
    for part in PARTS:
        spent = sorted(told[part] for _, told in answers)
        middle, high = statistics.median(spent), spent[int(0.95 * (len(spent) - 1))]
        network = middle if part == "network" else network
        print(f"| server: {part} | {middle:.3f} | {high:.3f} |")
    print(f"\nThe server computed {computed / count:.3f} s per request.")
    print(f"Memory of the server: {before:.0f} MB before, {after:.0f} MB after.", flush=True)
    return p50 <= P50[name] and p95 < P95 and network <= NETWORK and after - before <= GROWTH_MB


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=200, help="warm requests per table")
    parser.add_argument("--without-pacs", action="store_true", help="only the folder of NIfTI")
    options = parser.parse_args()
    places = dict(zip(P50, (folder_of_nifti, pacs), strict=True))
    held = True
    for name, place in list(places.items())[: 1 if options.without_pacs else 2]:
        with tempfile.TemporaryDirectory() as folder, place(Path(folder)) as (program, url, image):
            held = measure(name, program, url, image, options.requests) and held
    limits = f"p50 {' and '.join(map(str, P50.values()))} s, p95 {P95} s, network with all CAMs {NETWORK} s"
    print(f"\nLimits ({limits}, {GROWTH_MB:g} MB more memory): {'held' if held else 'NOT held'}.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
