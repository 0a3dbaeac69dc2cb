"""The outlines of one session: complementary sets are merged, of two versions one counts, and both are told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from entry_case import drawn, series
from ingest_bench import BACK, FRONT, Ball, ball_contours, head, turned, uid
from treatment_response.dicom.entries import StructureSetEntry
from treatment_response.dicom.ingest.outlines import SessionOutlines, read_outlines
from treatment_response.dicom.write import PatientIds, StudyIds, WrittenSeries, write_series, write_structure_set
from treatment_response.geometry import Volume

POSE = turned(12, (3.0, -5.0, 2.0))
IDS, STUDY = PatientIds("P1", "Doe^Jane", "19500101", "F"), StudyIds(uid("study"), "20240301")
IMAGE_ENTRY = series(0)


def ball(centre: Ball, factor: float) -> Ball:
    """The same place, another volume."""
    return centre[0], centre[1] * factor ** (1 / 3)


class Bench:
    """One MR and the structure sets that a test draws on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.image: Volume = head({"a": FRONT, "b": BACK}, 1, POSE)
        self.written: WrittenSeries = write_series(
            self.image, folder / "mr", patient=IDS, study=STUDY, series_uid=uid("mr"), frame_uid=uid("frame")
        )

    def set(self, name: str, rois: dict[str, Ball], **changes: Any) -> StructureSetEntry:
        path = self.folder / f"{name}.dcm"
        contours = {roi: ball_contours(ball, POSE) for roi, ball in rois.items()}
        sop_uid = changes.pop("sop_uid", uid(name))
        write_structure_set(
            contours, path, patient=IDS, study=STUDY, referenced=self.written, structure_set_uid=sop_uid
        )
        return drawn(IMAGE_ENTRY, *rois, uid=sop_uid, path=path, **changes)

    def read(self, *sets: StructureSetEntry) -> SessionOutlines:
        return read_outlines("sub-001 ses-01", sets, self.image, uid("frame"), None)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("outlines"))


def volumes(session: SessionOutlines) -> dict[str, float]:
    return {key: outline.scan.volume_mm3 for key, outline in session.measured.items() if outline.scan}


def sphere(lesion: Ball) -> float:
    return 4 / 3 * np.pi * lesion[1] ** 3


def test_one_set_per_lesion_is_one_session(bench: Bench) -> None:
    session = bench.read(bench.set("a", {"GTV 1": FRONT}), bench.set("b", {"GTV 2": BACK}))
    assert volumes(session) == pytest.approx({"gtv1": sphere(FRONT), "gtv2": sphere(BACK)}, rel=0.01)
    place = session.lesions["gtv2"].place
    assert place is not None
    expected = POSE[:3, :3] @ np.array(BACK[0]) + POSE[:3, 3]
    assert np.linalg.norm(place.centre - expected) < 1.0  # a fifth of a voxel's diagonal
    assert any("2 structure sets" in note for note in session.notes)


def test_of_two_versions_the_first_counts_and_a_difference_is_told(bench: Bench) -> None:
    final = bench.set("final", {"GTV 1": FRONT}, approval="APPROVED")
    draft = bench.set("draft", {"GTV 1": ball(FRONT, 0.5), "GTV 2": BACK}, drawn_at="20240302")
    session = bench.read(final, draft)
    assert volumes(session) == pytest.approx({"gtv1": sphere(FRONT), "gtv2": sphere(BACK)}, rel=0.01)
    told = [note for note in session.notes if "differ beyond contouring noise" in note]
    assert len(told) == 1
    assert f"{volumes(session)['gtv1']:.0f} mm³ here" in told[0]
    assert "the approved or newer one counts" in told[0]
    alike = bench.read(final, bench.set("again", {"GTV 1": ball(FRONT, 1.03)}, drawn_at="20240302"))
    assert not [note for note in alike.notes if "differ" in note]


