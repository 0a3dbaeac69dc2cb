"""The task that measures response by the published criteria: no network, no weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType
from treatment_response.criteria.label_map import label_values, response_labels
from treatment_response.dicom.response_studies import statements
from treatment_response.dicom.results.response_report import MeasuringSoftware, response_report
from treatment_response.problems import DataProblem, Problem
from treatment_response.progress import tell

from pulsar_app.prediction import criteria_options
from pulsar_app.prediction.archive import StoredSeries, archived, store_series
from pulsar_app.prediction.clock import Clock
from pulsar_app.prediction.criteria_answer import criteria_answer, software_told
from pulsar_app.prediction.criteria_options import CriteriaOptions
from pulsar_app.prediction.label_map_file import temporary_label_map
from pulsar_app.prediction.options import NO_OPTIONS
from pulsar_app.studies.measured import MeasuredImage, measure_image
from pulsar_app.studies.safe_datastore import OpenedImage

NAME = "response_criteria"


class CriteriaTask(InferTask):
    """Measures the outlined lesions of an image and of its patient's other studies.

    It answers a label map of the lesions with their diameters drawn, and a JSON with the categories.
    """

    long_work = False
    """A request to it is a job only where it asks for one."""

    def __init__(self) -> None:
        description = (
            "Response by RANO 2.0, its volumes and RANO-BM from the outlines of this study and of earlier ones. "
            "No network. Research only."
        )
        super().__init__(InferType.SEGMENTATION, label_values(), 3, description, criteria_options.choices())

    def is_valid(self) -> bool:
        return True

    @property
    def weights(self) -> str:
        """It has none: what tells its answers from those of another version."""
        return MeasuringSoftware().version

    def info(self) -> dict[str, Any]:
        return {
            **super().info(),
            "options": criteria_options.MEANINGS,
            "notice": MeasuringSoftware().notice,
            "model": software_told(NAME),
            "inputs": {"outlines": "each outline", "earlier outlines": "outlines of the patient's other studies"},
            "long_work": self.long_work,
        }

    def check(self, request: Mapping[str, Any]) -> CriteriaOptions:
        """The options of a request.

        Raises:
            DataProblem: one is unknown, or its value is none.
        """
        return criteria_options.parse({key: value for key, value in request.items() if key not in NO_OPTIONS})

    def __call__(self, request: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Answer a request.

        Args:
            request: ``image`` (the id in the datastore), ``datastore`` and the parameters of
                :mod:`pulsar_app.prediction.criteria_options`.

        Returns:
            Path of the label map, a temporary file that the caller removes; the JSON.

        Raises:
            NotFound: there is no such image.
            DataProblem: an option is wrong, there are no two outlined studies, or results cannot be stored.
        """
        clock = Clock()
        datastore, image_id = request["datastore"], str(request["image"])
        if request.get("label"):
            remedy = "store the outlines in the PACS, then send the request without a label"
            raise DataProblem(Problem("label", f"{NAME} takes no outlines that are sent along", remedy))
        options = self.check(request)
        image = datastore.open_image(image_id)
        clock.lap("read")
        measured = measure_image(datastore, image, options.criteria, options.course)
        clock.lap("measure")
        labels = response_labels(measured.study, image.volume)
        answer = criteria_answer(NAME, image_id, measured, labels)
        clock.lap("answer")
        if options.store:
            tell("storing the results", 0)
            answer["stored"] = _store(image, datastore, measured)
            clock.lap("store")
        path = temporary_label_map(labels, image.volume.affine, options.result_extension, options.result_compress)
        clock.lap("write")
        answer["latencies"] = clock.seconds()
        return str(path), answer


def _store(image: OpenedImage, datastore: Datastore, measured: MeasuredImage) -> list[dict[str, str]]:
    """Put the structured report into the archive.

    Raises:
        DataProblem: it cannot be made, or the archive refused it.
    """
    source = archived(image.source, datastore)
    sentences = [*statements(measured.response, measured.number), *measured.warnings]

    def series(number: int) -> list[StoredSeries]:
        patient = str(source.headers[0].get("PatientID") or "")
        report = response_report(source, measured.study, sentences, patient, set_number=number)
        return [StoredSeries("report", [report])]

    return store_series(datastore, image.image_id, series)
