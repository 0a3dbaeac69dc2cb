"""The explainer of volumes in memory says what inference.json writes, for the same MR and mask."""

from __future__ import annotations

import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow
from treatment_response.geometry import Volume
from treatment_response.inference.lesions.explainer import Explainer
from treatment_response.problems import DataProblem

CONFIGS = Path(__file__).resolve().parents[2] / "bundle" / "configs"
MAPS = [
    (variant, target, kind)
    for variant in ("gradcam", "gradcampp", "pixelwise")
    for target in ("response", "non-response")
    for kind in ("raw", "scaled")
]


@pytest.fixture(scope="module", params=["corner network", "the bundle's weights"])
def model_path(request, run_folder) -> Path:
    bundle = CONFIGS.parent / "models" / "model.pt"
    return run_folder / "models" / "model.pt" if request.param == "corner network" else bundle


@pytest.fixture(scope="module")
def explainer(model_path) -> Explainer:
    return Explainer(model_path=model_path)


@pytest.fixture(scope="module")
def files(tiny, tmp_path_factory) -> dict[str, Path]:
    """An oblique, anisotropic MR with three lesions: ordinary, tiny, larger than the field."""
    folder = tmp_path_factory.mktemp("files")
    image = tiny.head(3)
    masks = {}
    for name, centre, radius in (
        ("ordinary", (30, 30, 7), 12.0),
        ("tiny", (50, 45, 6), 1.6),
        ("large", (34, 32, 6), 19.0),
    ):
        mask = tiny.ball(centre, radius)
        image[mask] += 250
        masks[name] = tiny.write_nifti(folder / f"{name}.nii.gz", mask.astype(np.uint8))
    return {"image": tiny.write_nifti(folder / "mr.nii.gz", image), **masks}


@pytest.fixture(scope="module")
def volume(files) -> Volume:
    image = nibabel.load(files["image"])
    return Volume(image.get_fdata(dtype=np.float32), image.affine)


def mask_of(files, lesion) -> np.ndarray:
    return np.asarray(nibabel.load(files[lesion]).dataobj) > 0


def written(files, lesion: str, model_path: Path, folder: Path) -> tuple[dict, Path]:
    """What the bundle's inference writes for the same image and mask."""
    workflow = ConfigWorkflow(
        config_file=str(CONFIGS / "inference.json"),
        workflow_type="infer",
        logging_file=False,
        output_dir=str(folder / "cams"),
        model_path=str(model_path),
        image=str(files["image"]),
        mask=str(files[lesion]),
        device="$torch.device('cpu')",
        plain_problems=None,
    )
    workflow.initialize()
    workflow.run()
    (entry,) = json.loads((folder / "cams" / "lesions.json").read_text())["lesions"]
    return entry, folder / "cams"


@pytest.mark.parametrize("lesion", ["ordinary", "tiny", "large"])
def test_all_twelve_maps_equal_the_files_of_the_bundle_voxel_by_voxel(
    explainer, model_path, files, volume, lesion, tmp_path
):
    entry, cams = written(files, lesion, model_path, tmp_path)
    explained = explainer.explain(volume, mask_of(files, lesion), key="mr", name=lesion, contrast_named=False)
    for variant, target, kind in MAPS:
        (told,) = (one for one in entry["maps"] if (one["variant"], one["class"]) == (variant, target))
        file = nibabel.load(cams / told[kind])
        of_file = np.asarray(file.dataobj)
        ours = explained.volume(variant, target, kind)
        assert ours.dtype == of_file.dtype == np.float32
        np.testing.assert_array_equal(ours, of_file, err_msg=f"{variant} {target} {kind}")
    for key in (
        "p_response",
        "p_non_response",
        "p_single",
        "p_folds",
        "certainty",
        "class",
        "threshold",
        "largest_slice",
        "scored_slices",
        "slices",
        "warnings",
    ):
        # Of a batch of another size, a probability may differ in its last digit.
        expected = pytest.approx(entry[key], abs=2e-6) if key.startswith("p_") else entry[key]
        assert explained.result[key] == expected, key
    assert any(explained.volume(*one).any() for one in MAPS) or lesion == "tiny"


