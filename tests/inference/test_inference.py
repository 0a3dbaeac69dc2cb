"""The inference bundle on a small data set: what it writes, where that lies, and that training prepares its input."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow
from monai.transforms import Compose
from monai.utils import set_determinism
from slicer_scene import assert_slicer_sees, needs_slicer
from treatment_response.geometry import Volume

CONFIGS = Path(__file__).resolve().parents[2] / "bundle" / "configs"
VARIANTS = ("gradcam", "gradcampp", "pixelwise")


def infer(output_dir: Path, run_folder: Path, **overrides) -> Path:
    workflow = ConfigWorkflow(
        config_file=str(CONFIGS / "inference.json"),
        workflow_type="infer",
        logging_file=False,
        output_dir=str(output_dir),
        model_path=str(run_folder / "models" / "model.pt"),
        device="$torch.device('cpu')",
        plain_problems=None,
        **overrides,
    )
    workflow.initialize()
    workflow.run()
    return output_dir


@pytest.fixture(scope="module")
def cams(dataset, run_folder, tmp_path_factory) -> Path:
    return infer(tmp_path_factory.mktemp("out") / "cams", run_folder, dataset_dir=str(dataset))


def lesion_map(cams: Path, subject: str, lesion: str, name: str) -> nibabel.Nifti1Image:
    return nibabel.load(cams / subject / "ses-01" / f"{subject}_ses-01_label-{lesion}_{name}.nii.gz")


@pytest.fixture(scope="module")
def details(cams) -> dict:
    return json.loads((cams / "lesions.json").read_text())


def test_every_lesion_has_its_twelve_maps_and_nothing_else_is_written(cams, tiny):
    expected = {"lesions.json", "lesions.csv"} | {
        f"{subject}/ses-01/{subject}_ses-01_label-{lesion}_cam-{variant}_class-{target}_{kind}.nii.gz"
        for subject, lesion in tiny.lesions
        for variant in VARIANTS
        for target in ("response", "nonresponse")
        for kind in ("raw", "scaled")
    }
    assert {str(path.relative_to(cams)) for path in cams.rglob("*") if path.is_file()} == expected
    assert [path.name for path in cams.parent.iterdir()] == ["cams"]


def test_maps_lie_on_the_mr_grid_and_inside_the_lesion(cams, tiny):
    for (subject, lesion), (centre, radius, _) in tiny.lesions.items():
        mask = tiny.ball(centre, radius)
        for variant in VARIANTS:
            image = lesion_map(cams, subject, lesion, f"cam-{variant}_class-response_raw")
            assert image.shape == tiny.shape
            np.testing.assert_allclose(image.affine, tiny.affine, atol=1e-4)
            assert not image.get_fdata()[~mask].any()


def test_the_planted_corner_lights_up_at_its_place_in_millimetres(cams, tiny):
    centre, radius, _ = tiny.lesions["sub-001", "L01"]
    image = lesion_map(cams, "sub-001", "L01", "cam-pixelwise_class-response_raw")
    voxels = np.argwhere(tiny.ball(centre, radius))
    value = image.get_fdata()[tuple(voxels.T)]
    offset = (voxels - np.array(centre)) @ image.affine[:3, :3].T @ tiny.rotation
    middle = np.abs(offset[:, 2]) < 1
    inside = (np.abs(offset[:, :2] - tiny.corner_mm) <= 2).all(axis=1) & middle
    far = (np.abs(offset[:, :2] - tiny.corner_mm) >= 6).any(axis=1)
    assert inside.sum() >= 5
    assert value[inside].min() > 0.5 * value.max() > 0
    assert value[far].max() == 0


@needs_slicer
def test_slicer_sees_every_file_as_it_is(cams, dataset):
    files = sorted(path for root in (cams, dataset) for path in root.rglob("*.nii.gz"))
    assert len(files) == 46  # 36 maps, 4 MRs, 6 masks
    for path in files:
        image = nibabel.load(path)
        assert_slicer_sees(path, Volume(np.asarray(image.dataobj), image.affine), label="mask" in path.name)


def test_every_slice_of_the_lesion_is_explained(cams, tiny, details):
    centre, radius, _ = tiny.lesions["sub-002", "L01"]
    mask = tiny.ball(centre, radius)
    with_lesion = np.flatnonzero(mask.any(axis=(0, 1)))
    told = [slice_["slice"] for slice_ in details["lesions"][2]["slices"]]
    assert told == list(with_lesion)
    shown = lesion_map(cams, "sub-002", "L01", "cam-gradcam_class-response_raw").get_fdata()
    assert shown[:, :, with_lesion[1:-1]].any(axis=(0, 1)).all()


def test_scaled_is_raw_over_the_stored_constant_and_not_over_its_own_maximum(cams):
    raw = lesion_map(cams, "sub-001", "L01", "cam-pixelwise_class-response_raw").get_fdata()
    scaled = lesion_map(cams, "sub-001", "L01", "cam-pixelwise_class-response_scaled").get_fdata()
    assert raw.max() > 0
    np.testing.assert_allclose(scaled, raw / 5.0, atol=1e-6)


def test_probability_is_that_of_the_slice_that_training_sees(dataset, run_folder, details, tiny):
    train = ConfigParser(ConfigParser.load_config_file(str(CONFIGS / "train.json")))
    chain = [
        step for part in ("image_transforms", "lesion_transforms", "patch_transforms")
        for step in train.get_parsed_content(part)
    ]  # fmt: skip
    network = tiny.corner_network().eval()
    for entry in details["lesions"]:
        subject, lesion = entry["subject"], entry["lesion"]
        case = {
            "image": dataset / f"{subject}/ses-01/anat/{subject}_ses-01_ce-gadolinium_T1w.nii.gz",
            "mask": dataset / f"derivatives/masks/{subject}/ses-01/{subject}_ses-01_label-{lesion}_mask.nii.gz",
        }
        sample = Compose(chain)(case)
        expected = torch.sigmoid(network(sample["image"].as_tensor()[None].float())).item()
        assert entry["p_response"] == pytest.approx(expected, abs=1e-5)
        assert entry["largest_slice"] == sample["slice"]
        assert entry["scored_slices"] == [sample["slice"]]
        assert entry["p_response"] + entry["p_non_response"] == pytest.approx(1)
        assert entry["class"] == ("response" if entry["p_response"] >= 0.5 else "non-response")


def test_warnings_say_what_the_input_tells(details):
    ordinary, small, large = (" ".join(entry["warnings"]) for entry in details["lesions"])
    assert "fewer than 9" in small
    assert "fewer than 9" not in ordinary + large
    assert "larger than the field" in large
    assert "larger than the field" not in ordinary + small
    # The corner network knows no reason for non-response; the tiny lesion does not reach the corner.
    assert "No evidence" in ordinary
    assert "pixelwise non-response" in ordinary
    assert "pixelwise response" in small
    assert "training data" in ordinary
    assert "training data" not in large


def test_the_tables_say_what_they_are(cams, details):
    assert details["notice"].startswith("RESEARCH ONLY")
    assert "tiny (synthetic), 2 lesions of 1 patients" in details["notice"]
    assert "not calibrated" in details["notice"]
    rows = list(csv.DictReader((cams / "lesions.csv").open()))
    assert [(row["subject"], row["lesion"]) for row in rows] == [
        (entry["subject"], entry["lesion"]) for entry in details["lesions"]
    ]
    assert all(row["notice"] == "RESEARCH ONLY" for row in rows)
    assert float(rows[0]["p_response"]) == details["lesions"][0]["p_response"] == details["lesions"][0]["p_single"]
    assert {(row["calibrated"], row["conformal_set"]) for row in rows} == {("False", "")}
    assert not any(entry["certainty"]["emphasise"] for entry in details["lesions"])
    for entry in details["lesions"][0]["maps"]:
        raw = nibabel.load(cams / entry["raw"]).get_fdata()
        assert entry["evidence"] == bool(raw.any())


def test_a_second_run_replaces_the_first_and_is_identical(cams, dataset, run_folder, tmp_path):
    again = infer(tmp_path / "cams", run_folder, dataset_dir=str(dataset))
    infer(tmp_path / "cams", run_folder, dataset_dir=str(dataset))
    files = sorted(path.relative_to(cams) for path in cams.rglob("*") if path.is_file())
    assert all((cams / path).read_bytes() == (again / path).read_bytes() for path in files)
    assert [path.name for path in tmp_path.iterdir()] == ["cams"]


def test_sessions_and_folds_are_chosen(dataset, run_folder, tmp_path):
    out = infer(tmp_path / "cams", run_folder, dataset_dir=str(dataset), sessions=["ses-02"], folds=[1])
    (entry,) = json.loads((out / "lesions.json").read_text())["lesions"]
    assert (entry["subject"], entry["session"]) == ("sub-002", "ses-02")
    assert any("not from before treatment" in warning for warning in entry["warnings"])


def test_slices_in_small_batches_give_the_same(details, dataset, run_folder, tmp_path):
    out = infer(tmp_path / "cams", run_folder, dataset_dir=str(dataset), batch_size=2)
    for one, other in zip(details["lesions"], json.loads((out / "lesions.json").read_text())["lesions"], strict=True):
        for first, second in zip(one["slices"], other["slices"], strict=True):
            assert first["p_response"] == pytest.approx(second["p_response"], abs=2e-6)
        assert one["warnings"] == other["warnings"]


def test_a_single_mr_and_mask_give_the_same_probability(dataset, run_folder, details, tmp_path):
    image = dataset / "sub-001/ses-01/anat/sub-001_ses-01_ce-gadolinium_T1w.nii.gz"
    mask = dataset / "derivatives/masks/sub-001/ses-01/sub-001_ses-01_label-L01_mask.nii.gz"
    out = infer(tmp_path / "cams", run_folder, image=str(image), mask=str(mask))
    (entry,) = json.loads((out / "lesions.json").read_text())["lesions"]
    assert entry["p_response"] == details["lesions"][0]["p_response"]
    assert "sub-001" not in (out / "lesions.json").read_text()


def test_preprocessing_is_declared_as_in_training():
    train, infer_ = (ConfigParser.load_config_file(str(CONFIGS / name)) for name in ("train.json", "inference.json"))
    for key in ("image_transforms", "lesion_transforms", "network_def", "patch_size", "pixel"):
        assert infer_[key] == train[key], key
    one, every = train["patch_transforms"], infer_["patch_transforms"]
    assert one[0] | {"_target_": ""} == every[0] | {"_target_": ""}
    assert one[0]["_target_"].endswith(".LesionSlicePatchd")
    assert every[0]["_target_"].endswith(".AllLesionSlicesPatchd")
    assert one[1:] == every[1:]


def test_check_workflow_finds_every_property(dataset, run_folder, tmp_path):
    workflow = ConfigWorkflow(
        config_file=str(CONFIGS / "inference.json"),
        workflow_type="infer",
        logging_file=False,
        dataset_dir=str(dataset),
        output_dir=str(tmp_path / "cams"),
        model_path=str(run_folder / "models" / "model.pt"),
        plain_problems=None,
    )
    workflow.initialize()
    assert workflow.check_properties() == []
    workflow.run()
    workflow.finalize()
    set_determinism(None)
    assert (tmp_path / "cams" / "lesions.csv").is_file()


def test_one_mr_is_read_once_for_all_its_lesions(dataset):
    from treatment_response.inference.cases import inference_cases

    config = ConfigParser(ConfigParser.load_config_file(str(CONFIGS / "inference.json")))
    preprocessing = config.get_parsed_content("preprocessing")
    read: list[str] = []
    first = preprocessing.transforms.on_image.transforms[0]
    preprocessing.transforms.on_image.transforms = (
        lambda case: read.append(case["image"]) or first(case),
        *preprocessing.transforms.on_image.transforms[1:],
    )
    for case in inference_cases(str(dataset)):
        preprocessing(case)
    assert len(read) == 2
    assert len(set(read)) == 2
