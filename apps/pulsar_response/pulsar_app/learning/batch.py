"""Inference on all studies, one after the other: a failing study stops nothing, and a stopped batch goes on later."""

from __future__ import annotations

import csv
import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from monailabel.interfaces.datastore import Datastore, DefaultLabelTag
from monailabel.interfaces.tasks.batch_infer import BatchInferImageType, BatchInferTask
from treatment_response.commands import tell_problems_plainly
from treatment_response.files import whole_file
from treatment_response.notice import RESEARCH_ONLY, notice, training_data_sentence
from treatment_response.problems import DataProblem, Problem

from pulsar_app.jobs.exclusive import alone, say
from pulsar_app.jobs.records import Records
from pulsar_app.learning.scores import LesionScores, label_state
from pulsar_app.prediction.options import InferOptions, parse

DONE, FAILED, WITHOUT_TARGET = "done", "failed", "without target"
COLUMNS = (
    "image",
    "status",
    "roi",
    "volume_mm3",
    "p_response",
    "p_non_response",
    "class",
    "threshold",
    "calibrated",
    "conformal_set",
    "warnings",
    "problem",
    "model",
    "training_data",
    "notice",
)
# What belongs to the batch and not to the single inference.
_OF_BATCH = {"images", "max_batch_size", "redo", "save_label", "label_tag", "local_rank", "user"}

logger = logging.getLogger(__name__)


