"""What the guard's tests share: a small MR with a lesion, as files and as DICOM, and addresses sent as they are."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import Any

import numpy as np
import requests
import SimpleITK as sitk
from treatment_response.dicom.write import PatientIds, StudyIds, write_series
from treatment_response.dicom.write.base import derived_uid
from treatment_response.geometry import Volume

SHAPE = (48, 52, 16)
SPACING = (2.0, 2.0, 3.0)
CENTRE = (30, 24, 8)


def affine() -> np.ndarray:
    """Axes of a scanner: the first two run towards L and P."""
    matrix = np.diag([-SPACING[0], -SPACING[1], SPACING[2], 1.0])
    matrix[:3, 3] = [48.0, 52.0, -24.0]
    return matrix


def head() -> np.ndarray:
    """A noisy ellipsoid with a bright ball in it."""
    unit = [np.linspace(-1, 1, size) for size in SHAPE]
    inside = sum(axis**2 for axis in np.meshgrid(*unit, indexing="ij")) < 0.9
    noise = np.random.default_rng(0).normal(0, 20, SHAPE)
    return np.clip(inside * 400 + noise + lesion() * 250, 0, None).astype(np.int16)


def lesion() -> np.ndarray:
    """A ball of 9 mm radius."""
    distance = (np.indices(SHAPE) - np.reshape(CENTRE, (3, 1, 1, 1))) * np.reshape(SPACING, (3, 1, 1, 1))
    return np.linalg.norm(distance, axis=0) <= 9


def write_nifti(path: Path, array: np.ndarray) -> Path:
    """Write an array on the case's grid; the extension chooses the format."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.T))
    image.SetSpacing(SPACING)
    image.SetOrigin((-48.0, -52.0, -24.0))  # LPS
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))
    return path


def write_dicom(folder: Path, patient: PatientIds, name: str) -> str:
    """Write the MR as a DICOM series of a study of its own; returns its Series Instance UID."""
    uid = derived_uid(f"series {name}")
    write_series(
        Volume(head().astype(np.float32), affine()),
        folder,
        patient=patient,
        study=StudyIds(derived_uid(f"study {name}"), "20200131", "SYNTHETIC head"),
        series_uid=uid,
        frame_uid=derived_uid(f"frame {name}"),
    )
    return uid


def sentence(response: requests.Response) -> str:
    """The fault that a response tells, after its form was checked: one line of JSON, and nothing of the code."""
    assert response.headers["content-type"] == "application/json", response.text[:200]
    body = response.json()
    assert list(body) == ["detail"], body
    said = body["detail"]
    assert isinstance(said, str)
    assert said.endswith(".")
    assert "\n" not in said
    assert "Traceback" not in said
    assert "/tmp" not in said
    return said


def send_raw(port: int, method: str, target: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Any:
    """Status and body of a request whose target is sent exactly as it is written."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.putrequest(method, target, skip_host="Host" in (headers or {}), skip_accept_encoding=True)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def form(**params: Any) -> dict[str, str]:
    """Parameters of an inference request as its form field."""
    return {"params": json.dumps(params)}
