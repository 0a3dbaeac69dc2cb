"""A small synthetic hospital of patients after radiotherapy: what is planted is known in millimetres."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from planted_head import Ball, planted_head, pose
from pydicom.dataset import Dataset
from treatment_response.dicom.write import (
    PatientIds,
    StudyIds,
    write_dose,
    write_plan,
    write_series,
    write_structure_set,
)
from treatment_response.dicom.write.base import derived_uid, new_object, save
from treatment_response.dicom.write.identity import Equipment
from treatment_response.geometry import Volume, moved_points

FIRST = date(2022, 3, 1)
EVENT_DAY, PLAN_DAY, END_DAY = 300, 14, 62
CAVITY: Ball = ((-40.0, 8.0, 26.0), 11.0, 0.15)
LESION: Ball = ((-34.0, -20.0, 28.0), 9.0, 1.7)
HIGH_DOSE_MM, FALL_MM = 30.0, 4.0
PRESCRIPTION_GY, FRACTIONS = 60.0, 30


def script() -> Any:
    """The command line as a module."""
    path = Path(__file__).resolve().parents[1] / "scripts" / "prepare_longitudinal.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def motion() -> np.ndarray:
    """Head mm at the event → scanner mm of the post-operative MR."""
    angle = np.deg2rad(7)
    matrix = np.eye(4)
    matrix[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    matrix[:3, 3] = (6.0, -9.0, 11.0)
    return matrix


def place_mm(ball: Ball) -> np.ndarray:
    """Centre of a ball in the event's RAS mm. The bump moves it by less than a tenth of a millimetre."""
    return moved_points(pose(), np.array([ball[0]]))[0]