class BatchInference(BatchInferTask):
    """Run a model on every image; results go to ``model/batch`` in the app's folder.

    Per model and options there is a file of records, one per image as soon as it is done, and a table
    (`COLUMNS`, one row per lesion) with the same name. An image that is done is passed over by a later batch with the
    same model and options, unless its final label has changed or ``redo`` is asked for.

    Args:
        app_dir: the app's folder.
        models: by the name of each model that needs no click, what tells the weights that serve it now, as
            `describe_model` does.
    """

    def __init__(self, app_dir: Path, models: Mapping[str, Callable[[], dict[str, Any]]]) -> None:
        self.app_dir = app_dir
        self.folder = app_dir / "model" / "batch"
        self.models = models

    def check(self, request: Mapping[str, Any]) -> InferOptions:
        """The options of a request.

        Raises:
            DataProblem: another model, unknown options, wrong types or values.
        """
        if str(request.get("model")) not in self.models:
            what = "no such model runs on all images"
            raise DataProblem(Problem("model", what, f"ask for {' or '.join(self.models)}"))
        problems = [
            Problem(f"'{key}'", "the value is not true or false", "give true or false")
            for key in ("redo", "save_label")
            if not isinstance(request.get(key, True), bool)
        ]
        if request.get("label_tag", DefaultLabelTag.ORIGINAL) != DefaultLabelTag.ORIGINAL:
            what = "a map is no annotation, so it is saved as 'original' only"
            problems.append(Problem("'label_tag'", what, "give original"))
        size = request.get("max_batch_size", 0)
        if isinstance(size, bool) or not isinstance(size, int) or size < 0:
            problems.append(Problem("'max_batch_size'", "the value is no whole number from 0", "give 0 for all images"))
        images = request.get("images", BatchInferImageType.IMAGES_ALL)
        if not isinstance(images, list) and images not in [*BatchInferImageType]:
            known = ", ".join(kind.value for kind in BatchInferImageType)
            problems.append(Problem("'images'", "there is no such choice of images", f"give {known} or a list of ids"))
        try:
            options = parse({key: value for key, value in request.items() if key not in _OF_BATCH})
        except DataProblem as error:
            raise DataProblem(*problems, *error.problems) from None
        if options.foreground:
            problems.append(Problem("'foreground'", "a click belongs to one image", "leave it out"))
        if problems:
            raise DataProblem(*problems)
        return options

    def __call__(
        self,
        request: Mapping[str, Any],
        datastore: Datastore,
        infer: Callable[[dict[str, Any], Datastore], dict[str, Any]],
    ) -> dict[str, Any]:
        """Infer all images that are asked for.

        Args:
            request: ``images`` (all, labeled, unlabeled or a list of ids), ``max_batch_size`` (0 for all), ``redo``,
                ``save_label`` (keep each map as the image's ``original`` label, which clients show with it; true
                by default), and the options of a single inference.
            datastore: of the server.
            infer: the app's inference.

        Returns:
            ``notice``, ``done``, ``passed_over`` (done before), ``failed`` (image id → sentence), ``without_target``
            (image ids), ``lesions``, ``table`` (the table's place in the app's folder).

        Raises:
            DataProblem: the request is wrong; a single study's faults are told in the result.
            Busy: another batch runs.
        """
        if "local_rank" in request:  # MONAI Label's own process for this batch: its last lines are what people see
            tell_problems_plainly()
        options = self.check(request)
        with alone(self.folder, "batch inference", "DELETE /batch/infer"):
            return self._all(request, options, datastore, infer)

    def _all(
        self,
        request: Mapping[str, Any],
        options: InferOptions,
        datastore: Datastore,
        infer: Callable[[dict[str, Any], Datastore], dict[str, Any]],
    ) -> dict[str, Any]:
        images = sorted(set(self.get_images(request, datastore)))
        images = images[: request.get("max_batch_size", 0) or None]
        save = bool(request.get("save_label", True))
        name = str(request["model"])
        model = self.models[name]()
        scores = LesionScores(self.app_dir, model["sha256"])
        records = Records(self.folder / f"{_name(name, model, options, save)}.jsonl")
        entries = {} if request.get("redo", False) else {entry["image"]: entry for entry in records.read()}
        single = {key: value for key, value in request.items() if key not in _OF_BATCH}
        single |= {"save_label": save, "label_tag": DefaultLabelTag.ORIGINAL.value}
        passed_over = 0
        for number, image in enumerate(images, start=1):
            state = label_state(datastore, image)
            before = entries.get(image, {})
            if before.get("status") == DONE and before.get("state") == state:
                passed_over += 1
                continue
            entry = {"image": image, "state": state, **self._one({**single, "image": image}, datastore, infer)}
            entries[image] = entry
            records.add(entry)
            if entry["status"] == DONE and not options.rois:
                scores.put(image, state, [lesion["p_response"] for lesion in entry["lesions"]])
            _write_table(records.path.with_suffix(".csv"), entries, model)
            told = entry["problem"] or f"{len(entry['lesions'])} lesion(s)"
            say(f"{number}/{len(images)} {image}: {entry['status']}, {told}")
        asked = [entries[image] for image in images]
        result = {
            "notice": notice(model),
            "done": sum(entry["status"] == DONE for entry in asked) - passed_over,
            "passed_over": passed_over,
            "failed": {entry["image"]: entry["problem"] for entry in asked if entry["status"] == FAILED},
            "without_target": [entry["image"] for entry in asked if entry["status"] == WITHOUT_TARGET],
            "lesions": sum(len(entry["lesions"]) for entry in asked),
            "table": f"model/batch/{records.path.with_suffix('.csv').name}",
        }
        counts = f"{result['done']} done, {passed_over} done before, {len(result['failed'])} failed, "
        say(f"{counts}{len(result['without_target'])} without target; {result['table']}")
        return result

    def _one(
        self,
        request: dict[str, Any],
        datastore: Datastore,
        infer: Callable[[dict[str, Any], Datastore], dict[str, Any]],
    ) -> dict[str, Any]:
        """One image's record; whatever goes wrong is a sentence in it."""
        try:
            answer = infer(request, datastore)
        except DataProblem as problem:
            return {"status": FAILED, "problem": " ".join(str(problem).split()), "lesions": []}
        except Exception as error:  # one study's fault must not stop the others
            logger.warning("Batch inference of image %s failed (%s)", request["image"], type(error).__name__)
            return {"status": FAILED, "problem": f"an unexpected fault ({type(error).__name__})", "lesions": []}
        if answer.get("file"):
            Path(answer["file"]).unlink(missing_ok=True)
        params = answer["params"]
        kept = ("roi", "volume_mm3", "p_response", "p_non_response", "class", "threshold", "warnings")
        lesions = [
            {**{key: lesion.get(key) for key in kept}, **_certainty(lesion["certainty"])}
            for lesion in params["lesions"]
        ]
        for lesion in lesions:  # a row of the table stands alone, so it also says what is to be said of the MR
            lesion["warnings"] = [*lesion["warnings"], *params.get("warnings", ())]
        status = DONE if lesions else WITHOUT_TARGET
        return {"status": status, "problem": "" if lesions else params.get("message", ""), "lesions": lesions}


def _certainty(of: Mapping[str, Any]) -> dict[str, Any]:
    return {"calibrated": of["calibrated"], "conformal_set": of["set_text"]}


def _name(name: str, model: Mapping[str, Any], options: InferOptions, save: bool) -> str:
    """One name per model and options."""
    text = json.dumps([asdict(options), save], sort_keys=True)
    return f"{name}_{model['sha256'][:12]}_{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _write_table(path: Path, entries: Mapping[str, dict[str, Any]], model: dict[str, Any]) -> None:
    same = {
        "model": model["sha256"][:12],
        "training_data": training_data_sentence(model),
        "notice": RESEARCH_ONLY,
    }
    with whole_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        table.writeheader()
        for image in sorted(entries):
            entry = entries[image]
            row = {"image": image, "status": entry["status"], "problem": entry["problem"], **same}
            for lesion in entry["lesions"] or [{}]:
                warnings = {"warnings": " ".join(lesion["warnings"])} if lesion else {}
                table.writerow({**row, **lesion, **warnings})