def test_a_tie_is_told(bench: Bench) -> None:
    session = bench.read(bench.set("one", {"GTV 1": FRONT}), bench.set("two", {"GTV 1": ball(FRONT, 0.5)}))
    assert any("neither approval nor date tells" in note for note in session.notes)


def test_two_names_at_one_place_in_two_sets_are_one_lesion(bench: Bench) -> None:
    readers = {"GTV 1": FRONT, "GTV 2": BACK}, {"Met A": ball(FRONT, 0.8), "Met B": ball(BACK, 0.8)}
    session = bench.read(bench.set("reader1", readers[0]), bench.set("reader2", readers[1]))
    assert volumes(session) == pytest.approx({"gtv1": sphere(FRONT), "gtv2": sphere(BACK)}, rel=0.01)


def test_two_names_in_one_set_stay_two(bench: Bench) -> None:
    assert set(volumes(bench.read(bench.set("both", {"GTV 1": FRONT, "Met A": FRONT})))) == {"gtv1", "meta"}


def test_one_name_at_two_places_names_neither(bench: Bench) -> None:
    session = bench.read(bench.set("first", {"GTV": FRONT}), bench.set("second", {"GTV": BACK}))
    assert volumes(session) == {}
    assert "different places" in session.lesions["gtv"].fault


def test_a_union_of_another_set_is_not_used(bench: Bench) -> None:
    near: Ball = ((FRONT[0][0] - 16.0, *FRONT[0][1:]), 5.0)
    both: Ball = ((FRONT[0][0] - 6.0, *FRONT[0][1:]), 17.0)
    union = bench.set("union", {"Targets": both}, approval="APPROVED")
    session = bench.read(union, bench.set("single", {"GTV 1": FRONT, "GTV 2": near}))
    assert set(volumes(session)) == {"gtv1", "gtv2"}
    assert any("covers several lesions" in note for note in session.notes)


def test_two_files_of_one_uid_that_differ_decide_nothing(bench: Bench) -> None:
    same = {"sop_uid": uid("rival"), "rival": True}
    session = bench.read(bench.set("rival1", {"GTV 1": FRONT}, **same), bench.set("rival2", {"GTV 1": BACK}, **same))
    assert volumes(session) == {}
    smaller = bench.set("rival3", {"GTV 1": ball(FRONT, 0.6)}, **same)
    session = bench.read(bench.set("rival1", {"GTV 1": FRONT}, **same), smaller)
    assert "two files with one instance UID" in session.lesions["gtv1"].fault


def test_a_set_that_cannot_be_read_is_unread_and_the_others_are_used(bench: Bench) -> None:
    spoilt = bench.set("spoilt", {"GTV 2": BACK})
    spoilt.path.write_bytes(spoilt.path.read_bytes()[:900])
    session = bench.read(bench.set("fine", {"GTV 1": FRONT}), spoilt)
    assert set(session.lesions) == {"gtv1"}
    assert len(session.unread) == len(session.problems) == 1


def test_an_empty_roi_is_named_and_not_measured(bench: Bench) -> None:
    path = bench.folder / "empty.dcm"
    write_structure_set({"GTV 1": []}, path, patient=IDS, study=STUDY, referenced=bench.written)
    lesion = bench.read(drawn(IMAGE_ENTRY, "GTV 1", path=path)).lesions["gtv1"]
    assert lesion.empty
    assert lesion.scan is None
    assert not lesion.fault


def test_a_drawn_outline_counts_before_an_empty_one(bench: Bench) -> None:
    path = bench.folder / "emptied.dcm"
    write_structure_set({"GTV 1": []}, path, patient=IDS, study=STUDY, referenced=bench.written)
    empty = drawn(IMAGE_ENTRY, "GTV 1", uid=uid("emptied"), path=path, approval="APPROVED")
    session = bench.read(empty, bench.set("drawn", {"GTV 1": FRONT}))
    assert volumes(session) == pytest.approx({"gtv1": sphere(FRONT)}, rel=0.01)
    assert any("the drawn one counts" in note for note in session.notes)
