"""What the command lines and configs write of small fixed input, against what was recorded in ``tests/golden/``.

Nothing is trained: networks have the delivered weights, and a comparison finds its trials finished. The server's
answers and DICOM objects are compared in ``tests/app/test_server_infer.py`` and ``test_server_store.py``.
"""

from __future__ import annotations

import json
import runpy
import shutil
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd
import pytest
from golden_values import FOLDER, Golden, read_columns
from ingest_bench import shrinking, write_case
from monai.bundle import ConfigWorkflow
from toy_dataset import doubt_lesions, write_toy_dataset
from treatment_response.features.extraction import extract_dataset
from treatment_response.features.groups import GROUPS

REPOSITORY = Path(__file__).resolve().parent.parent
BUNDLE = REPOSITORY / "bundle"
NETWORKS = {"paper": ("inference.json",), "improved": ("inference.json", "improved.json")}
TRIALS, METHODS = 5, ("size", "gradient", "cnn")
PREDICTIONS = FOLDER / "trials.csv"
"""Predictions of a comparison's trials and of one shuffle, made up by ``tests/golden/make_trials.py``."""


def run_script(name: str, *arguments: object) -> None:
    """Run a script in this process, as its command line does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", [name, *(str(argument) for argument in arguments)])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(REPOSITORY / "scripts" / name), run_name="__main__")
    assert ended.value.code == 0


def run_config(files: tuple[str, ...], **settings: str | list[int]) -> None:
    """Run configs of the bundle on the CPU."""
    workflow = ConfigWorkflow(
        config_file=[str(BUNDLE / "configs" / file) for file in files],
        workflow_type="infer",
        logging_file=False,
        device="$torch.device('cpu')",
        plain_problems=None,
        **settings,
    )
    workflow.initialize()
    workflow.run()


def tables_in(folder: Path) -> dict[str, Any]:
    """Every CSV of a folder by its name."""
    return {path.name: read_columns(path) for path in sorted(folder.glob("*.csv"))}


def content(path: Path) -> Any:
    """A JSON file's content."""
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set prepared from DICOM of two patients: one lesion responds, two grow, one is left out for its dose."""
    folder = tmp_path_factory.mktemp("golden-clinic")
    write_case(folder / "dicom", shrinking("SYN-1", 0.5, 1, dose=(3.0, 18.0)))
    write_case(folder / "dicom", shrinking("SYN-2", 0.9, 2, dose=(5.0, 18.0)))
    run_script("prepare_dicom.py", folder / "dicom", "--out", folder / "dataset", "--folds", 2, "--workers", 1)
    return folder / "dataset"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything that is made from the toy data set lies here, so that links between the parts are always the same."""
    return tmp_path_factory.mktemp("golden-toy")


@pytest.fixture(scope="module")
def dataset(folder: Path) -> Path:
    """Six patients with two lesions each, one of which is in doubt."""
    root = write_toy_dataset(folder / "dataset", patients=6)
    doubt_lesions(root, [("sub-006", "L02")])
    return root


@pytest.fixture(scope="module")
def cams(folder: Path, dataset: Path) -> dict[str, Path]:
    """Network → its inference folder of the lesions in fold 0."""
    folders = {}
    for network, files in NETWORKS.items():
        folders[network] = folder / f"cams_{network}"
        run_config(files, dataset_dir=str(dataset), output_dir=str(folders[network]), folds=[0])
    return folders


@pytest.fixture(scope="module")
def run(folder: Path, dataset: Path) -> Path:
    """A training run's folder with the delivered weights, scored by ``evaluate.json``; its history is made up."""
    run = folder / "run"
    shutil.copytree(BUNDLE / "models", run / "models", ignore=shutil.ignore_patterns("improved*", "provenance*"))
    shutil.copy2(BUNDLE / "models" / "provenance.json", run)
    epoch = np.arange(1, 6)
    history = {"epoch": epoch, "loss": 2 / epoch, "reconstruction": 0.8 / epoch, "classification": 1.2 / epoch}
    history |= {"accuracy": 1 - 0.4 / epoch, "heldout_loss": 1 + 1 / epoch, "heldout_accuracy": 0.7 - 0.1 / epoch}
    pd.DataFrame(history).to_csv(run / "history.csv", index=False)
    run_config(("train.json", "evaluate.json"), dataset_dir=str(dataset), output_dir=str(run))
    return run


