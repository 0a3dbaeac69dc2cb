"""A synthetic patient in a PACS: heads scanned twice, each time in several sequences, with a tumour that shrinks.

Every series has its own grid, oblique and anisotropic; in the earlier study the head lies elsewhere.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from planted_head import planted_head, template_points
from scipy.spatial.transform import Rotation
from treatment_response.dicom.write import PatientIds, StudyIds, write_series, write_structure_set
from treatment_response.dicom.write.base import derived_uid
from treatment_response.geometry import Volume, outline_mask

NOW, EARLIER = "20210401", "20210101"
DAYS = 90
TUMOUR = (30.0, -20.0, 32.0)
"""Its middle in mm of the template."""
RADIUS_MM = {NOW: 11.0, EARLIER: 16.0}
OEDEMA = (24.0, -30.0, 32.0)
"""Middle of what may lie around the tumour and is bright on T2 and FLAIR alone; in mm of the template."""
SERIES = {"T1": "t1_se_tra nativ", "CT1": "t1_mprage_tra KM", "T2": "t2_tse_tra", "FLAIR": "t2_tirm_tra_dark-fluid"}
"""Series descriptions."""
_SIGNAL = {"T1": 0.6, "CT1": 2.2, "T2": 1.5, "FLAIR": 1.8}
"""Of the tumour; white matter is about 0.8."""
_DEGREES = {"T1": 4.0, "CT1": 12.0, "T2": -6.0, "FLAIR": 8.0}
"""By which each sequence's grid is oblique."""
_SHIFTS = {"T2": (5.0, -4.0, 3.0), "FLAIR": (-2.0, 3.0, 1.5)}


@dataclass(frozen=True)
class Written:
    """One study in files.

    Attributes:
        study_uid: of it. series_uids: by sequence. grids: of the series.
        tumour: mask of the tumour on each series' grid.
    """

    study_uid: str
    series_uids: Mapping[str, str]
    grids: Mapping[str, Volume]
    tumour: Mapping[str, np.ndarray]


def motion(day: str, sequence: str) -> np.ndarray:
    """Rigid, head mm → scanner mm: how the head lay. It moves between the sequences too."""
    matrix = np.eye(4)
    matrix[:3, 3] = _SHIFTS.get(sequence, (0, 0, 0))
    if day == EARLIER:
        matrix[:3, :3] = Rotation.from_euler("xyz", [4, -3, 6], degrees=True).as_matrix()
        matrix[:3, 3] += (6.0, -5.0, 4.0)
    return matrix


def scan(
    day: str, sequence: str, brain: bool = False, radius_mm: float | None = None, oedema_mm: float = 0.0
) -> tuple[Volume, np.ndarray]:
    """A series' values, int16, and the mask of the tumour on its grid, or that of the brain; see `write_study`."""
    radius = RADIUS_MM[day] if radius_mm is None else radius_mm
    balls = [(TUMOUR, radius, _SIGNAL[sequence])]
    if oedema_mm and sequence in ("T2", "FLAIR"):
        balls.insert(0, (OEDEMA, oedema_mm, _SIGNAL[sequence]))
    seed = sorted(SERIES).index(sequence) + 10 * (day == NOW)
    image, whole = planted_head(balls, motion(day, sequence), _DEGREES[sequence], seed)
    points = template_points(image, motion(day, sequence))
    inside = np.linalg.norm(points - TUMOUR, axis=1).reshape(image.array.shape) < radius
    return Volume(np.rint(image.array).astype(np.int16), image.affine), whole.array > 0 if brain else inside


def write_study(
    folder: Path,
    name: str,
    day: str,
    sequences: Collection[str] = tuple(SERIES),
    *,
    patient: PatientIds,
    outlined: str = "",
    study: str = "",
    radius_mm: float | None = None,
    oedema_mm: float = 0.0,
) -> Written:
    """Write the series of a study, numbered in their order.

    Args:
        name: of the patient, makes UIDs. day: of `RADIUS_MM`; also the study's date.
        sequences: of `SERIES`, in this order; ``FLAIR again`` is another FLAIR.
        outlined: the sequence that a structure set of the tumour is drawn on; empty for none.
        study: makes another study of the same day.
        radius_mm: of the tumour; that of `RADIUS_MM` by default. oedema_mm: radius around `OEDEMA`; 0 for none.
    """
    uids: dict[str, str] = {}
    grids: dict[str, Volume] = {}
    tumours: dict[str, np.ndarray] = {}
    ids = StudyIds(derived_uid(name, day, study), day, "SYNTHETIC MR head")
    for number, sequence in enumerate(sequences, start=1):
        kind = sequence.removesuffix(" again")
        volume, inside = scan(day, kind, radius_mm=radius_mm, oedema_mm=oedema_mm)
        uids[sequence] = derived_uid(name, "series", day + study, sequence)
        written = write_series(
            volume,
            folder / f"{day}{study}" / sequence,
            patient=patient,
            study=ids,
            series_uid=uids[sequence],
            frame_uid=derived_uid(name, "frame", day),
            description=SERIES[kind],
            contrast=kind == "CT1",
            series_number=number,
        )
        grids[sequence], tumours[sequence] = volume, inside
        if sequence == outlined:
            contours = {"GTV 1": [points for _, points in outline_mask(inside, volume.affine)]}
            path = folder / f"rs{day}{study}.dcm"
            write_structure_set(contours, path, patient=patient, study=ids, referenced=written)
    return Written(ids.study_uid, uids, grids, tumours)
