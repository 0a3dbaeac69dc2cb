"""A page made of comparisons: its numbers, its text and its checklists follow what was given, and nothing else."""

import copy
import io
import json
import math
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from treatment_response.cohort.dataset import dataset_digest
from treatment_response.cohort.layout import DATALIST, LESIONS
from treatment_response.evaluation.calibration_scores import calibration
from treatment_response.evaluation.comparison import statistics
from treatment_response.evaluation.minimum_sample import design_effect
from treatment_response.features.gradients import FEATURES as GRADIENTS
from treatment_response.features.radiomics import DOSE_FEATURES, RADIOMICS_FEATURES
from treatment_response.problems import DataProblem
from treatment_response.report.checklists import CHECKLISTS, answered, read_checklist
from treatment_response.report.explanation_scores import SUMMARY_COLUMNS, Scores, read_explanations
from treatment_response.report.figures.style import CLINICAL_STAMP, SYNTHETIC_STAMP
from treatment_response.report.from_folders import report_from_folders
from treatment_response.report.lesions import from_folders
from treatment_response.report.lesions.comparison_tables import differences_table, null_table, training_gap_table
from treatment_response.report.lesions.comparisons import read_comparisons
from treatment_response.report.lesions.content import (
    OF_LESIONS,
    SECTIONS,
    build_report,
    facts_of,
    make_figures,
    page_content,
)
from treatment_response.report.lesions.feature_names import readable
from treatment_response.report.lesions.inputs import ReportInputs
from treatment_response.report.lesions.methods_text import methods_paragraphs, references_of
from treatment_response.report.recorded import UNKNOWN
from treatment_response.report.scores_section import explanation_tables

METHODS = ("size", "gradient", "cnn")
PAPER = {"cnn": {"auc": "0.844 ± 0.03", "sensitivity": "0.877 ± 0.045"}}
NOTES = ["Research use only.", "Synthetic data. Rankings on synthetic data reflect its design."]
INGEST = {
    "source": "DICOM",
    "volumes": "planimetry of the contours",
    "settings": {
        "response_threshold": 0.2,
        "contouring_sd_mm": 0.3,
        "absent": "resolved",
        "max_gradient_index": 4.0,
        "follow_up_days": [60, 135],
    },
    "left_out": [],
}
RUN = {
    "treatment_response": "0.1.0",
    "versions": {"torch": "2.13.0"},
    "protocol": "B",
    "fold": 0,
    "seed": 0,
    "dataset": {"training_lesions": 53, "training_patients": 33},
    "settings": {
        "angles": [10, 45],
        "batch_size": 64,
        "max_epochs": 150,
        "bf16": False,
        "network": {
            "class": "a.MaskedAutoencoderClassifier",
            "encoder_1": {"out_channels": 16},
            "encoder_2": {"out_channels": 5},
            "dense": {"out_features": 32},
            "dropout": {"p": 0.1},
        },
        "loss": {
            "class": "a.JointLoss",
            "weight_reconstruction": 1.0,
            "weight_classification": 1.0,
            "reconstruction": {"weight_ssim": 0.2, "weight_pixel": 0.6, "weight_outside": 0.2},
        },
        "optimizer": {"class": "torch.AdamW", "lr": 0.0005, "weight_decay": 0.0001, "betas": [0.9, 0.999]},
        "image_transforms": [{"class": "a.ScaleByBrainPercentilesd", "air": 1.0, "brain": 75.0, "brain_value": 0.45}],
        "patch_transforms": [{"class": "a.LesionSlicePatchd", "size": 64, "pixel": 0.5}],
    },
}


