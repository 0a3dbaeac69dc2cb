"""The page: self-contained, says what it is, and carries no patient's identity."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from treatment_response.evaluation.training_gap import training_gap
from treatment_response.problems import DataProblem
from treatment_response.report.lesions.content import build_report, page_content
from treatment_response.report.lesions.inputs import ReportInputs, read_inputs
from treatment_response.report.lesions.lesion_table import LesionPicture
from treatment_response.report.lesions.run_section import _view_figures

SENTENCE = "Rankings on synthetic data reflect its design"


def make_inputs(lesions, predictions, history, views, synthetic=True) -> ReportInputs:
    return ReportInputs(
        {"name": "ward <b>7</b>", "synthetic": synthetic, "response_threshold": 0.2},
        lesions,
        {"left_out": [{"subject": "sub-003", "lesion": "L02", "reason": "Gradient Index 4.3 is above 4"}]},
        predictions,
        history,
        {"versions": {"torch": "2.13.0"}, "seed": 0, "settings": {"optimizer": {"lr": 0.0005}}},
        views,
        drawn=views,
        files=[("lesions of the data set", "../dataset/lesions.csv")],
        pictures={("sub-001", "L01"): LesionPicture(b"\x89PNG", True, True, 4)},
    )


class Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.anchors: set[str] = set()
        self.images = 0

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.images += tag == "img"
        self.targets += [values[key] for key in ("src", "href", "srcset", "action", "data") if key in values]
        if "id" in values:
            self.anchors.add(values["id"])


@pytest.fixture(scope="module")
def page(lesions, predictions, history, views, tmp_path_factory) -> str:
    out = tmp_path_factory.mktemp("report")
    path = build_report(make_inputs(lesions, predictions, history, views), out)
    names = {png.stem for png in (out / "figures").glob("*.png")}
    shown = {"cohort", "roc", "confusion", "training", "reconstructions", "features", "cams", "groups"}
    shown |= {"network_calibration", "network_decision"}
    assert names == shown
    assert [entry.name for entry in out.glob(".*")] == []
    return path.read_text(encoding="utf-8")


def test_the_page_asks_nothing_of_the_network(page):
    links = Links()
    links.feed(page)
    assert links.images == 11
    beside = ("data:image/png;base64,", "#", "figures/", "tables/", "report.json", "../dataset/")
    for target in links.targets:
        assert target.startswith(beside), target
    assert "@import" not in page
    assert "url(" not in page
    assert "<script" not in page


def test_its_contents_lead_somewhere(page):
    links = Links()
    links.feed(page)
    assert {t[1:] for t in links.targets if t.startswith("#")} <= links.anchors


def test_it_says_what_it_is(page):
    text = re.sub(r"data:[^\"]+", "", page)
    assert "SYNTHETIC DATA — RESEARCH USE ONLY" in text
    said = {part.split('"')[0] for part in text.split('<table id="table-')[1:] if SENTENCE in part}
    assert {"network_response", "network_non_response", "network_and_baselines", "cohort"} <= said
    assert SENTENCE in text.split("<caption>Lesion by lesion")[1].split("<h2")[0]
    assert "(iii) MRI 1 of held-out patients (primary)" in text
    assert "finding (positive class): non-response" in text
    assert "Gradient Index 4.3 is above 4" in text
    assert "torch" in text
    assert "settings.optimizer.lr" in text
    assert "ward &lt;b&gt;7&lt;/b&gt;" in text


def test_numbers_agree_with_the_predictions(page, predictions):
    held = predictions[predictions["role"] == "heldout_mri1"]
    from sklearn.metrics import roc_auc_score

    assert f"{roc_auc_score(held['label'], held['p_response']):.3f} [" in page


def test_the_headline_is_what_recognising_a_lesion_is_worth(lesions, predictions, history):
    dealt = dict(zip(zip(lesions["subject"], lesions["lesion"], strict=True), lesions["label"][::-1], strict=True))
    labels = [dealt[key] for key in zip(predictions["subject"], predictions["lesion"], strict=True)]
    alone = make_inputs(lesions, predictions, history, [])
    both = replace(alone, shuffled=predictions.assign(label=labels))
    (_, missing, _), (_, found, _) = (page_content(each)["key_numbers"] for each in (alone, both))
    assert missing["name"] == found["name"] == "AUC, what recognising a lesion is worth"
    assert missing["value"] == "not computed"
    assert "a second --run, on shuffled labels" in missing["note"]
    gap = training_gap(predictions, [both.shuffled])
    assert found["value"] == f"{gap.true.estimate - gap.shuffled.estimate:+.2f}"
    assert f"{gap.recognition.low:+.2f} to {gap.recognition.high:+.2f}" in found["note"]


def test_sure_labels_and_every_lesion_are_shown(lesions, predictions, history, tmp_path):
    sure = lesions.assign(p_response=np.where(np.arange(len(lesions)) % 2, 0.5, np.where(lesions["label"], 0.95, 0.05)))
    page = build_report(make_inputs(sure, predictions, history, []), tmp_path).read_text(encoding="utf-8")
    assert f"On the {(len(lesions) + 1) // 2} lesions whose label" in page
    rows = page.split("<caption>Lesion by lesion")[1].split("</table>")[0]
    assert rows.count("<tr") == len(lesions) + 1
    assert len(re.findall(r'<tr class="[^"]*unsure', rows)) == len(lesions) // 2


def test_real_patients_are_never_called_synthetic(lesions, predictions, history, views, tmp_path):
    inputs = make_inputs(lesions, predictions, history, views[:2], synthetic=False)
    page = build_report(inputs, tmp_path).read_text(encoding="utf-8")
    text = re.sub(r"data:[^\"]+", "", page)
    assert "ynthetic" not in text
    assert "SYNTHETIC" not in text
    assert "RESEARCH USE ONLY" in text
    assert "Not a medical device" in text


def test_protocol_a_is_labelled_as_such(lesions, predictions, tmp_path):
    own = predictions[(predictions["role"] == "train_mri2") & (predictions["model"] == 0)].drop(columns="model")
    inputs = ReportInputs({"synthetic": True}, lesions, {}, own, None, {"protocol": "A"})
    page = build_report(inputs, tmp_path).read_text(encoding="utf-8")
    assert "no held-out patients (protocol A" in page
    assert "No patient was held out (protocol A" in page
    for wrong in ("all lesions of one patient are on the same", "patients it has never seen", "held-out predictions"):
        assert wrong not in page
    assert "Nothing was left out" in page


def test_without_both_classes_there_is_no_auc(lesions, predictions, tmp_path):
    held_out = predictions[(predictions["role"] == "heldout_mri1") & (predictions["label"] == 1)]
    inputs = ReportInputs({"synthetic": True}, lesions, {}, held_out[held_out["fold"] == 0], None, {})
    page = build_report(inputs, tmp_path).read_text(encoding="utf-8")
    assert "<b>undefined</b>" in page
    assert "there is no AUC" in page
    assert not re.search(r"\bnan\b", re.sub(r"data:[^\"]+", "", page))


def test_a_network_without_a_decoder_is_shown_without_its_figures(views):
    own = [replace(view, reconstruction=None) for view in views]
    assert set(_view_figures(own, synthetic=True)) == {"cams", "groups"}


def test_missing_files_are_told_all_at_once(tmp_path):
    with pytest.raises(DataProblem) as caught:
        read_inputs(tmp_path, [tmp_path])
    assert len(caught.value.problems) == 3


def test_a_page_of_few_held_out_lesions_says_that_it_shows_no_performance(lesions, predictions, history, tmp_path):
    heading = "This page shows the path, not performance."
    one_fold = predictions[predictions["model"] == 0]
    pages = [
        build_report(make_inputs(lesions, some, history, []), tmp_path).read_text(encoding="utf-8")
        for some in (one_fold, predictions)
    ]
    assert [heading in page for page in pages] == [True, False]
    held_out = (one_fold["role"] == "heldout_mri1").sum()
    assert f"{heading}</b> {held_out} of {len(lesions)} lesions were held out" in pages[0]