@pytest.fixture(scope="module")
def comparison(folder: Path, dataset: Path) -> Path:
    """A comparison whose trials are finished: their predictions are those of `PREDICTIONS`."""
    out = folder / "comparison"
    for (kind, method, trial), rows in pd.read_csv(PREDICTIONS).groupby(["set", "method", "model"]):
        trials = out / ("trials" if kind == "trials" else f"null/{kind}") / method
        rows = rows.drop(columns="set")
        if method == "cnn":
            rows = rows.assign(fold=0, logit=np.log(rows["p_response"] / (1 - rows["p_response"])))
            (trials / f"trial_{trial:03d}").mkdir(parents=True)
            rows.to_csv(trials / f"trial_{trial:03d}" / "predictions.csv", index=False)
            continue
        (trials / "chosen").mkdir(parents=True, exist_ok=True)
        rows.to_csv(trials / f"trial_{trial:03d}.csv", index=False)
        feature = "size.volume" if method == "size" else f"gradient.whole.{('mean', 'max')[trial % 2]}"
        chosen = pd.DataFrame({"feature": [feature], "weight": [0.5 - 0.1 * trial], "note": [None]})
        chosen.to_csv(trials / "chosen" / f"trial_{trial:03d}.csv", index=False)
    arguments = ("--methods", *METHODS, "--trials", TRIALS, "--shuffle-labels", 1, "--icc", 0, "--workers", 1)
    run_script("compare.py", dataset, "--out", out, *arguments)
    return out


def test_ingest_measures_labels_and_sorts_as_recorded(ingested: Path, golden: Golden) -> None:
    names = ("dataset.json", "ingest_report.json")
    golden.check("ingest", {name: content(ingested / name) for name in names} | tables_in(ingested))


def test_features_are_as_recorded(ingested: Path, golden: Golden, tmp_path: Path) -> None:
    # The bench's dose covers its first lesions alone, so the groups on it are left out.
    groups = tuple(name for name, group in GROUPS.items() if not group.of_dose)
    values = extract_dataset(ingested, ("ses-01",), tmp_path, 1, groups).values
    golden.check("features", values.iloc[:2].to_dict("list"))


@pytest.mark.parametrize("network", NETWORKS)
def test_predictions_and_maps_are_as_recorded(cams: dict[str, Path], network: str, golden: Golden) -> None:
    out = cams[network]
    golden.check(f"inference_{network}", {"lesions.json": content(out / "lesions.json"), **tables_in(out)})
    maps = {path.name.removesuffix(".nii.gz"): nibabel.load(path) for path in sorted(out.rglob("*.nii.gz"))}
    lesions: dict[str, list[np.ndarray]] = {}
    for name, image in maps.items():
        lesions.setdefault(name.split("_cam-")[0], []).append(np.asarray(image.dataobj, np.float32))
    golden.check_arrays(f"maps_{network}", {name: np.stack(values) for name, values in lesions.items()})
    golden.check(f"maps_{network}", {name: image.affine.tolist() for name, image in maps.items()})


def test_scores_of_a_run_are_as_recorded(run: Path, golden: Golden) -> None:
    history = run / "history.csv"
    tables = {name: table for name, table in tables_in(run).items() if name != history.name}
    golden.check("run", {"metrics.json": content(run / "metrics.json"), **tables})


def test_a_comparison_is_as_recorded(comparison: Path, golden: Golden) -> None:
    names = ("table.json", "splits.json", "provenance.json")
    tables = {name: table for name, table in tables_in(comparison).items() if name != "predictions.csv"}
    golden.check("comparison", {name: content(comparison / name) for name in names} | tables)
    written, planted = pd.read_csv(comparison / "predictions.csv"), pd.read_csv(PREDICTIONS)
    planted = planted[planted["set"] == "trials"].drop(columns="set")
    key = ["method", "model", "role", "subject", "lesion"]
    written, planted = (table.sort_values(key, ignore_index=True) for table in (written, planted))
    pd.testing.assert_frame_equal(written[planted.columns], planted)


def test_a_report_is_as_recorded(
    folder: Path, dataset: Path, run: Path, comparison: Path, cams: dict[str, Path], golden: Golden
) -> None:
    out = folder / "report"
    arguments = ("--run", run, "--comparison", comparison, "--cams", cams["paper"], "--out", out)
    run_script("report.py", "--dataset", dataset, *arguments)
    golden.check("report", {"report.json": content(out / "report.json"), "tables": tables_in(out / "tables")})
