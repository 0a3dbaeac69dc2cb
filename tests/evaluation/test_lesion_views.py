"""What a run stores of its lesions: the report draws it as it was computed, and reads it from nowhere else."""

from dataclasses import fields
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from toy_dataset import write_toy_dataset
from treatment_response.cases.samples import SampleRow, Samples
from treatment_response.cohort.dataset import load_datalist
from treatment_response.evaluation.lesion_views import lesion_views
from treatment_response.evaluation.views import LESION_VIEWS, VARIANT_NAMES, LesionView, read_views, write_views
from treatment_response.evaluation.write_lesion_views import WriteLesionViews
from treatment_response.model_description import TrainingData
from treatment_response.networks import CellVoteClassifier, MaskedAutoencoderClassifier
from treatment_response.problems import DataProblem
from treatment_response.report.lesions.lesion_pictures import _patches
from treatment_response.training.experiment import read_samples
from treatment_response.weights import write_weights

RESPONSE_OF = {"L01": 1, "L02": 0, "L03": None}
SCALES = {variant: {"non-response": 1.0, "response": 1.0} for variant in VARIANT_NAMES}


def discs(rows: list[SampleRow], radius: float = 12.0) -> Samples:
    i, j = np.mgrid[:64, :64] - 31.5
    mask = np.hypot(i, j) < radius
    rng = np.random.default_rng(0)
    images = [np.stack([rng.random((64, 64)) * 0.3 + 0.4 * mask, mask]) for _ in rows]
    return Samples(torch.from_numpy(np.stack(images).astype(np.float32)), rows)


def samples() -> Samples:
    """Two folds of a patient each, three lesions of which one has no label, both sessions and a turned copy."""
    views = (("ses-01", 0.0), ("ses-01", 45.0), ("ses-02", 0.0))
    return discs(
        [
            SampleRow(f"sub-00{fold + 1}", lesion, session, fold, label, angle, 0.5)
            for fold in (0, 1)
            for lesion, label in RESPONSE_OF.items()
            for session, angle in views
        ]
    )


@pytest.mark.parametrize("network_of", [MaskedAutoencoderClassifier, CellVoteClassifier])
def test_views_hold_what_the_network_computed_and_come_back_from_their_file(network_of, tmp_path):
    some = samples().where(lambda row: row.label is not None)
    torch.manual_seed(0)
    network = network_of().eval()
    views = lesion_views(network, SCALES, some)
    with torch.no_grad():
        expected = torch.sigmoid(network(some.image))[:, 0]
    assert [view.p_response for view in views] == pytest.approx(expected.tolist())
    assert (views[0].reconstruction is None) == (network_of is CellVoteClassifier)
    assert len(views[0].cams) == 6
    outside = ~views[0].cell_mask()
    assert all(cam[outside].max() == 0 for cam in views[0].cams.values())
    write_views(tmp_path / LESION_VIEWS, views)
    for before, after in zip(views, read_views(tmp_path / LESION_VIEWS), strict=True):
        for each in fields(LesionView):
            np.testing.assert_equal(getattr(after, each.name), getattr(before, each.name))
    assert lesion_views(network, None, some.where(lambda row: False)) == []


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", "arrays"], ids=["empty", "cut off", "other arrays"])
def test_a_file_that_holds_no_views_is_told_in_a_sentence(content, tmp_path):
    path = tmp_path / LESION_VIEWS
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.savez(path, subject=np.array(["sub-001"]))
    with pytest.raises(DataProblem, match=r"lesion_views\.npz: it holds no views .*score the network again"):
        read_views(path)


def written(run, scored: Samples, protocol: str) -> list[tuple[str, str]]:
    network = MaskedAutoencoderClassifier().eval()
    (run / "models").mkdir(parents=True)
    write_weights(run / "models" / "model.pt", network, SCALES, TrainingData())
    WriteLesionViews(str(run), network, scored, protocol, fold=1)(SimpleNamespace())
    return [(view.subject, view.lesion) for view in read_views(run / LESION_VIEWS)]


def test_the_lesions_are_those_that_the_network_has_not_trained_on(tmp_path):
    assert written(tmp_path / "b", samples(), "B") == [("sub-002", "L01"), ("sub-002", "L02")]
    assert len(written(tmp_path / "a", samples(), "A")) == 4  # protocol A holds none out


def test_of_a_lesion_whose_slices_are_samples_the_largest_area_is_shown(tmp_path):
    pixels = (0.5, 0.7, 0.6)
    rows = [SampleRow("sub-002", "L01", "ses-01", 1, 1, 0.0, pixel, slice=n) for n, pixel in enumerate(pixels)]
    written(tmp_path, discs(rows), "B")
    (view,) = read_views(tmp_path / LESION_VIEWS)
    assert view.pixel_mm == 0.7


def test_maps_without_a_scale_are_left_out_and_the_evaluation_goes_on(tmp_path):
    network = MaskedAutoencoderClassifier().eval()
    (tmp_path / "models").mkdir()
    write_weights(tmp_path / "models" / "model.pt", network, None, TrainingData())
    (tmp_path / LESION_VIEWS).write_text("of another model")
    WriteLesionViews(str(tmp_path), network, samples(), "B", 0)(SimpleNamespace())
    assert not (tmp_path / LESION_VIEWS).exists()


def test_a_lesion_that_no_network_has_mapped_is_shown_as_the_network_would_see_it(tmp_path):
    dataset = write_toy_dataset(tmp_path, patients=4, folds=2)
    read = read_samples(dataset_dir=str(dataset), sessions=("ses-01",), **{"angles": []})
    patches = _patches(load_datalist(dataset))
    assert len(patches) == len(read) == 8
    for x, row in zip(read.image.numpy(), read.rows, strict=True):
        patch = patches[row.subject, row.case]
        np.testing.assert_allclose(patch.image.clip(0, 1), x[0], atol=1e-6)
        np.testing.assert_array_equal(patch.mask, x[1])
        assert patch.pixel == row.pixel