def dose_gy(points: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Planned dose at points in RAS mm: high around a centre, with a logistic edge."""
    distance = np.linalg.norm(points - centre, axis=1)
    return 1.04 * PRESCRIPTION_GY / (1 + np.exp((distance - HIGH_DOSE_MM) / FALL_MM))


def planned_dose(share: float = 1.0) -> Volume:
    """The plan's dose, on an axial grid of 3 mm in the post-operative scanner's mm."""
    centre = moved_points(motion(), place_mm(CAVITY)[None])[0]
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    affine[:3, 3] = centre - 75
    index = np.indices((51, 51, 51)).reshape(3, -1).T
    values = dose_gy(index * 3.0 + affine[:3, 3], centre) * share
    return Volume(values.reshape(51, 51, 51).astype(np.float32), affine)


def circles(ball: Ball, step: float = 1.0) -> list[np.ndarray]:
    """Contours of a ball in the event's mm, as if its radius were the same in all directions there."""
    centre, radius = place_mm(ball), ball[1]
    angle = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    found = []
    for height in np.arange(-radius + step / 2, radius, step):
        r = np.sqrt(radius**2 - height**2)
        found.append(centre + np.stack([r * np.cos(angle), r * np.sin(angle), np.full_like(angle, height)], 1))
    return found


@dataclass
class Hospital:
    """Writes patients under a folder; what is told of each goes to the clinical table."""

    folder: Path

    def __post_init__(self) -> None:
        self.rows: list[str] = []
        self._written = 0

    def patient(
        self,
        name: str,
        label: str = "recurrence",
        *,
        images: bool = True,
        outline: bool = True,
        later_course: bool = False,
        records: int | None = None,
        fractions_delivered: str = "",
        fractions: int | None = FRACTIONS,
        dose: Volume | None = None,
        dose_type: str = "PHYSICAL",
        dose_frame: str = "post",
        event: Volume | None = None,
        contrast: bool = True,
        event_day: int = EVENT_DAY,
        follow_up_day: int | None = None,
        row: bool = True,
    ) -> Path:
        """Write one patient: post-operative MR, plan, dose, event MR, and a structure set on it.

        Args:
            images: whole heads; else a few noisy voxels, for what is refused before an image is looked at.
            records: fractions of treatment records; None: there are none.
            fractions_delivered: as the clinical table states them.
            dose: None is the planned dose. dose_frame: ``post``, ``event``, or one in which no image lies.
            event: image in place of the head.
            follow_up_day: of one more MR, in the event's frame of reference; None: there is none.
        """
        self._ids = PatientIds(f"SYN-{name}", f"SYNTHETIC^{name}", "19600101", "F")
        self._root = self.folder / name
        frames = {key: derived_uid(name, "frame", key) for key in ("post", "event", "nowhere")}
        self._written += 1  # two persons never have the same noise
        small = Volume(np.random.default_rng(1).random((12, 12, 12)) * 900, np.diag([8.0, 8, 8, 1]))
        post = planted_head((CAVITY,), motion(), 5.0, seed=2 * self._written - 1)[0] if images else small
        now = event or (planted_head((CAVITY, LESION), seed=2 * self._written)[0] if images else small)
        self._series(post, "post", 0, frames["post"], True)
        written = self._series(now, "event", event_day, frames["event"], contrast)
        if follow_up_day is not None:
            self._series(now, "follow-up", follow_up_day, frames["event"], True)
        if outline:
            study = self._study("event", event_day)
            write_structure_set({"GTV recurrence": circles(LESION)}, self._root / "rs.dcm", patient=self._ids,
                                study=study, referenced=written)  # fmt: skip
        self._course("plan", PLAN_DAY, frames[dose_frame], dose or planned_dose(), fractions, dose_type)
        if later_course:
            self._course("later", event_day + 20, frames["event"], planned_dose(0.6), 10, "PHYSICAL")
        for number in range(records or 0):
            self._record(number + 1, END_DAY - (records or 0) + number + 1)
        if row:
            day = FIRST + timedelta(days=event_day)
            decided = FIRST + timedelta(days=event_day + 30)
            self.rows.append(f"SYN-{name},{day},{label},{decided},biopsy,{fractions_delivered}")
        return self._root

    def table(self) -> Path:
        """Write ``clinical.csv``."""
        path = self.folder / "clinical.csv"
        header = "patient_id,event_date,label,label_date,label_source,fractions_delivered"
        path.write_text("\n".join([header, *self.rows]) + "\n")
        return path

    def course(self, name: str, day: int, dose: Volume) -> None:
        """Write a further course of the last patient, in the frame of the post-operative MR."""
        frame = derived_uid(self._ids.patient_id.removeprefix("SYN-"), "frame", "post")
        self._course(name, day, frame, dose, FRACTIONS, "PHYSICAL")

    def _study(self, name: str, day: int) -> StudyIds:
        when = FIRST + timedelta(days=day)
        return StudyIds(derived_uid(self._ids.patient_id, name), f"{when:%Y%m%d}", "SYNTHETIC head")

    def _series(self, image: Volume, name: str, day: int, frame: str, contrast: bool) -> Any:
        return write_series(image, self._root / name, patient=self._ids, study=self._study(name, day), frame_uid=frame,
                            series_uid=derived_uid(self._ids.patient_id, name, "series"), contrast=contrast,
                            description=f"SYNTHETIC t1{' gd' * contrast}")  # fmt: skip

    def _course(self, name: str, day: int, frame: str, dose: Volume, fractions: int | None, dose_type: str) -> None:
        study = self._study(name, day)
        uid = derived_uid(self._ids.patient_id, name, "plan")
        path = self._root / f"{name}.dcm"
        write_plan(path, patient=self._ids, study=study, structure_set_uid=derived_uid("rs"), frame_uid=frame,
                   prescription_gy=PRESCRIPTION_GY, fractions=fractions or 1, plan_uid=uid)  # fmt: skip
        change(path, lambda plan: _describe(plan, fractions))
        dose_path = self._root / f"{name}_dose.dcm"
        write_dose(dose, dose_path, patient=self._ids, study=study, frame_uid=frame, plan_uid=uid)
        change(dose_path, lambda written: setattr(written, "DoseType", dose_type))

    def _record(self, number: int, day: int) -> None:
        study = self._study("plan", day)
        uid = derived_uid(self._ids.patient_id, "record", str(number))
        out = new_object(
            "1.2.840.10008.5.1.4.1.1.481.4",
            uid,
            "RTRECORD",
            derived_uid(uid, "series"),
            patient=self._ids,
            study=study,
            equipment=Equipment(),
            description="",
            series_number=40,
        )
        plan, beam = Dataset(), Dataset()
        plan.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.481.5"
        plan.ReferencedSOPInstanceUID = derived_uid(self._ids.patient_id, "plan", "plan")
        beam.CurrentFractionNumber, beam.TreatmentDeliveryType = number, "TREATMENT"
        out.ReferencedRTPlanSequence, out.TreatmentSessionBeamSequence = [plan], [beam]
        out.TreatmentDate = study.date
        save(out, self._root / f"record{number}.dcm")


def change(path: Path, edit: Any) -> None:
    """Edit a DICOM file in place."""
    dataset = pydicom.dcmread(path)
    edit(dataset)
    dataset.save_as(path)


def _describe(plan: Dataset, fractions: int | None) -> None:
    beam = Dataset()
    beam.BeamNumber, beam.RadiationType, beam.TreatmentDeliveryType = 1, "PHOTON", "TREATMENT"
    plan.BeamSequence = [beam]
    if fractions is None:
        del plan.FractionGroupSequence[0].NumberOfFractionsPlanned
