"""The two tasks of each model that viewers list: from the GTVs of the study, and from clicks."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType
from treatment_response.bands import label_values, to_bands, to_labels
from treatment_response.dicom.results.model import ModelIdentity
from treatment_response.dicom.targets import Target
from treatment_response.explain.target import TargetClass
from treatment_response.geometry.region_growing import grow_region
from treatment_response.inference.lesions.boost import boost_region
from treatment_response.inference.lesions.explainer import Explained, Explainer
from treatment_response.problems import DataProblem, Problem

from pulsar_app.prediction import options as request_options
from pulsar_app.prediction.answer import lesion_answer, model_told, whole_answer
from pulsar_app.prediction.archive import check_publishable
from pulsar_app.prediction.clock import Clock
from pulsar_app.prediction.effects import meanings
from pulsar_app.prediction.label_map_file import temporary_label_map
from pulsar_app.prediction.options import NO_OPTIONS, InferOptions
from pulsar_app.prediction.predictor import Predictor
from pulsar_app.prediction.publish import Predicted, publish
from pulsar_app.studies.inputs import BY_OUTLINE, check_finders
from pulsar_app.studies.study import Study, find, without_targets


def click_name(model: str) -> str:
    """What the task is called that outlines lesions from clicks for a model."""
    return f"{model}_click"


class PulsarTask(InferTask):
    """Predicts the targets of an MR; answers a label map of CAM bands and a JSON.

    Args:
        model: its name in viewers' lists.
        predictor: the model.
        type: how viewers treat the task.
        description: for viewers.
    """

    def __init__(self, model: str, predictor: Predictor, type: InferType, description: str) -> None:
        super().__init__(type, label_values(), 3, description, request_options.choices())
        check_finders(predictor.current().inputs, BY_OUTLINE)
        self.model = model
        self.predictor = predictor

    def is_valid(self) -> bool:
        return True

    def info(self) -> dict[str, Any]:
        explainer = self.predictor.current()
        options = {name: text for name, text in meanings(explainer).items() if name in self.config()}
        told = model_told(explainer, self.model)
        inputs = {name: wanted.find for name, wanted in explainer.inputs.items()}
        return {
            **super().info(),
            "options": options,
            "notice": explainer.notice,
            "model": told,
            "inputs": inputs,
            "long_work": explainer.long_work,
        }

    @property
    def long_work(self) -> bool:
        """Whether a request to it is a job."""
        return self.predictor.current().long_work

    @property
    def weights(self) -> str:
        """SHA-256 of the weights that serve now."""
        return str(self.predictor.current().model["sha256"])

    def check(self, request: Mapping[str, Any]) -> InferOptions:
        """The options of a request.

        Raises:
            DataProblem: one is unknown, or its value is none.
        """
        return request_options.parse({key: value for key, value in request.items() if key not in NO_OPTIONS})

    @abstractmethod
    def study(self, datastore: Datastore, image_id: str, label: Path | None, options: InferOptions) -> Study:
        """The MR with its targets."""

    def __call__(self, request: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Answer a request.

        Args:
            request: ``image`` (the id in the datastore), ``datastore``, ``label`` (the path of a sent label, if any)
                and the parameters of :mod:`pulsar_app.prediction.options`.

        Returns:
            Path of the label map, a temporary file that the caller removes; the JSON.

        Raises:
            NotFound: there is no such MR.
            DataProblem: an option is wrong, the MR or the sent label cannot be used, or results cannot be stored.
        """
        clock = Clock()
        datastore, image_id, label = request["datastore"], str(request["image"]), request.get("label")
        options = self.check(request)
        explainer = self.predictor.current()
        identity = ModelIdentity.of(explainer.model)
        study = self.study(datastore, image_id, Path(label) if label else None, options)
        if options.store:
            check_publishable(study.source, datastore, identity)
        clock.lap("read")
        predicted, failed = _predict(explainer, study, options, clock)
        labels = _label_map(study, predicted, options)
        clock.lap("map_back")
        told = model_told(explainer, self.model)
        answer = whole_answer(explainer, told, study, options, predicted, failed, labels)
        clock.lap("answer")
        if options.store and predicted:
            answer["stored"] = publish(study, datastore, predicted, answer, options, identity, labels)
            clock.lap("store")
        path = temporary_label_map(labels, study.volume.affine, options.result_extension, options.result_compress)
        clock.lap("write")
        answer["latencies"] = clock.seconds()
        return str(path), answer