def write_comparison(folder: Path, predictions: pd.DataFrame, threshold: float = 0.2) -> Path:
    """A folder as compare.py writes it: three methods of different skill."""
    rng = np.random.default_rng(7)
    parts = []
    for method, noise in zip(METHODS, (6.0, 0.3, 1.0), strict=True):
        logit = predictions["logit"] + rng.normal(0, noise, len(predictions))
        parts.append(predictions.assign(method=method, p_response=1 / (1 + np.exp(-logit))))
    columns = ["method", "model", "role", "session", "subject", "lesion", "label", "p_response"]
    table = pd.concat(parts, ignore_index=True)[columns]
    folder.mkdir(parents=True)
    table.to_csv(folder / "predictions.csv", index=False)
    scores = statistics.score_table(table, 200)
    content = {
        "synthetic": True,
        "protocol": "B",
        "response_threshold": threshold,
        "notes": NOTES,
        "scores": json.loads(scores.to_json(orient="records", double_precision=10)),
        "paper": PAPER,
        "differences": statistics.differences(table, "cnn", [0.25] * 5, 200),
        "training_gap": statistics.training_gaps(table, resamples=200),
        "calibration": calibration(table, METHODS, 50),
        "null_check": [{"method": "size", "mean": 0.49, "se": 0.03, "shuffles": 2, "within_3_se": True}],
    }
    (folder / "table.json").write_text(json.dumps(content))
    settings = {"trials": 5, "protocol": "B", "seed": 0, "epochs": 150, "shuffles": 2}
    versions = {"scikit-learn": "1.9.1"}
    data_set = {"name": "ward <b>7</b>"}
    features = {"gradient": {"features": 90, "settings": {"step_mm": 0.5}}}
    steps = [{"name": "MinRedundancyMaxRelevance", "settings": {"count": 10}}, {"name": "SVC", "settings": {"C": 1.0}}]
    models = {
        "gradient": {"steps": steps, "mean_number_of_features": 8.4},
        "cnn": {"config": "train.json", "overlays": [], "epochs": 150},
    }
    record = {"data_set": data_set, "settings": settings, "features": features, "models": models, "versions": versions}
    (folder / "provenance.json").write_text(json.dumps(record))
    importances = [
        ("gradient", feature.name, "gradient", 1 - i / 90, 0.5 - i / 90) for i, feature in enumerate(GRADIENTS[:20])
    ]
    importances.append(("size", "size.volume", "size", 1.0, 0.1))
    frame = pd.DataFrame(importances, columns=["method", "feature", "group", "chosen", "weight"])
    frame.to_csv(folder / "importances.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def folder(predictions, tmp_path_factory) -> Path:
    return write_comparison(tmp_path_factory.mktemp("cmp") / "threshold_20", predictions)


@pytest.fixture(scope="module")
def dataset_dir(tmp_path_factory) -> Path:
    """A data set that only its hash is asked of."""
    root = tmp_path_factory.mktemp("data_set")
    (root / DATALIST).write_text("{}")
    (root / LESIONS).write_text("subject,lesion\n")
    return root


@pytest.fixture(scope="module")
def inputs(folder, dataset_dir, lesions) -> ReportInputs:
    found = read_comparisons([folder], dataset_dir)
    dataset = {"name": "ward", "synthetic": True, "response_threshold": 0.2}
    own = [replace(one, own=True) for one in found]
    return ReportInputs(dataset, lesions, INGEST, None, None, {}, comparisons=own)


@pytest.fixture(scope="module")
def report(inputs, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("report")
    build_report(inputs, out)
    return out


def text_of(page: Path) -> str:
    return re.sub(r"data:[^\"]+", "", (page / "report.html").read_text(encoding="utf-8"))


def test_the_page_has_table_1_beside_the_papers(report, folder):
    page = text_of(report)
    rows = pd.DataFrame(json.loads((folder / "table.json").read_text())["scores"])
    row = rows[
        (rows["method"] == "cnn")
        & (rows["role"] == "heldout_mri1")
        & (rows["finding"] == "response")
        & (rows["score"] == "auc")
    ].iloc[0]
    table = page.split('id="table-threshold_20_table_1_heldout_mri1_response"')[1].split("</table>")[0]
    assert f"{row['mean']:.3f}\u00a0±\u00a0{row['sd']:.3f}" in table
    assert f"{row['estimate']:.2f} [{row['low']:.2f},\u00a0{row['high']:.2f}]" in table
    assert "0.844 ± 0.03" in table
    assert "Positive class: response" in page
    assert "Positive class: non-response" in page
    assert "ward &lt;b&gt;7&lt;/b&gt;" in page
    for figure in ("roc", "calibration", "decision", "importances"):
        assert f'id="figure-threshold_20_{figure}"' in page
        assert (report / "figures" / f"threshold_20_{figure}.png").is_file()
    assert "Only 2 shuffles" in page
    assert 'id="results"' not in page
    assert "<script" not in page


def test_every_table_of_numbers_carries_its_notes(report):
    parts = text_of(report).split('<table id="table-threshold_20')[1:]
    assert len(parts) >= 10
    for part in parts:
        assert "Rankings on synthetic data reflect its design" in part
        assert "Research use only" in part.partition("<details")[0]


def test_what_is_said_again_under_a_later_table_folds_away(report):
    page = (report / "report.html").read_text(encoding="utf-8")
    note = "“Size only” and “clinical only” look at no picture"
    first, *again = (part.rpartition("<ul")[0] for part in page.split(note)[:-1])
    assert not first.endswith("Notes as above</summary>")
    assert again
    assert all(part.endswith("Notes as above</summary>") for part in again)


def test_beside_the_page_lies_everything_shown(report, folder):
    content = json.loads((report / "report.json").read_text())
    assert {str(path.relative_to(report)) for path in report.rglob("*") if path.is_file()} == {
        "report.html",
        "report.json",
        *content["written"],
    }
    tables = {path.stem for path in (report / "tables").glob("*.csv")}
    assert {"cohort", "lesions", "checklist_tripod_ai", "checklist_claim_2024", "threshold_20_sample_size"} <= tables
    numbers = pd.read_csv(report / "tables" / "threshold_20_table_1_heldout_mri1_response.csv", comment="#")
    scores = pd.DataFrame(json.loads((folder / "table.json").read_text())["scores"])
    mine = scores[(scores["role"] == "heldout_mri1") & (scores["finding"] == "response")]
    np.testing.assert_allclose(numbers["estimate"], mine["estimate"], rtol=1e-5)
    assert content["comparisons"][0]["primary"]["response"]["rows"]
    assert "NaN" not in (report / "report.json").read_text()


def test_a_second_report_leaves_nothing_of_the_first_and_nothing_of_others(inputs, lesions, tmp_path):
    build_report(inputs, tmp_path)
    (tmp_path / "figures" / "holiday.png").write_bytes(b"mine")
    plain = ReportInputs(inputs.dataset, lesions, INGEST, None, None, {}, comparisons=())
    build_report(plain, tmp_path)
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {"cohort.png", "holiday.png"}
    assert not list((tmp_path / "tables").glob("threshold_20*"))


def test_the_methods_text_follows_the_settings_that_ran(inputs, lesions):
    def text(dataset=None, ingest=INGEST, run=RUN, comparisons=inputs.comparisons):
        parts = methods_paragraphs(dataset or inputs.dataset, lesions, ingest, run, comparisons)
        return " ".join(body for _, body in parts)

    whole = text()
    for fact in ("60 to 135 days", "64 × 64 pixels of 0.5 mm", "10, 45", "learning rate 0.0005", "batches of 64"):
        assert fact in whole
    for fact in ("150 epochs", "16 and 5 channels", "dropout 0.1", "5 trials", "torch 2.13.0", "scikit-learn 1.9.1"):
        assert fact in whole
    assert "gradients, 90 (step_mm 0.5)" in whole
    assert "gradients: min redundancy max relevance (count 10), SVC (C 1); on average 8.4 features" in whole
    assert f"size only: {UNKNOWN}" in whole
    changed = copy.deepcopy(RUN)
    changed["settings"]["optimizer"]["lr"] = 0.003
    changed["settings"]["max_epochs"] = 7
    assert "learning rate 0.003" in text(run=changed)
    assert "7 epochs" in text(run=changed)
    assert "learning rate 0.0005" not in text(run=changed)
    del changed["settings"]["optimizer"]["lr"]
    assert f"learning rate {UNKNOWN}" in text(run=changed)
    assert "fallen by more than 30%" in text(dataset={"synthetic": False, "response_threshold": 0.3})
    assert f"by more than {UNKNOWN}" in text(dataset={"synthetic": False})
    assert "simulated" not in text(dataset={"synthetic": False})
    assert f"source: {UNKNOWN}" in text(ingest={})
    assert "channels" not in text(run=None)  # no network record at all: nothing is said of one
    other = copy.deepcopy(RUN)
    other["settings"]["network"] = {"class": "a.CellVoteClassifier", "scales": [0.75, 1.0], "shared": True}
    other["settings"]["loss"] = {"class": "a.ClassificationLoss"}
    other["settings"]["patch_transforms"][0]["class"] = "a.AllLesionSlicesPatchd"
    two = [replace(inputs.comparisons[0], networks={"cnn": RUN, "improved": other})]
    both = dict(methods_paragraphs(inputs.dataset, lesions, INGEST, RUN, two))
    assert "CellVoteClassifier (scales 0.75 1, shared True)" in both["Improved network"]
    assert "every axial slice with a contour" in both["Preprocessing, improved network"]
    assert "largest contoured area" in both["Preprocessing, network of the run"]
    assert "Network (the paper's)" not in both  # the same settings as the run's: told once


def test_the_checklists_have_the_published_items():
    tripod, claim = (read_checklist(name) for name in CHECKLISTS)
    numbers = [item["number"] for item in tripod.items]
    assert [int(re.sub(r"\D", "", number)) for number in numbers] == sorted(
        int(re.sub(r"\D", "", number)) for number in numbers
    )
    letters = {3: "abc", 5: "ab", 6: "abc", 8: "abc", 9: "abc", 12: "abcdefg", 18: "abcdef", 20: "abc", 23: "ab"}
    letters[27] = "abc"
    assert numbers == [f"{n}{letter}" for n in range(1, 28) for letter in letters.get(n, [""])]
    assert len(numbers) == 52
    assert [item["number"] for item in claim.items] == [str(n) for n in range(1, 45)]
    for item in (*tripod.items, *claim.items):
        for anchor in item.get("reported", {}).get("where", []):
            assert anchor in SECTIONS


def test_the_checklists_are_filled_in_only_where_the_program_knows(inputs, lesions):
    real = ReportInputs({"synthetic": False}, lesions, {}, None, None, {}, comparisons=inputs.comparisons)
    every = {
        "synthetic",
        "ingest",
        "network",
        "run",
        "heldout",
        "robustness",
        "selection",
        "always",
        "dose",
        "one_site",
        "all_held_out",
        "external",
        "volumes",
    }
    for checklist in map(read_checklist, CHECKLISTS):
        for item in checklist.items:
            for part in ("reported", "not_applicable"):
                assert set(item.get(part, {}).get("needs", [])) <= every
        for table in (answered(checklist, {"cohort": "x"}, facts_of(real)), answered(checklist, {}, set())):
            for row in table.rows:
                assert row[-1].startswith(("reported (", "not applicable: ", "for the authors to fill in"))
    tripod = read_checklist("tripod_ai")

    def answers(facts):
        return {row[0]: row[-1] for row in answered(tripod, SECTIONS, facts).rows}

    assert answers({"synthetic"})["17"].startswith("not applicable")
    assert answers(set())["17"] == "for the authors to fill in"  # ethics of real patients is not for a program
    assert answers({"network"})["12c"].startswith("reported")
    assert answers(set())["12c"].startswith("for the authors")
    claim = read_checklist("claim_2024")
    external = [
        row[-1] for facts in (set(), {"external"}) for row in answered(claim, SECTIONS, facts).rows if row[0] == "33"
    ]
    assert [answer.startswith("reported") for answer in external] == [False, True]
    assert all(row[-1].startswith("for the authors") for row in answered(tripod, {}, set()).rows)


def test_the_largest_of_rileys_criteria_wins_and_lesions_of_one_person_count_less(inputs, lesions):
    table = page_content(inputs)["comparisons"][0]["sample_size"]
    data = table.data.set_index("method")
    share = float(lesions["label"].mean())
    assert data.loc["gradient", "candidate_features"] == 90
    assert data.loc["gradient", "criterion"] == "shrinkage"
    assert math.isnan(data.loc["gradient", "lesions_for_mean_error"])  # its formula ends at 30 features
    overall = math.ceil((1.959964 / 0.05) ** 2 * share * (1 - share))
    assert data.loc["cnn", ["lesions_needed", "criterion"]].tolist() == [overall, "overall_risk"]
    effect = design_effect(lesions["label"].to_numpy(), lesions["subject"].to_numpy())
    assert data.loc["cnn", "patients_needed"] == math.ceil(overall * effect * 39 / len(lesions))
    half = (data.loc["size", "high"] - data.loc["size", "low"]) / 2
    assert data.loc["size", "patients_for_half_width_0.05"] == math.ceil(39 * (half / 0.05) ** 2)
    assert not any("cannot be told apart" in note for note in table.notes)


def test_feature_names_are_words():
    assert readable("gradient.margin_RAS.radial_gradient.mean") == (
        "margin (right anterior superior): radial gradient, mean"
    )
    assert readable("radiomics.wavelet-LLH_glszm_LowGrayLevelZoneEmphasis") == (
        "wavelet LLH: GLSZM low gray level zone emphasis"
    )
    assert readable("dose.log-sigma-1-0-mm-3D_firstorder_Kurtosis") == "dose, LoG 1.0 mm: first order kurtosis"
    assert readable("unheard of") == "unheard of"
    names = [feature.name for feature in (*GRADIENTS, *RADIOMICS_FEATURES, *DOSE_FEATURES)]
    words = [readable(name) for name in names]
    assert len(set(words)) == len(words)
    assert not set(names) & set(words)


def test_scores_of_explanations_are_shown(inputs, lesions, tmp_path):
    columns = "map,kind,measure,mean,low,high,patients,lesions,better,chance,about"
    lines = [
        "Grad-CAM,map,localisation AUC,0.71,0.65,0.77,39,69,higher,0.5,Finds the niche.",
        "random map,control,localisation AUC,0.5,0.45,0.55,39,69,higher,0.5,Finds the niche.",
        "Grad-CAM for response,map,localisation AUC,0.33,0.2,0.4,39,69,higher,0.5,Finds the niche.",
        "Grad-CAM,map,stability,0.9,0.8,0.95,39,69,,,",
    ]
    (tmp_path / "summary.csv").write_text("\n".join([columns, *lines]) + "\n")
    groups = {"stability": {"group": "stability", "title": "agreement when shifted"}}
    (tmp_path / "explanations.json").write_text(json.dumps({"notes": ["By unseen networks."], "measures": groups}))
    given = ReportInputs(
        inputs.dataset,
        lesions,
        INGEST,
        None,
        None,
        {},
        comparisons=inputs.comparisons,
        explanations=read_explanations(tmp_path, None, "lesions"),
    )
    build_report(given, tmp_path / "out")
    page = text_of(tmp_path / "out")
    assert "0.71 [0.65,\u00a00.77]" in page
    assert "localisation AUC: Finds the niche. Higher is better. A map without information gets 0.5." in page
    assert "0.33 [" not in page  # maps for the other class are in the CSV alone
    written = pd.read_csv(tmp_path / "out" / "tables" / "explanations_scores.csv", comment="#")
    assert list(written["mean"]) == [0.71, 0.5, 0.33]
    assert (tmp_path / "out" / "figures" / "explanations_stability.png").is_file()
    assert "agreement when shifted" in page
    assert "By unseen networks." in page
    assert 'id="explanation-scores"' in page


def test_several_comparisons_stand_side_by_side(lesions, predictions, folder, dataset_dir, tmp_path):
    write_comparison(tmp_path / "b" / "threshold_30", predictions, 0.3)
    found = read_comparisons([folder, tmp_path / "b"], dataset_dir)
    assert [one.key for one in found] == ["threshold_20", "threshold_30"]
    content = page_content(ReportInputs({"synthetic": True}, lesions, {}, None, None, {}, comparisons=found))
    assert [column.count("above") for column in content["overview"].columns[1:]] == [1, 1]
    assert "above 30%" in content["overview"].columns[2]


def test_a_comparison_that_called_it_a_leak_is_still_read(folder, dataset_dir, tmp_path):
    older = shutil.copytree(folder, tmp_path / "older")
    table = json.loads((older / "table.json").read_text())
    table["leak"] = {method: gap["true"] for method, gap in table.pop("training_gap").items()}
    (older / "table.json").write_text(json.dumps(table))
    (one,) = read_comparisons([older], dataset_dir)
    assert list(training_gap_table(one).rows[0][2:]) == ["not computed"] * 2
    assert null_table(one).rows[0][3] == "not computed"


def test_an_order_is_claimed_only_with_a_paired_interval(inputs):
    (one,) = inputs.comparisons
    table = differences_table(one)
    claimed = [(row[0], row[4]) for row in table.rows if "(iii)" in row[1]]
    assert claimed == [
        ("size only − network (the paper's)", "no order shown"),
        ("gradients − network (the paper's)", "no order shown"),
        ("gradients − size only", "no order shown"),
    ]
    for row in table.rows:
        low, high = (float(end) for end in re.search(r"\[(.*?),\s(.*?)\]", row[2]).groups())
        assert (row[4] == "no order shown") or low > 0 or high < 0


def test_bad_folders_are_told_in_a_sentence(dataset_dir, tmp_path):
    with pytest.raises(DataProblem, match=r"table.json and predictions.csv missing"):
        read_comparisons([tmp_path], dataset_dir)
    (tmp_path / "table.json").write_text("{}")
    (tmp_path / "predictions.csv").write_text("a\n1\n")
    with pytest.raises(DataProblem, match="lacks scores"):
        read_comparisons([tmp_path], dataset_dir)
    with pytest.raises(DataProblem, match=r"dataset\.json is missing; prepare the data set again"):
        read_comparisons([tmp_path], tmp_path)
    with pytest.raises(DataProblem, match=r"holds no summary.csv"):
        read_explanations(tmp_path, None, "lesions")
    (tmp_path / "summary.csv").write_text("measure\nx\n")
    with pytest.raises(DataProblem, match="columns missing: map"):
        read_explanations(tmp_path, None, "lesions")
    (tmp_path / "summary.csv").write_text("")
    with pytest.raises(DataProblem, match=r"summary.csv: no valid table \(No columns"):
        read_explanations(tmp_path, None, "lesions")
    (tmp_path / "summary.csv").write_text(",".join((*SUMMARY_COLUMNS, "lesions")) + "\n")
    with pytest.raises(DataProblem, match=r"it has no rows; run scripts/score_explanations\.py again"):
        read_explanations(tmp_path, None, "lesions")
    with pytest.raises(DataProblem, match=r"--out: .*summary\.csv is a file; name a folder"):
        report_from_folders(tmp_path, [], tmp_path / "summary.csv" / "out")
    with pytest.raises(DataProblem, match="give --run, --comparison or both"):
        report_from_folders(tmp_path, [], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_links_lead_to_folders_of_any_name(dataset_dir, tmp_path):
    run = tmp_path / "run #2 (50%)"
    run.mkdir()
    (run / "predictions.csv").write_text("")
    links = dict(from_folders._links(tmp_path / "out", dataset_dir, run, None, []))
    assert links["predictions per lesion"] == "../run%20%232%20%2850%25%29/predictions.csv"


def test_csv_reads_back(report):
    for path in (report / "tables").glob("*.csv"):
        text = path.read_text(encoding="utf-8")
        table = pd.read_csv(io.StringIO("\n".join(line for line in text.splitlines() if not line.startswith("#"))))
        assert len(table.columns) > 1, path.name


def test_comparisons_with_one_title_and_folders_of_like_names_keep_their_own_numbers(
    lesions, predictions, folder, dataset_dir, tmp_path
):
    shutil.copytree(folder, tmp_path / "x" / "threshold_20")
    weaker = predictions.assign(logit=-predictions["logit"])
    other = write_comparison(tmp_path / "y" / "threshold_20", weaker)
    shutil.copytree(other, tmp_path / "threshold_20_2")
    found = read_comparisons([tmp_path / "x" / "threshold_20", other, tmp_path / "threshold_20_2"], dataset_dir)
    assert [one.key for one in found] == ["threshold_20", "threshold_20_3", "threshold_20_2"]
    assert len({one.title for one in found}) == 1
    overview = page_content(ReportInputs({"synthetic": True}, lesions, {}, None, None, {}, comparisons=found))[
        "overview"
    ]
    assert len(set(overview.columns)) == 4
    for name, *cells in overview.rows:
        assert cells[0] != cells[1] == cells[2], name


def rated_lesions(lesions: pd.DataFrame) -> pd.DataFrame:
    """As prepared from a workbook of ratings: one examination, nothing measured at follow-up."""
    gone = ["volume_ses-02_mm3", "volume_ses-03_mm3", "volume_change", "p_response", "days_ses-02", "days_ses-03"]
    return lesions.assign(**dict.fromkeys(gone, np.nan), **{"status_ses-03": "rated"})


def test_ratings_are_never_called_changes_of_volume(lesions, predictions, inputs, tmp_path):
    ratings = rated_lesions(lesions)
    held_out = predictions[predictions["role"] == "heldout_mri1"]
    rule = "rated in the workbook (stable = response)"
    ingest = INGEST | {"settings": INGEST["settings"] | {"labels": rule}}
    one = replace(inputs.comparisons[0], rated=True)
    given = ReportInputs(inputs.dataset, ratings, ingest, held_out, None, RUN, comparisons=[one])
    build_report(given, tmp_path)
    page = text_of(tmp_path)
    for wrong in ("nan%", "volume at follow-up", "fallen by more than", "volume loss above", "uncertain label;"):
        assert wrong not in page, wrong
    assert f"means what a clinician called so: {rule}" in page
    assert f"Labels: {rule}" in page
    assert "response as rated" in page
    assert "there is no second MRI" in page
    rows = page.split("<caption>Lesion by lesion")[1].split("</table>")[0]
    assert rows.count("not measured") == len(lesions)
    assert 'class="unsure' not in rows


def test_a_threshold_is_not_rounded(lesions, inputs):
    dataset = {"name": "ward", "synthetic": True, "response_threshold": 0.657}
    table = inputs.comparisons[0].table | {"response_threshold": 0.657}
    comparisons = [replace(inputs.comparisons[0], table=table)]
    content = page_content(ReportInputs(dataset, lesions, INGEST, None, None, {}, comparisons=comparisons))
    assert "below 34.3% of its volume" in content["response_means"]
    assert "above 65.7%" in content["comparisons"][0]["title"]
    assert "more than 65.7%" in dict(content["methods_text"])["Patients and labels"]
    assert "below 34.3% of the first" in content["cohort"].rows[2][0]


def test_the_methods_text_claims_nothing_that_the_page_has_not(inputs, lesions):
    alone = dict(methods_paragraphs(inputs.dataset, lesions, INGEST, RUN, []))
    assert "held-out predictions" in alone["Statistics"]
    assert "single fitted models" in alone["Statistics"]
    assert "over trials" not in alone["Statistics"]
    assert not re.search("Generalization Error|Riley", " ".join(references_of(RUN, [])))
    paper = dict(methods_paragraphs(inputs.dataset, lesions, INGEST, RUN | {"protocol": "A"}, []))
    assert "held-out" not in paper["Statistics"] + paper["Evaluation"]
    votes = copy.deepcopy(RUN)
    votes["settings"]["loss"] = {"class": "a.ClassificationLoss"}
    assert any("Image Quality" in reference for reference in references_of(RUN, []))
    assert not any("Image Quality" in reference for reference in references_of(votes, []))
    one = replace(inputs.comparisons[0], table=inputs.comparisons[0].table | {"differences": []})
    assert "t-interval" not in dict(methods_paragraphs(inputs.dataset, lesions, INGEST, None, [one]))["Statistics"]


def test_the_page_says_what_the_network_was_trained_on(inputs, lesions, predictions, tmp_path):
    record = copy.deepcopy(RUN)
    for patch, said in (("a.LesionSlicePatchd", "largest contoured area"), ("a.AllLesionSlicesPatchd", "every axial")):
        record["settings"]["patch_transforms"][0]["class"] = patch
        build_report(ReportInputs(inputs.dataset, lesions, INGEST, predictions, None, record), tmp_path)
        intro = text_of(tmp_path).split("small neural network was trained on")[1][:80]
        assert said in intro


def test_scores_of_simulated_patients_are_marked_in_a_report_on_patients(lesions, inputs):
    columns = (*SUMMARY_COLUMNS, "lesions")
    measured = pd.DataFrame([("x", "map", "m", 0.7, 0.6, 0.8, 3, "higher", 0.5, "A.", 4)], columns=columns)
    real = ReportInputs({"synthetic": False}, lesions, {}, None, None, {})
    simulated = replace(real, explanations=Scores(measured, {"model": {"synthetic": True}}))
    patients = replace(real, explanations=Scores(measured, {"model": {"synthetic": False}}))
    stamps = [
        {name: figure.get_supxlabel() for name, (figure, _) in make_figures(each).items()}
        for each in (simulated, patients)
    ]
    assert [each["cohort"] for each in stamps] == [CLINICAL_STAMP] * 2
    assert [each["explanations_scores"] for each in stamps] == [SYNTHETIC_STAMP, CLINICAL_STAMP]
    (table,) = page_content(simulated)["explanations"]
    notes = table.notes
    assert len(set(notes)) == len(notes)


def test_patients_of_a_comparison_are_not_called_simulated(lesions, inputs, tmp_path):
    one = replace(inputs.comparisons[0], own=False, table=inputs.comparisons[0].table | {"synthetic": False})
    mixed = replace(inputs, comparisons=[one])
    assert "synthetic" in facts_of(inputs)
    assert "synthetic" not in facts_of(mixed)
    build_report(mixed, tmp_path)
    assert "Every patient on this page was simulated" not in text_of(tmp_path)
    assert "may be used\nto decide" in text_of(tmp_path)


def test_sites_that_are_not_stated_are_not_one_centre(lesions):
    def facts(sites):
        return facts_of(ReportInputs({}, lesions.assign(site=sites), {}, None, None, {}))

    assert "one_site" in facts("A")
    assert "one_site" not in facts(["A"] * 30 + [np.nan] * (len(lesions) - 30))
    assert "one_site" not in facts(np.nan)


def test_explanations_say_whose_they_are(dataset_dir, tmp_path):
    columns = "map,kind,measure,mean,low,high,patients,lesions,better,chance,about"
    (tmp_path / "summary.csv").write_text(f"{columns}\nGrad-CAM,map,auc,0.7,0.6,0.8,3,4,higher,0.5,Finds it.\n")
    model = {"network": "CellVoteClassifier", "networks": 5, "data_set": "ward <b>7</b>"}
    said = []
    for digest in (dataset_digest(dataset_dir), "another"):
        (tmp_path / "explanations.json").write_text(json.dumps({"model": model | {"data_set_sha256": digest}}))
        (table,) = explanation_tables(read_explanations(tmp_path, dataset_dir, "lesions"), False, OF_LESIONS)
        said.append(" ".join(table.notes))
    assert all("Maps of CellVoteClassifier (5 trained networks)" in each for each in said)
    assert ["other data than the cohort" in each for each in said] == [False, True]


def test_a_split_that_holds_out_one_class_has_no_curve(inputs):
    (comparison,) = inputs.comparisons
    held_out = comparison.predictions[comparison.predictions["label"] == 1]
    figures = make_figures(replace(inputs, comparisons=[replace(comparison, predictions=held_out)]))
    assert f"{comparison.key}_calibration" in figures
    assert f"{comparison.key}_roc" not in figures