def test_the_order_of_the_array_in_memory_does_not_matter(explainer, files, volume):
    mask = mask_of(files, "ordinary")
    first = explainer.explain(volume, mask, key="first", name="a", contrast_named=True)
    for number, array in enumerate(
        (np.ascontiguousarray(volume.array), np.asfortranarray(volume.array), volume.array[::-1].copy()[::-1])
    ):
        again = explainer.explain(
            Volume(array, volume.affine), np.asfortranarray(mask), key=f"{number}", name="a", contrast_named=True
        )
        assert again.result == first.result
        for one in MAPS:
            np.testing.assert_array_equal(again.volume(*one), first.volume(*one))


def test_a_map_is_an_array_of_its_own_and_nothing_outside_the_lesion(explainer, files, volume):
    mask = mask_of(files, "ordinary")
    explained = explainer.explain(volume, mask, key="mr", name="a", contrast_named=True)
    shown = explained.volume("pixelwise", "response", "scaled")
    assert not shown[~mask].any()
    assert shown.min() >= 0
    assert shown.max() <= 1
    shown[:] = 7
    assert explained.volume("pixelwise", "response", "scaled").max() <= 1


def test_an_mr_is_prepared_once_for_its_lesions_and_only_a_few_are_kept(run_folder, files, volume):
    explainer = Explainer(model_path=run_folder / "models" / "model.pt", keep=2)
    scaled = []
    preprocessing = explainer._preprocessing
    step = preprocessing.transforms.on_image.transforms[-1]
    preprocessing.transforms.on_image.transforms = (
        *preprocessing.transforms.on_image.transforms[:-1],
        lambda case: scaled.append(case["key"]) or step(case),
    )
    for key in ("a", "a", "b", "a", "c", "a", "b"):
        for lesion in ("ordinary", "large"):
            explainer.explain(volume, mask_of(files, lesion), key=key, name=lesion, contrast_named=True)
    assert scaled == ["a", "b", "c", "b"]


def test_many_threads_get_what_one_gets(explainer, files, volume):
    def one(number: int) -> tuple[dict, bytes]:
        lesion = ("ordinary", "tiny", "large")[number % 3]
        explained = explainer.explain(
            volume, mask_of(files, lesion), key=f"mr {number % 2}", name=lesion, contrast_named=True
        )
        return explained.result, explained.volume("gradcampp", "response", "raw").tobytes()

    expected = [one(number) for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(one, range(8))) == expected


def test_a_bad_mask_is_a_sentence_that_names_the_lesion(explainer, volume):
    with pytest.raises(DataProblem, match=r"GTV 1 ses-01.*empty"):
        explainer.explain(volume, np.zeros(volume.array.shape, bool), key="mr", name="GTV 1", contrast_named=True)
    with pytest.raises(DataProblem, match="different grids"):
        explainer.explain(volume, np.ones((4, 4, 4), bool), key="mr", name="GTV 1", contrast_named=True)
    constant = Volume(np.zeros(volume.array.shape, np.float32), volume.affine)
    with pytest.raises(DataProblem, match="constant"):
        explainer.explain(constant, np.ones(volume.array.shape, bool), key="zero", name="GTV", contrast_named=True)


class Exploit:
    def __reduce__(self):
        return (Path.touch, (Path("exploited"),))


def test_weights_that_cannot_serve_are_refused_at_once(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    state = tiny.corner_network().state_dict()
    torch.save({"model": {key: value for key, value in state.items() if key != "output.bias"}}, tmp_path / "partial.pt")
    (tmp_path / "evil.pt").write_bytes(pickle.dumps(Exploit()))
    for name, sentence in (
        ("partial.pt", "do not fit"),
        ("evil.pt", "cannot be read as weights"),
        ("absent.pt", "there is no file absent.pt"),
    ):
        with pytest.raises(DataProblem, match=sentence) as raised:
            Explainer(model_path=tmp_path / name)
        assert len(str(raised.value).splitlines()) == 1
    assert not (tmp_path / "exploited").exists()
    with pytest.raises(DataProblem, match=r"inference\.json is no config"):
        Explainer([tmp_path / "inference.json"])
