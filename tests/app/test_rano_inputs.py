"""Sequences of two studies on the atlas: found by their headers, in the right place in mm, or refused in a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from monailabel.config import settings
from orthanc_server import OrthancServer
from pacs_case import send
from planted_head import planted_head
from pulsar_app.studies.atlas import check_preparation, preparation_warnings
from pulsar_app.studies.datastore import FolderDatastore, PacsDatastore, open_datastore
from pulsar_app.studies.inputs import FINDERS, find_inputs
from pulsar_app.studies.search import FoundInput, Search
from served_rano_case import DAYS, EARLIER, NOW, SERIES, TUMOUR, Written, scan, write_study
from treatment_response.cases import atlas_images
from treatment_response.cases.registration import resample
from treatment_response.cohort.image_preparation import ImagePreparation
from treatment_response.cohort.layout import write_volume
from treatment_response.dicom.write import PatientIds
from treatment_response.geometry import Volume, moved_points
from treatment_response.geometry.template import template
from treatment_response.inference.declared_inputs import DeclaredInput
from treatment_response.problems import DataProblem

INPUTS = {
    "CT1": DeclaredInput("contrast T1 on the atlas"),
    "FLAIR": DeclaredInput("FLAIR on the atlas"),
    "CT1_earlier": DeclaredInput("earlier contrast T1 on the atlas"),
    "FLAIR_earlier": DeclaredInput("earlier FLAIR on the atlas"),
}
BRAINS = {name: DeclaredInput(f"{one.find}, brain only") for name, one in INPUTS.items() if name == "CT1"}
COARSE_MM = 4


@pytest.fixture(scope="module")
def studies(
    orthanc: OrthancServer, tmp_path_factory: pytest.TempPathFactory
) -> tuple[PacsDatastore, dict[str, Written]]:
    """Patients by what is the matter with them, and the study of now of each."""
    folder = tmp_path_factory.mktemp("patients")
    found = {}

    def add(name: str, now: tuple[str, ...], *earlier: tuple[str, str, tuple[str, ...]]) -> None:
        patient = PatientIds(f"SYN-RANO-{name}", f"SYNTHETIC^{name}", "19500105", "F")
        for day, study, sequences in earlier:
            write_study(folder / name, f"rano {name}", day, sequences, patient=patient, study=study)
        found[name] = write_study(folder / name, f"rano {name}", NOW, now, patient=patient)
        send(folder / name, orthanc.dicomweb)

    add("good", ("CT1", "FLAIR", "T2"), (EARLIER, "", ("CT1", "FLAIR")))
    add("lacking", ("CT1", "FLAIR again", "FLAIR"), (EARLIER, "", ("T2",)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings, "MONAI_LABEL_DICOMWEB_CACHE_PATH", str(folder / "cache"))
        store = open_datastore(orthanc.dicomweb)
    assert isinstance(store, PacsDatastore)
    return store, found


@pytest.fixture(scope="module")
def coarse_atlas() -> Iterator[None]:
    """The atlas at 4 mm, and LUMIERE's grid."""
    step = slice(None, None, COARSE_MM)
    scale = np.diag([COARSE_MM, COARSE_MM, COARSE_MM, 1.0])
    whole, grid = template("t1"), atlas_images.lumiere_grid()
    small = Volume(whole.array[step, step, step].copy(), whole.affine @ scale)
    coarse = Volume(grid.array[step, step, step], grid.affine @ scale)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(atlas_images, "template", lambda name: small)
        patch.setattr(atlas_images, "lumiere_grid", lambda: coarse)
        yield


def ask(
    studies: tuple[PacsDatastore, dict[str, Written]], name: str, cache: Path, sequence: str = "CT1", **more: float
) -> Search:
    store, found = studies
    image = store.open_image(found[name].series_uids[sequence])
    return Search(store, image, cache, tuple(one.find for one in INPUTS.values()), **more)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("registrations")


@pytest.fixture(scope="module")
def good(studies, coarse_atlas: None, cache: Path) -> dict[str, FoundInput]:
    return find_inputs(ask(studies, "good", cache), INPUTS)


def bright_middle(volume: Volume) -> np.ndarray:
    """Middle of the brightest part, RAS mm."""
    index = np.argwhere(volume.array > 0.75 * volume.array.max())
    near = volume.to_world(index)
    return near[np.linalg.norm(near - np.median(near, axis=0), axis=1) < 25].mean(axis=0)


def test_both_studies_lie_on_the_atlas_in_millimetres(good: dict[str, FoundInput]) -> None:
    assert [one.told for one in good.values()] == [
        f"contrast T1 of this study, {ImagePreparation.HEAD}",
        f"FLAIR of this study, {ImagePreparation.HEAD}",
        f"contrast T1 of {DAYS} days before, {ImagePreparation.HEAD}",
        f"FLAIR of {DAYS} days before, {ImagePreparation.HEAD}",
    ]
    assert len({(one.volume.array.shape, one.volume.affine.tobytes()) for one in good.values()}) == 1
    for name in ("CT1", "CT1_earlier"):
        # The head is bent by some mm, which no affine transform takes back.
        np.testing.assert_allclose(bright_middle(good[name].volume), TUMOUR, atol=COARSE_MM)