class ResponseTask(PulsarTask):
    """From the GTVs that the study, the datastore or the request brings."""

    def __init__(self, model: str, predictor: Predictor) -> None:
        said = "Response of each GTV, and where the prediction comes from (CAM). Research only."
        super().__init__(model, predictor, InferType.SEGMENTATION, f"{predictor.current().title}. {said}")

    def study(self, datastore: Datastore, image_id: str, label: Path | None, options: InferOptions) -> Study:
        if options.foreground:
            where = f"send them to {click_name(self.model)}"
            raise DataProblem(Problem("foreground", f"{self.model} takes no clicks", where))
        return find(datastore, image_id, label=label, rois=options.rois or None)

    def probabilities(self, datastore: Datastore, image_id: str) -> list[float]:
        """P(response) of every lesion of an image that would be predicted; empty where there is no target."""
        study = find(datastore, image_id)
        explainer = self.predictor.current()
        found: list[float] = []
        refused: DataProblem | None = None
        for target in study.targets:
            if target.listed_because:
                continue
            try:
                found.append(float(explain(explainer, study, target).result["p_response"]))
            except DataProblem as problem:  # says nothing against the image's other lesions
                refused = problem
        if refused and not found:
            raise refused
        return found


class ClickTask(PulsarTask):
    """From clicks: each is grown to a lesion."""

    def __init__(self, model: str, predictor: Predictor) -> None:
        said = "Click into a lesion: its outline by region growing, its response and CAM. Research only."
        super().__init__(model, predictor, InferType.DEEPGROW, f"{predictor.current().title}. {said}")
        del self._config["rois"]

    def study(self, datastore: Datastore, image_id: str, label: Path | None, options: InferOptions) -> Study:
        if not options.foreground:
            raise DataProblem(Problem("foreground", "there is no click", "click into the lesion"))
        if options.rois:
            raise DataProblem(Problem("rois", "a lesion that is clicked has no name yet", "leave this option empty"))
        study = without_targets(datastore.open_image(image_id))
        return replace(study, targets=tuple(grown_targets(study, options.foreground)))


def _predict(
    explainer: Explainer, study: Study, options: InferOptions, clock: Clock
) -> tuple[list[Predicted], dict[str, str]]:
    """The lesions that could be predicted, and by the name of each that could not, why."""
    predicted: list[Predicted] = []
    failed: dict[str, str] = {}
    for target in study.targets:
        if target.listed_because:
            continue
        try:
            explained = explain(explainer, study, target)
        except DataProblem as problem:
            failed[target.name] = str(problem)
            continue
        clock.add(explained.seconds)
        boost = _boost(explainer, explained, target, options) if options.boost else None
        told = lesion_answer(target, explained, options, study.volume, boost)
        predicted.append(Predicted(target, explained, told, boost))
        clock.lap("answer")
    return predicted, failed


def _label_map(study: Study, predicted: Sequence[Predicted], options: InferOptions) -> np.ndarray:
    """The bands of all lesions, ``(I, J, K)`` uint8; where lesions overlap, the higher band of whichever class."""
    labels = np.zeros(study.volume.array.shape, np.uint8, order="F")
    highest = np.zeros_like(labels)
    for one in predicted:
        shown = one.answer["shown_class"]
        voxels = tuple(one.explained.voxels.T)
        bands = to_bands(one.explained.volume(options.cam, shown, "scaled")[voxels], options.bands)
        labels[voxels] = np.where(bands > highest[voxels], to_labels(bands, options.bands, shown), labels[voxels])
        highest[voxels] = np.maximum(bands, highest[voxels])
    return labels


def _boost(explainer: Explainer, explained: Explained, target: Target, options: InferOptions) -> np.ndarray:
    raw = explained.volume(options.cam, TargetClass.NON_RESPONSE.label, "raw")
    return boost_region(raw, target.mask, explainer.scale_of(options.cam, TargetClass.NON_RESPONSE))


def explain(explainer: Explainer, study: Study, target: Target) -> Explained:
    """Predict one target; what the study says about the MR (contrast, time) is not said again for each lesion."""
    return explainer.explain(study.volume, target.mask, key=study.key, name=target.name, contrast_named=True)


def grown_targets(study: Study, clicks: Sequence[tuple[int, int, int]]) -> list[Target]:
    """The lesions that clicks point at; a click into a region that is there already adds nothing.

    Raises:
        DataProblem: a click outside the MR, or one from which no lesion grows.
    """
    targets: list[Target] = []
    for number, click in enumerate(clicks, start=1):
        shape = study.volume.array.shape
        if any(part >= size for part, size in zip(click, shape, strict=True)):
            size = " × ".join(str(length) for length in shape)
            what = f"click {number} lies outside the MR of {size} voxels"
            raise DataProblem(Problem("foreground", what, "click into the lesion"))
        if any(target.mask[click] for target in targets):
            continue
        mask = grow_region(study.volume, study.volume.to_world(np.array([click]))[0])
        volume = float(mask.sum()) * study.volume.voxel_volume
        targets.append(Target(f"click {number}", mask, volume, "click"))
    return targets
