"""Bad input gets one clear sentence and leaves nothing behind; real input in another format works."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from ignite.engine import Engine
from monai.bundle import ConfigParser
from preloaded_python import preloaded_python
from treatment_response.inference.cases import inference_cases
from treatment_response.inference.lesions.writer import WriteLesions
from treatment_response.inference.model import load_model
from treatment_response.model_description import TrainingData
from treatment_response.problems import DataProblem
from treatment_response.weights import read_weights, write_weights

CONFIGS = Path(__file__).resolve().parents[2] / "bundle" / "configs"


@pytest.fixture
def preprocessing():
    config = ConfigParser(ConfigParser.load_config_file(str(CONFIGS / "inference.json")))
    return config.get_parsed_content("preprocessing")


@pytest.fixture
def case(tiny, tmp_path):
    image = tiny.write_nifti(tmp_path / "mr.nii.gz", tiny.head(0))
    mask = tiny.write_nifti(tmp_path / "mask.nii.gz", tiny.ball((30, 30, 7), 10.0).astype(np.uint8))
    return {"image": image, "mask": mask}


def prepare(preprocessing, case):
    (sample,) = inference_cases(image=str(case["image"]), mask=str(case["mask"]))
    return preprocessing(sample)


def spoil_empty(case, tiny):
    tiny.write_nifti(case["mask"], np.zeros(tiny.shape, np.uint8))


def spoil_shape(case, tiny):
    tiny.write_nifti(case["mask"], np.ones((10, 10, 5), np.uint8))


def spoil_place(case, tiny):
    affine = tiny.affine.copy()
    affine[0, 3] += 5
    tiny.write_nifti(case["mask"], np.ones(tiny.shape, np.uint8), affine)


def spoil_series(case, tiny):
    tiny.write_nifti(case["image"], np.stack([tiny.head(0)] * 3, axis=-1))


def spoil_mask_series(case, tiny):
    tiny.write_nifti(case["mask"], np.ones((*tiny.shape, 2), np.uint8))


def spoil_text(case, tiny):
    case["image"].write_text("no image")


def spoil_truncated(case, tiny):
    case["mask"].write_bytes(case["mask"].read_bytes()[:200])


def spoil_constant(case, tiny):
    tiny.write_nifti(case["image"], np.zeros(tiny.shape, np.float32))


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (spoil_empty, "the mask is empty"),
        (spoil_shape, "different grids"),
        (spoil_place, "5.0 mm apart"),
        (spoil_series, "the image is no single 3D volume"),
        (spoil_mask_series, "the mask is no single 3D volume"),
        (spoil_text, "the image cannot be read"),
        (spoil_truncated, "the mask cannot be read"),
        (spoil_constant, "constant"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_one_sentence_for_a_bad_image_or_mask(preprocessing, case, tiny, spoil, sentence):
    assert prepare(preprocessing, case)["image"].shape[1:] == (2, 64, 64)
    spoil(case, tiny)
    preprocessing.forget()
    with pytest.raises(DataProblem, match=sentence) as raised:
        prepare(preprocessing, case)
    assert len(str(raised.value).splitlines()) == 1
    assert str(raised.value).startswith("sub-single ses-01")


def test_missing_files_are_all_named_at_once(dataset, tmp_path):
    with pytest.raises(DataProblem, match="without --mask"):
        inference_cases(image=str(tmp_path / "a.nii.gz"))
    with pytest.raises(DataProblem, match="without --image"):
        inference_cases(mask=str(tmp_path / "a.nii.gz"))
    with pytest.raises(DataProblem, match="no input"):
        inference_cases()
    with pytest.raises(DataProblem) as raised:
        inference_cases(image=str(tmp_path / "a.nii.gz"), mask=str(tmp_path / "b.nii.gz"))
    assert len(raised.value.problems) == 2
    with pytest.raises(DataProblem, match="no sample is left"):
        inference_cases(str(dataset), folds=[7])


def test_a_network_that_serves_has_its_weights_and_the_scale_of_its_maps(tiny, run_folder, tmp_path):
    network, cpu = tiny.corner_network(), torch.device("cpu")
    assert not load_model(network, read_weights(run_folder / "models" / "model.pt"), cpu).training
    write_weights(tmp_path / "model.pt", network, None, TrainingData())
    with pytest.raises(DataProblem, match="never fitted"):
        load_model(network, read_weights(tmp_path / "model.pt"), cpu)


def command(*arguments: str) -> subprocess.CompletedProcess:
    line = [preloaded_python().python, "-m", "monai.bundle", "run", "inferring"]
    line += ["--config_file", str(CONFIGS / "inference.json")]
    return subprocess.run([*line, *arguments], capture_output=True, text=True, check=False)


def test_the_command_tells_a_bad_mask_in_one_line_and_leaves_nothing(case, tiny, run_folder, tmp_path):
    spoil_empty(case, tiny)
    out = tmp_path / "results" / "cams"
    done = command(
        "--image", str(case["image"]), "--mask", str(case["mask"]), "--output_dir", str(out),
        "--model_path", str(run_folder / "models" / "model.pt"),
    )  # fmt: skip
    assert done.returncode == 2
    assert "the mask is empty" in done.stderr.splitlines()[-1]
    assert not list(out.parent.glob("*"))
    assert not list(out.parent.glob(".*"))


def test_a_folder_that_is_no_inference_is_not_overwritten(run_folder, tmp_path):
    out = tmp_path / "mine"
    out.mkdir()
    (out / "thesis.txt").write_text("precious")
    writer = WriteLesions(str(out), read_weights(run_folder / "models" / "model.pt"))
    with pytest.raises(DataProblem, match="holds no earlier inference"):
        writer.start(Engine(lambda engine, batch: None))
    assert [path.name for path in out.iterdir()] == ["thesis.txt"]


def test_a_real_tumour_in_nrrd_gets_its_maps_inside_its_mask(shared_data, run_folder, tmp_path):
    folder = shared_data / "radiomics_case"
    done = command(
        "--image", str(folder / "brain1_image.nrrd"), "--mask", str(folder / "brain1_label.nrrd"),
        "--output_dir", str(tmp_path / "cams"), "--model_path", str(run_folder / "models" / "model.pt"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    (entry,) = json.loads((tmp_path / "cams" / "lesions.json").read_text())["lesions"]
    label = sitk.ReadImage(str(folder / "brain1_label.nrrd"))
    voxels = np.argwhere(sitk.GetArrayFromImage(label).transpose(2, 1, 0) > 0)
    # SimpleITK's own physical points, LPS to RAS: an independent way from voxel to scanner.
    points = np.array([label.TransformIndexToPhysicalPoint([int(v) for v in voxel]) for voxel in voxels]) * [-1, -1, 1]
    inside = {tuple(np.round(point, 2) + 0.0) for point in points}
    lit = 0
    for entry_map in entry["maps"]:
        image = nibabel.load(tmp_path / "cams" / entry_map["raw"])
        assert image.shape == label.GetSize()
        hot = np.argwhere(image.get_fdata() > 0)
        world = hot @ image.affine[:3, :3].T + image.affine[:3, 3]
        assert {tuple(np.round(point, 2) + 0.0) for point in world} <= inside
        lit += len(hot) > 0
    assert lit >= 3
    assert len(entry["slices"]) == len({voxel[2] for voxel in voxels})
