"""The task of a model that predicts case by case: it finds the volumes that the model declares and answers for them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType
from treatment_response.bands import check_colours, label_values, to_bands, to_labels
from treatment_response.geometry.grids import same_grid
from treatment_response.inference.case_explainer import CaseExplainer, ExplainedCase
from treatment_response.inference.declared_inputs import DeclaredInput
from treatment_response.problems import DataProblem, Problem
from treatment_response.progress import tell

from pulsar_app.prediction import case_options
from pulsar_app.prediction.archive import check_publishable
from pulsar_app.prediction.case_answer import case_answer, case_model_told, identity_of, shown_class
from pulsar_app.prediction.case_options import CaseOptions
from pulsar_app.prediction.case_publish import publish_case
from pulsar_app.prediction.case_rule import check_rule, rule_beside
from pulsar_app.prediction.clock import Clock
from pulsar_app.prediction.label_map_file import temporary_label_map
from pulsar_app.prediction.options import NO_OPTIONS
from pulsar_app.prediction.predictor import ServedModel
from pulsar_app.prediction.threads import threads_for
from pulsar_app.studies.atlas import check_preparation, preparation_warnings
from pulsar_app.studies.inputs import FINDERS, check_finders, find_inputs
from pulsar_app.studies.search import Search
from pulsar_app.studies.sheets import check_sheet, filled_sheet


class CaseTask(InferTask):
    """Predicts one case per image; answers a label map of the shown map's bands and a JSON.

    Args:
        model: its name in viewers' lists.
        served: the model.
        cache: folder for registrations.

    Raises:
        DataProblem: it has more classes than viewers have colours, or declares an input that nobody finds.
    """

    def __init__(self, model: str, served: ServedModel[CaseExplainer], cache: Path) -> None:
        explainer = served.current()
        classes = explainer.classes
        check_colours(classes)
        check_finders(explainer.inputs, FINDERS)
        check_preparation([wanted.find for wanted in explainer.inputs.values()], explainer.model.get("preparation"))
        check_rule(explainer.rule)
        check_sheet(explainer.sheet)
        description = (
            f"{explainer.title}. {', '.join(classes.names)}: the probability of each, and where it comes from."
        )
        super().__init__(
            InferType.SEGMENTATION,
            label_values(classes),
            3,
            f"{description} Research only.",
            case_options.choices(explainer),
        )
        self.model = model
        self.served = served
        self.cache = cache

    def is_valid(self) -> bool:
        return True

    @property
    def long_work(self) -> bool:
        """Whether a request to it is a job."""
        return self.served.current().long_work

    @property
    def weights(self) -> str:
        """SHA-256 of the weights that serve now."""
        return str(self.served.current().model["sha256"])

    def info(self) -> dict[str, Any]:
        explainer = self.served.current()
        told = case_model_told(explainer, self.model)
        return {
            **super().info(),
            "options": case_options.meanings(explainer),
            "notice": explainer.notice,
            "model": told,
            "inputs": {name: wanted.find for name, wanted in explainer.inputs.items()},
            "long_work": explainer.long_work,
        }

    @property
    def inputs(self) -> dict[str, DeclaredInput]:
        """The inputs that the model which serves now declares, by name."""
        return self.served.current().inputs

    def check(self, request: Mapping[str, Any]) -> CaseOptions:
        """The options of a request.

        Raises:
            DataProblem: one is unknown, or its value is none.
        """
        return self._options(request, self.served.current())

    def __call__(self, request: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Answer a request.

        Args:
            request: ``image`` (the id in the datastore), ``datastore`` and the parameters of
                :mod:`pulsar_app.prediction.case_options`.

        Returns:
            Path of the label map, a temporary file that the caller removes; the JSON.

        Raises:
            NotFound: there is no such image.
            DataProblem: an option is wrong, an input is missing or cannot be used, or results cannot be stored.
        """
        clock = Clock()
        datastore, image_id = request["datastore"], str(request["image"])
        if request.get("label"):
            raise DataProblem(Problem("label", f"{self.model} takes no outlines", "send the request without a label"))
        explainer = self.served.current()
        options = self._options(request, explainer)
        image = datastore.open_image(image_id)
        if options.store:
            check_publishable(image.source, datastore, identity_of(explainer))
        finds = tuple(wanted.find for wanted in explainer.inputs.values())
        search = Search(datastore, image, self.cache, finds, options.course.operation)
        inputs = find_inputs(search, explainer.inputs)
        sheet = filled_sheet(search, explainer.sheet)
        clock.lap("read")
        volumes = {name: found.volume for name, found in inputs.items()}
        to_image = inputs[explainer.map_input].to_image
        onto = None if to_image is None else (image.volume, to_image)
        with threads_for(explainer.long_work):
            explained = explainer.explain(
                volumes, name="image", onto=onto, clinical=options.clinical, explanation=options.explanation
            )
        clock.add(explained.seconds)
        tell("bringing the map back", 0)
        if onto is None and not same_grid(volumes[explainer.map_input], image.volume):
            what = f"its maps lie on the grid of '{explainer.map_input}', which is not that of the image"
            raise DataProblem(Problem("model", what, "name the input that is found by 'this series' in map_image"))
        labels, scaled = self._label_map(explainer, explained, options)
        clock.lap("map_back")
        told = case_model_told(explainer, self.model)
        answer = case_answer(explainer, told, image_id, inputs, options, explained, labels)
        answer |= sheet
        answer["warnings"] += preparation_warnings(search.finds, explainer.model.get("preparation"))
        if explainer.rule is not None:
            rule = rule_beside(datastore, image, explainer.rule, options.course, answer["class"])
            answer |= {"rule": rule, "warnings": [*answer["warnings"], *filter(None, [rule.get("disagreement")])]}
        clock.lap("answer")
        if options.store:
            tell("storing the results", 0)
            answer["stored"] = publish_case(
                image, datastore, answer, explainer.classes, scaled, labels, identity_of(explainer)
            )
            clock.lap("store")
        path = temporary_label_map(labels, image.volume.affine, options.result_extension, options.result_compress)
        clock.lap("write")
        answer["latencies"] = clock.seconds()
        return str(path), answer

    def _options(self, request: Mapping[str, Any], explainer: CaseExplainer) -> CaseOptions:
        given = {key: value for key, value in request.items() if key not in NO_OPTIONS}
        return case_options.parse(given, explainer)

    def _label_map(
        self, explainer: CaseExplainer, explained: ExplainedCase, options: CaseOptions
    ) -> tuple[np.ndarray, np.ndarray]:
        """The bands of the shown map, uint8, and the map as shares of the stored scale; ``(I, J, K)`` both."""
        shown, classes = shown_class(explained, options), explainer.classes
        scaled = explained.volume(options.explanation, shown, "scaled").clip(0, 1)
        return to_labels(to_bands(scaled, options.bands), options.bands, shown, classes), scaled