def test_the_atlas_comes_back_to_the_series_that_was_asked_for(studies, good, cache: Path) -> None:
    """From a point of the atlas image to the same point of the scan, also of a series that is no input."""
    _, found = studies
    for sequence in ("CT1", "T2"):
        inputs = good if sequence == "CT1" else find_inputs(ask(studies, "good", cache, sequence), INPUTS)
        matrix = inputs["CT1"].to_image
        assert matrix is not None
        (there,) = moved_points(matrix, bright_middle(inputs["CT1"].volume)[None])
        mask = found["good"].tumour[sequence]
        planted = found["good"].grids[sequence].to_world(np.argwhere(mask)).mean(axis=0)
        np.testing.assert_allclose(there, planted, atol=2.5)
    assert (inputs["CT1_earlier"].to_image == matrix).all()


def test_registrations_are_kept(studies, good, cache: Path, monkeypatch) -> None:
    for name in ("register", "atlas_to_image"):
        monkeypatch.setattr(atlas_images, name, lambda *more: pytest.fail("it was kept"))
    again = find_inputs(ask(studies, "good", cache), INPUTS)
    for name, one in good.items():
        np.testing.assert_array_equal(again[name].volume.array, one.volume.array)


def test_brains_alone_are_moved_rigidly_with_their_values(studies, coarse_atlas: None, cache: Path) -> None:
    _, found = studies
    search = replace(ask(studies, "good", cache), finds=tuple(one.find for one in BRAINS.values()), shared={})
    inputs = find_inputs(search, BRAINS)
    matrix = inputs["CT1"].to_image
    assert matrix is not None
    np.testing.assert_allclose(matrix[:3, :3] @ matrix[:3, :3].T, np.eye(3), atol=1e-6)
    brain = inputs["CT1"].volume
    _, truth = scan(NOW, "CT1", brain=True)
    true_brain = resample(Volume(truth.astype(np.uint8), found["good"].grids["CT1"].affine), brain, matrix, "mask")
    both = (true_brain.array > 0) & (brain.array > 0)
    assert 2 * both.sum() > 0.95 * ((true_brain.array > 0).sum() + (brain.array > 0).sum())
    (there,) = moved_points(matrix, bright_middle(brain)[None])
    planted = found["good"].grids["CT1"].to_world(np.argwhere(found["good"].tumour["CT1"])).mean(axis=0)
    np.testing.assert_allclose(there, planted, atol=2.5)
    # The head is 7 % wider than the atlas, and a rigid motion leaves it so.
    np.testing.assert_allclose(bright_middle(brain), TUMOUR, atol=8)
    inside = brain.array[both]
    np.testing.assert_allclose(np.median(inside), np.median(found["good"].grids["CT1"].array[truth]), rtol=0.05)


@pytest.mark.parametrize(
    ("name", "sequence", "operation", "words"),
    [
        ("lacking", "CT1", None, "earlier study: none of 1 has contrast T1, FLAIR: the one 90 days before has no con"),
        ("good", "CT1", 30, "this study: an operation, 30 days before, lies between it and the study 90 days before"),
    ],
)
def test_what_is_missing_is_one_sentence(studies, coarse_atlas, tmp_path, name, sequence, operation, words) -> None:
    more = {} if operation is None else {"operation_days": operation}
    with pytest.raises(DataProblem) as raised:
        find_inputs(ask(studies, name, tmp_path, sequence, **more), INPUTS)
    (line,) = str(raised.value).splitlines()
    assert line.startswith(f"input 'CT1', 'FLAIR', 'CT1_earlier', 'FLAIR_earlier': {words}")


def test_the_series_that_was_asked_for_counts_among_several(studies) -> None:
    store, found = studies
    wanted = found["lacking"].series_uids["FLAIR again"]
    here, _ = store.sequences(wanted, ("FLAIR",), ())
    assert here.series_uids == {"FLAIR": wanted}


def test_a_study_without_a_date_and_a_folder_are_refused(studies, tmp_path, monkeypatch) -> None:
    store, _ = studies
    asked = ask(studies, "good", tmp_path)
    monkeypatch.setattr(store, "_source", lambda facts: (SimpleNamespace(date=None), ""))
    with pytest.raises(DataProblem, match="image: it has no date, so no study is earlier; restore its date"):
        find_inputs(asked, INPUTS)
    write_volume(tmp_path / "head.nii.gz", planted_head()[0])
    folder = FolderDatastore(tmp_path)
    with pytest.raises(DataProblem, match="found in a PACS or in a prepared data set only"):
        find_inputs(Search(folder, folder.open_image("head"), tmp_path, asked.finds), INPUTS)


def test_inputs_must_be_prepared_as_the_weights_need_them() -> None:
    finds = [one.find for one in INPUTS.values()]
    brains = [one.find for one in BRAINS.values()]
    check_preparation(finds, str(ImagePreparation.HEAD))
    check_preparation(["this series"], str(ImagePreparation.BRAIN))
    for wrong, trained_on, words in (
        (finds, str(ImagePreparation.BRAIN), "and the weights were trained on 'brains on MNI152, rigidly'"),
        (finds, str(ImagePreparation.HEAD_ON_OTHER), "trained on 'heads on another atlas"),
        ([*finds, *brains], None, "'inputs' mixes images of brains on MNI152, rigidly and heads on MNI152"),
        ([INPUTS["CT1_earlier"].find], None, "'inputs' finds images of the earlier study alone"),
    ):
        with pytest.raises(DataProblem, match=words):
            check_preparation(wrong, trained_on)
    assert preparation_warnings(finds, str(ImagePreparation.HEAD)) == []
    assert len(preparation_warnings(brains, None)) == 2
    assert len([name for name in FINDERS if "on the atlas" in name]) == 16
    assert set(SERIES) == set(atlas_images.SEQUENCES)
