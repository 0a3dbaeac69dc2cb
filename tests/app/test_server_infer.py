"""The real server on a folder of NIfTI: what it answers, the same at any load, leaving nothing behind."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import requests
import SimpleITK as sitk
from app_server import AppServer
from golden_values import Golden
from monai.bundle import ConfigWorkflow
from phantom_case import LESIONS, SHAPE, affine, ball, head, masks, write_label
from pulsar_app.viewers.ohif import PAGES
from pulsar_app.viewers.ohif_changes import BANDS_OF_CLICKS, TEXTS, with_texts
from requests_toolbelt import MultipartDecoder
from slicer_scene import assert_slicer_sees, needs_slicer
from treatment_response.bands import band_names, label_values, legend, to_bands, to_labels
from treatment_response.cohort.layout import write_volume
from treatment_response.geometry import Volume

CONFIG = Path(__file__).resolve().parents[2] / "bundle" / "configs" / "inference.json"
MR, OTHER = "sub-001_ce-gadolinium_T1w", "sub-002_ce-gadolinium_T1w"
MODEL, CLICK = "pulsar_response", "pulsar_response_click"
IMPROVED = "pulsar_response_improved"
CENTRE = LESIONS["GTV_1"][0]
LATENCIES = {"read", "preprocess", "network", "map_back", "answer", "write", "total"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def studies(folder) -> Path:
    for seed, name in enumerate((MR, OTHER, "no_lesion_T1w")):
        write_volume(folder / "studies" / f"{name}.nii.gz", head(seed))
    return folder / "studies"


@pytest.fixture(scope="module")
def label(folder) -> Path:
    return write_label(folder / "label.nii.gz", *masks())


@pytest.fixture(scope="module")
def server(studies, folder):
    with AppServer(studies, folder, ready="/info/") as running:
        running.left_at_start = sorted(path.name for path in running.temporary.iterdir())
        yield running


def answer(response: requests.Response) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    return response.json()


def timeless(told: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in told.items() if key != "latencies"}


def label_map(response: requests.Response, path: Path) -> sitk.Image:
    assert response.status_code == 200, response.text
    path.write_bytes(response.content)
    return sitk.ReadImage(str(path))


def voxels(image: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(image).transpose(2, 1, 0)


@pytest.fixture(scope="module")
def cams(studies, folder) -> list[tuple[dict[str, Any], Path]]:
    """What inference.json writes for the same MR and each of the lesions."""
    found = []
    for number, mask in enumerate(masks(), start=1):
        out = folder / f"cams-{number}"
        workflow = ConfigWorkflow(
            config_file=str(CONFIG),
            workflow_type="infer",
            logging_file=False,
            output_dir=str(out),
            image=str(studies / f"{MR}.nii.gz"),
            mask=str(write_label(folder / f"mask-{number}.nii.gz", mask)),
            device="$torch.device('cpu')",
            plain_problems=None,
        )
        workflow.initialize()
        workflow.run()
        found.append((json.loads((out / "lesions.json").read_text())["lesions"][0], out))
    return found


@needs_slicer
@pytest.mark.parametrize("extension", [".nrrd", ".nii.gz"])
def test_slicer_sees_the_label_map_as_it_is(server, label, tmp_path, extension):
    response = server.infer(MODEL, MR, {"result_extension": extension, "shown": "response"}, label, output="image")
    path = tmp_path / f"map{extension}"
    found = voxels(label_map(response, path))
    assert found.any()
    assert_slicer_sees(path, Volume(found, affine()), label=True)


@pytest.mark.parametrize("bands", [5, 3])
@pytest.mark.parametrize("cam", ["pixelwise", "gradcam", "gradcampp"])
@pytest.mark.parametrize("shown", ["predicted", "response", "non-response"])
def test_the_label_map_is_the_bundles_map_voxel_by_voxel(server, label, cams, tmp_path, bands, cam, shown):
    params = {"bands": bands, "cam": cam, "shown": shown, "result_extension": ".nrrd"}
    image = label_map(server.infer(MODEL, MR, params, label, output="image"), tmp_path / "map.nrrd")
    expected = np.zeros(SHAPE, np.uint8)
    for (entry, out), mask in zip(cams, masks(), strict=True):
        of = entry["class"] if shown == "predicted" else shown
        (told,) = (one for one in entry["maps"] if (one["variant"], one["class"]) == (cam, of))
        scaled = np.asarray(nibabel.load(out / told["scaled"]).dataobj)
        expected[mask] = to_labels(to_bands(scaled, bands), bands, of)[mask]
    np.testing.assert_array_equal(voxels(image), expected)


def test_the_label_map_lies_on_the_mr_in_millimetres_in_every_format(server, label, studies, tmp_path):
    mr = sitk.ReadImage(str(studies / f"{MR}.nii.gz"))
    found = {}
    for extension in (".nrrd", ".nii.gz", ".nii"):
        params = {"result_extension": extension, "result_dtype": "uint8", "result_compress": False}
        response = server.infer(MODEL, MR, params, label, output="image")
        image = label_map(response, tmp_path / f"map{extension}")
        assert image.GetPixelID() == sitk.sitkUInt8
        assert image.GetSize() == mr.GetSize()
        for corner in ((0, 0, 0), tuple(size - 1 for size in SHAPE)):
            here, there = (one.TransformIndexToPhysicalPoint(corner) for one in (image, mr))
            np.testing.assert_allclose(here, there, atol=1e-3)
        found[extension] = voxels(image)
        if extension == ".nrrd":
            header, data = response.content.split(b"\n\n", 1)
            assert b"encoding: raw" in header  # OHIF reads nothing else
            np.testing.assert_array_equal(np.frombuffer(data, np.uint8).reshape(SHAPE, order="F"), found[extension])
    assert all(np.array_equal(found[".nrrd"], other) for other in found.values())
    assert not found[".nrrd"][~np.any(masks(), axis=0)].any()
    packed = server.infer(MODEL, MR, {"result_extension": ".nrrd", "result_compress": True}, label, output="image")
    assert b"encoding: gzip" in packed.content[:1000]
    np.testing.assert_array_equal(voxels(label_map(packed, tmp_path / "packed.nrrd")), found[".nrrd"])


def test_the_answer_says_what_was_predicted_where_and_by_what(server, label, cams):
    told = answer(server.infer(MODEL, MR, {"cam": "gradcampp"}, label))
    assert told["notice"].startswith("RESEARCH ONLY")
    assert told["model"]["training_data"] in told["notice"]
    assert re.fullmatch(r"[0-9a-f]{64}", told["model"]["sha256"])
    assert told["model"]["version"].startswith(told["model"]["sha256"][:12])
    assert told["image"] == MR
    scale = json.loads((CONFIG.parents[1] / "models" / "model.json").read_text())["map_scales"]["gradcampp"]
    assert told["cam"] == {"variant": "gradcampp", "shown": "predicted", **legend(5), "scale": pytest.approx(scale)}
    assert told["stored"] == []
    assert [lesion["roi"] for lesion in told["lesions"]] == ["label 1", "label 2"]
    for lesion, (entry, _), (centre, _radius), mask in zip(
        told["lesions"], cams, LESIONS.values(), masks(), strict=True
    ):
        for key in ("class", "threshold", "largest_slice", "scored_slices"):
            assert lesion[key] == entry[key]
        # The server counts with one thread, this process perhaps with two, and both round to six digits.
        for ours, theirs in zip([lesion, *lesion["slices"]], [entry, *entry["slices"]], strict=True):
            assert ours["p_response"] == pytest.approx(theirs["p_response"], abs=2e-6)
        assert lesion["p_non_response"] == pytest.approx(1 - lesion["p_response"], abs=2e-6)
        assert lesion["source"] == "sent label"
        place = affine()[:3, :3] @ np.array(centre) + affine()[:3, 3]
        np.testing.assert_allclose(lesion["location_mm"], place, atol=0.15)
        assert lesion["volume_mm3"] == pytest.approx(mask.sum() * abs(np.linalg.det(affine()[:3, :3])), abs=0.1)
        assert lesion["roi"] in told["message"]
        assert lesion["class"] in told["message"]
    assert set(told["latencies"]) == LATENCIES
    spent = sum(value for key, value in told["latencies"].items() if key != "total")
    assert 0 <= told["latencies"]["total"] - spent + 1e-3 < 0.5 * told["latencies"]["total"] + 0.05
    assert told == answer(requests.get(f"{server.url}/answers/{MR}", timeout=10))


def test_answers_and_label_maps_are_as_recorded(server, label, tmp_path, golden: Golden):
    answers, maps = {}, {}
    for model in (MODEL, IMPROVED):
        asked = ((model, {"boost": True}, label), (f"{model}_click", {"foreground": [list(CENTRE)], "bands": 3}, None))
        for task, params, sent in asked:
            answers[task] = answer(server.infer(task, MR, params, sent))
            params |= {"result_extension": ".nrrd"}
            maps[task] = voxels(label_map(server.infer(task, MR, params, sent, output="image"), tmp_path / "map.nrrd"))
    golden.check("answers", answers)
    golden.check_arrays("answers", maps)


def test_names_of_the_label_map_are_those_that_occur_in_it(server, label, tmp_path):
    for bands in (5, 3):
        for shown in ("response", "non-response"):
            params = {"bands": str(bands), "shown": shown}
            told = answer(server.infer(MODEL, MR, params, label))
            image = label_map(server.infer(MODEL, MR, params, label, output="image"), tmp_path / "map.nii.gz")
            present = np.setdiff1d(np.unique(voxels(image)), [0]).tolist()
            assert list(told["label_names"].values()) == present
            assert all(label_values()[name] == value for name, value in told["label_names"].items())
            assert set(told["label_names"]) <= set(band_names(bands, shown))


def test_missing_evidence_is_said_of_the_map_that_is_shown_and_of_no_other(server, label):
    lacking = []
    for cam in ("pixelwise", "gradcam", "gradcampp"):
        for shown in ("response", "non-response"):
            for lesion in answer(server.infer(MODEL, MR, {"cam": cam, "shown": shown}, label))["lesions"]:
                said = [warning for warning in lesion["warnings"] if "No evidence" in warning]
                sentence = f"No evidence (the map is zero in every slice): {cam} {shown}."
                assert said == ([] if lesion["evidence"] else [sentence])
                lacking.append(not lesion["evidence"])
    assert any(lacking)
    assert not all(lacking)


def test_what_clients_are_told_of_the_models(server):
    info = answer(requests.get(f"{server.url}/info/", timeout=10))
    types = {MODEL: "segmentation", CLICK: "deepgrow", IMPROVED: "segmentation", f"{IMPROVED}_click": "deepgrow"}
    criteria = info["models"].pop("response_criteria")
    assert criteria["type"] == "segmentation"
    assert criteria["notice"].startswith("RESEARCH ONLY")
    assert {name: model["type"] for name, model in info["models"].items()} == types
    assert next(iter(info["models"])) == MODEL
    assert list(info["trainers"]) == [MODEL]
    assert info["notice"].startswith("RESEARCH ONLY")
    assert "synthetic" in info["description"]
    for model in info["models"].values():
        assert model["labels"] == label_values()
        assert model["dimension"] == 3
        assert model["notice"] == info["notice"]
        assert model["config"]["store"] is False
        assert list(model["options"]) == list(model["config"])  # each option is explained
    assert len({model["description"] for model in info["models"].values()}) == len(types)
    assert "Refused for a real patient" in info["models"][MODEL]["options"]["store"]
    assert "rois" not in info["models"][CLICK]["config"]
    assert info["labels"] == [*label_values(), *criteria["labels"]]


@pytest.mark.parametrize(("model", "file"), [(MODEL, "model.json"), (IMPROVED, "improved.json")])
def test_each_model_answers_by_its_own_fold_models(server, label, model, file):
    content = json.loads((CONFIG.parent.parent / "models" / file).read_text())
    given = {"foreground": [list(CENTRE)]}
    for told in (
        answer(server.infer(model, MR, label=label)),
        answer(server.infer(f"{model}_click", MR, given)),
    ):
        assert told["model"]["sha256"] == content["sha256"]
        assert told["model"]["name"].startswith(model)
        curve = content["calibration"]
        for lesion in told["lesions"]:
            assert lesion["certainty"]["calibrated"]
            assert lesion["p_response"] == pytest.approx(np.mean(lesion["p_folds"]), abs=2e-6)
            p = np.array(lesion["p_folds"])
            logits = (np.log(p / (1 - p)) - curve["intercept"]) / curve["slope"]
            inside = bool((curve["lowest"] <= logits.min()) and (logits.max() <= curve["highest"]))
            assert lesion["certainty"]["in_calibrated_range"] == inside
            single = [s["p_response"] for s in lesion["slices"] if s["slice"] in lesion["scored_slices"]]
            assert min(single) - 1e-6 <= lesion["p_single"] <= max(single) + 1e-6


def test_both_parts_of_an_answer_come_together_as_monai_labels_client_wants_them(server, label):
    response = server.infer(MODEL, MR, {"result_extension": ".nrrd"}, label, output="all")
    parts = MultipartDecoder.from_response(response).parts
    names = [part.headers[b"Content-Disposition"] for part in parts]
    assert b'name="params"' in names[0]
    assert json.loads(parts[0].text)["lesions"]
    assert b".nrrd" in names[1]
    assert parts[1].content.startswith(b"NRRD")


def test_without_any_gtv_the_answer_says_how_to_give_one(server, tmp_path):
    told = answer(server.infer(MODEL, OTHER))
    assert told["notice"].startswith("RESEARCH ONLY")
    assert told["lesions"] == []
    for way in ("save a label", "send a label", CLICK):
        assert way in told["message"]
    image = label_map(server.infer(MODEL, OTHER, {"result_extension": ".nrrd"}, output="image"), tmp_path / "map.nrrd")
    assert image.GetSize() == SHAPE
    assert not voxels(image).any()


def test_a_lesion_of_three_voxels_is_warned_of_and_the_others_are_predicted(server, folder):
    speck = np.zeros(SHAPE, bool)
    speck[20:23, 44, 15] = True
    path = write_label(folder / "speck.nii.gz", ball(*LESIONS["GTV_1"]), speck)
    told = answer(server.infer(MODEL, MR, label=path))
    first, second = told["lesions"]
    assert not any("fewer than 9" in warning for warning in first["warnings"])
    assert any("fewer than 9" in warning for warning in second["warnings"])


def test_a_click_into_a_lesion_finds_it_and_predicts_it(server, label, tmp_path):
    told = answer(server.infer(CLICK, MR, {"foreground": [list(CENTRE)], "background": []}))
    (lesion,) = told["lesions"]
    assert told["notice"].startswith("RESEARCH ONLY")
    assert lesion["source"] == "click"
    drawn, *_ = answer(server.infer(MODEL, MR, label=label))["lesions"]
    assert lesion["volume_mm3"] == pytest.approx(drawn["volume_mm3"], rel=0.15)
    np.testing.assert_allclose(lesion["location_mm"], drawn["location_mm"], atol=1)
    params = {"foreground": [list(CENTRE)], "result_extension": ".nrrd", "shown": lesion["class"]}
    image = label_map(server.infer(CLICK, MR, params, output="image"), tmp_path / "map.nrrd")
    assert not voxels(image)[~ball(CENTRE, LESIONS["GTV_1"][1] + 2)].any()


def test_each_click_is_a_lesion_unless_it_falls_into_one(server):
    first, second = (centre for centre, _ in LESIONS.values())
    beside = [first[0] + 2, first[1], first[2]]
    told = answer(server.infer(CLICK, MR, {"foreground": [list(first), beside, list(second)]}))
    assert [lesion["roi"] for lesion in told["lesions"]] == ["click 1", "click 3"]


@pytest.mark.parametrize(
    ("model", "image", "params", "status", "words"),
    [
        (CLICK, MR, {}, 400, "no click"),
        (CLICK, MR, {"foreground": [[500, 0, 0]]}, 400, "96 × 88 × 30"),
        (CLICK, MR, {"foreground": [[48, 70, 15]]}, 400, "click"),
        (MODEL, MR, {"foreground": [[1, 1, 1]]}, 400, CLICK),
        (CLICK, MR, {"foreground": [list(CENTRE)], "rois": "GTV_1"}, 400, "leave this option empty"),
        (MODEL, MR, {"rois": ["GTV_9"]}, 400, "GTV_9"),
        (MODEL, MR, {"store": True}, 400, "cannot be stored"),
        (MODEL, MR, {"bands": 99}, 400, "bands"),
        (MODEL, MR, {"nonsense": 1}, 400, "no such option"),
        (MODEL, "unknown", {}, 404, "image"),
        ("unknown", MR, {}, 404, MODEL),
    ],
)
def test_what_cannot_be_done_is_one_sentence(server, model, image, params, status, words):
    response = server.infer(model, image, params)
    assert response.status_code == status, response.text
    told = response.json()["detail"]
    assert words in told
    assert "Traceback" not in told
    assert len(told.splitlines()) == 1


def test_a_boost_region_is_measured_and_said_not_to_be_stored(server, label):
    told = answer(server.infer(MODEL, MR, {"boost": True}, label))
    for lesion in told["lesions"]:
        assert 0 <= lesion["boost_mm3"] <= lesion["volume_mm3"] + 0.1
    assert any("only when results are stored" in note for note in told["notes"])
    assert all("boost_mm3" not in lesion for lesion in answer(server.infer(MODEL, MR, {}, label))["lesions"])


def test_an_mr_that_is_sent_along_is_predicted_and_forgotten(server, label, folder):
    path = folder / "sent.nii.gz"
    write_volume(path, head(0))
    files = {"file": (path.name, path.read_bytes()), "label": (label.name, label.read_bytes())}
    url = f"{server.url}/infer/{MODEL}?output=json"
    told = answer(requests.post(url, data={"params": "{}"}, files=files, timeout=60))
    stored = answer(server.infer(MODEL, MR, label=label))
    assert [one["p_response"] for one in told["lesions"]] == [one["p_response"] for one in stored["lesions"]]
    assert str(server.temporary) not in json.dumps(told)
    put = requests.put(f"{server.url}/session/", files={"files": (path.name, path.read_bytes())}, timeout=60)
    session = answer(put)["session_id"]
    url = f"{server.url}/infer/{CLICK}?output=json&session_id={session}"
    told = answer(requests.post(url, data={"params": json.dumps({"foreground": [list(CENTRE)]})}, timeout=60))
    assert len(told["lesions"]) == 1


def test_eight_requests_at_once_get_what_one_after_the_other_got(server, label):
    asked = [
        (MODEL, MR, {"cam": "pixelwise"}, label),
        (MODEL, OTHER, {"cam": "gradcampp", "shown": "response"}, label),
        (CLICK, MR, {"foreground": [list(CENTRE)]}, None),
        (MODEL, MR, {"bands": 3, "shown": "non-response"}, label),
        (CLICK, OTHER, {"foreground": [list(LESIONS["GTV_2"][0])]}, None),
        (MODEL, OTHER, {}, None),
        (MODEL, MR, {"cam": "gradcam", "shown": "response"}, label),
        (MODEL, OTHER, {"cam": "gradcampp", "bands": "3"}, label),
    ]

    def ask(one: tuple[str, str, dict[str, Any], Path | None]) -> tuple[dict[str, Any], bytes]:
        model, image, params, sent = one
        told = timeless(answer(server.infer(model, image, params, sent)))
        drawn = server.infer(model, image, {**params, "result_extension": ".nrrd"}, sent, output="image")
        assert drawn.status_code == 200, drawn.text
        return told, drawn.content

    alone = [ask(one) for one in asked]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, asked)) == alone
        assert list(pool.map(ask, asked[::-1])) == alone[::-1]


def resident_mb(server: AppServer) -> float:
    status = Path(f"/proc/{server.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status).group(1)) / 1024


def test_memory_stays_flat_over_a_hundred_requests(server, label):
    def ask(number: int) -> None:
        image = (MR, OTHER)[number % 2]
        response = server.infer(MODEL, image, {"result_extension": ".nrrd"}, label, output="all")
        assert response.status_code == 200, response.text

    for number in range(30):
        ask(number)
    before = resident_mb(server)
    for number in range(100):
        ask(number)
    # One label map that stays is 0.25 MB, so a leak of each answer would add 25 MB.
    assert resident_mb(server) - before < 15


def test_ohif_says_what_the_models_do_and_shows_all_bands_of_a_click(server):
    changes = (BANDS_OF_CLICKS, *TEXTS)
    script = next(path for path in sorted(PAGES.glob("*.bundle.*.js")) if BANDS_OF_CLICKS.before in path.read_text())
    served = requests.get(f"{server.url}/ohif/{script.name}", timeout=30)
    assert served.status_code == 200
    assert served.headers["Content-Type"].startswith("text/javascript")
    assert served.headers["Content-Security-Policy"]
    # Every change has found its place in the viewer that MONAI Label brings, and nothing else is touched.
    expected = script.read_text()
    for change in changes:
        assert expected.count(change.before) == 1, change.what
        expected = expected.replace(change.before, change.after)
    assert served.text == expected
    # The names that it takes instead exist where it stands, as in the mode's other models.
    assert "const label_names = info.modelLabelNames[model];" in served.text


def test_another_version_of_ohif_keeps_its_texts_and_the_log_says_so(caplog):
    assert with_texts("some other script") == "some other script"
    assert len(caplog.messages) == len(TEXTS)


def test_nothing_is_left_behind_and_the_log_holds_no_traceback(server):
    assert sorted(path.name for path in server.temporary.iterdir()) == server.left_at_start
    assert "Traceback" not in server.log
