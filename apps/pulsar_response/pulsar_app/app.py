"""The MONAI Label app."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import monailabel.app
import numpy as np
import SimpleITK as sitk
import torch
from monailabel.config import settings as monai_label
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.datastore import Datastore, DefaultLabelTag
from monailabel.interfaces.tasks.infer_v2 import InferTask
from monailabel.interfaces.tasks.strategy import Strategy
from monailabel.interfaces.tasks.train import TrainTask
from treatment_response.inference.case_explainer import CaseExplainer
from treatment_response.problems import DataProblem

from pulsar_app.conf import NETWORKS, read_settings
from pulsar_app.jobs.case_jobs import CaseJobs
from pulsar_app.learning.batch import BatchInference
from pulsar_app.learning.random_sample import RandomSample
from pulsar_app.learning.strategy import Uncertainty
from pulsar_app.learning.training import Training
from pulsar_app.prediction.answer import model_told
from pulsar_app.prediction.answers import LastAnswers
from pulsar_app.prediction.case_task import CaseTask
from pulsar_app.prediction.criteria_task import NAME as RESPONSE_CRITERIA
from pulsar_app.prediction.criteria_task import CriteriaTask
from pulsar_app.prediction.infers import ClickTask, ResponseTask, click_name
from pulsar_app.prediction.predictor import Predictor, ServedModel, warm_up
from pulsar_app.prediction.threads import SHORT_WORK
from pulsar_app.served_systems import ServedSystem, read_systems
from pulsar_app.server.guard import secure
from pulsar_app.server.kept_sessions import KeptSessions
from pulsar_app.server.private_files import (
    remove_partial_files,
    take_from_others,
    use_own_temporary_folder,
    write_for_owner_only,
)
from pulsar_app.server.problems import not_found
from pulsar_app.server.settings import server_settings
from pulsar_app.server.workers import decoders
from pulsar_app.studies.datastore import open_datastore
from pulsar_app.studies.missing_inputs import MissingInputs
from pulsar_app.studies.pacs_datastore import PacsDatastore
from pulsar_app.studies.sent_image import NAME as SENT_NAME
from pulsar_app.studies.sent_image import sent_image

NAME = "Treatment response (research only)"
_REGISTRATIONS = "registrations"


class PulsarResponse(MONAILabelApp):
    """Response of brain metastases from the MRI before treatment, with class activation maps.

    Args:
        app_dir: where the server may write.
        studies: URL of a DICOMweb archive, or a folder of NIfTI.
        conf: see :mod:`pulsar_app.conf`.

    Raises:
        DataProblem: a setting is unknown, the model's weights are missing or do not fit, or the datastore cannot be
            opened.
    """

    def __init__(self, app_dir: str, studies: str, conf: dict[str, str] | None) -> None:
        write_for_owner_only()
        use_own_temporary_folder()
        try:
            self.settings = read_settings(conf)
            given = self.settings
            self.predictors = {
                network.model: Predictor(given.serving(name), given.weights(name)) for name, network in NETWORKS.items()
            }
            self.learning_model = NETWORKS[given.network].model
            self.systems = {one.model: _served(one) for one in self._named_systems()}
            self.answers = LastAnswers()
            self.missing_inputs = MissingInputs(Path(app_dir) / _REGISTRATIONS)
            self.jobs = CaseJobs(Path(app_dir) / "model" / "jobs", self.infer, server_settings().job_limit)
            super().__init__(app_dir, studies, conf or {}, NAME, self._learner().current().notice, "1.0")
            secure(monailabel.app.app, lambda image: self.datastore().study_of(image))
        except DataProblem as problem:
            _tell_uvicorn_plainly(problem)
            raise

    def on_init_complete(self) -> None:
        """The server is about to serve: nothing of what is slow the first time is left to a clinician's request."""
        self._tidy_up()
        self.jobs.recover()
        super().on_init_complete()
        decoders().start()
        torch.set_num_threads(SHORT_WORK)
        sitk.GetArrayFromImage(sitk.GetImageFromArray(np.zeros((4, 4, 4), np.uint8)))
        for predictor in self.predictors.values():
            warm_up(predictor.current())

    def _named_systems(self) -> tuple[ServedSystem, ...]:
        own = [network.model for network in NETWORKS.values()]
        taken = {*own, *map(click_name, own), RESPONSE_CRITERIA}
        return read_systems(self.settings.systems, taken) if self.settings.systems else ()

    def _learner(self) -> Predictor:
        """The model that is trained here, and by which the next sample is chosen."""
        return self.predictors[self.learning_model]

    def _tidy_up(self) -> None:
        """Remove what killed servers left, and close to other users what MONAI Label has made already."""
        app, sessions, images = Path(self.app_dir), self.sessions(), self.datastore()
        for folder in (app / "model", images.folder):
            remove_partial_files(folder)
        own = [app / name for name in ("bin", "lib", "logs", "model")]
        own += [Path(sessions.store_path)] if sessions else []
        own += [images.folder] if images.keeps_copies else []
        take_from_others(folder for folder in own if folder.is_dir())

    def init_datastore(self) -> Datastore:
        return open_datastore(self.studies)

    def _load_sessions(self, load: bool = False) -> KeptSessions | None:
        if not load:
            return None
        ours = server_settings()
        folder, expiry = monai_label.MONAI_LABEL_SESSION_PATH, monai_label.MONAI_LABEL_SESSION_EXPIRY
        return KeptSessions(folder, expiry, ours.session_limit, ours.session_limit_mb * 2**20)

    def init_infers(self) -> dict[str, InferTask]:
        tasks: dict[str, InferTask] = {}
        for network in NETWORKS.values():
            model, told = network.model, (network.model, self.predictors[network.model])
            tasks |= {model: ResponseTask(*told), click_name(model): ClickTask(*told)}
        cache = Path(self.app_dir) / _REGISTRATIONS
        tasks |= {model: CaseTask(model, served, cache) for model, served in self.systems.items()}
        return tasks | {RESPONSE_CRITERIA: CriteriaTask()}

    def init_trainers(self) -> dict[str, TrainTask]:
        given, path = self.settings, self._learner().model_path
        serving, overlays = given.serving(given.network), NETWORKS[given.network].training
        return {self.learning_model: Training(Path(self.app_dir), path, given.responses, serving, overlays)}

    def init_strategies(self) -> dict[str, Strategy]:
        def model() -> str:
            return str(self._learner().current().model["sha256"])

        # OHIF's panel begins with random.
        return {"uncertainty": Uncertainty(Path(self.app_dir), model, self.score), "random": RandomSample()}

    def init_batch_infer(self) -> BatchInference:
        def described(predictor: Predictor) -> Callable[[], dict[str, Any]]:
            return lambda: predictor.current().model

        return BatchInference(Path(self.app_dir), {name: described(one) for name, one in self.predictors.items()})

    def info(self) -> dict[str, Any]:
        """What clients are told when they connect."""
        explainer = self._learner().current()
        return {**super().info(), "notice": explainer.notice, "model": model_told(explainer, self.learning_model)}

    def info_of(self, study_uid: str) -> dict[str, Any]:
        """What clients are told when they connect for one study of a PACS.

        Models whose inputs it lacks are left out of ``models``; ``not_offered`` says of each why, in one sentence.
        """
        told, datastore = self.info(), self.datastore()
        lacking: dict[str, str] = {}
        if isinstance(datastore, PacsDatastore):
            inputs = {name: self._infers[name].inputs for name in self.systems}
            lacking = self.missing_inputs.of_study(datastore, study_uid, inputs)
        not_offered = {name: why for name, why in lacking.items() if why}
        models = {name: model for name, model in told["models"].items() if name not in not_offered}
        return {**told, "models": models, "not_offered": not_offered}

    def score(self, datastore: Datastore, image_id: str) -> list[float]:
        """P(response) of every lesion of an image that would be predicted; empty where there is no target."""
        return self._infers[self.learning_model].probabilities(datastore, image_id)

    def infer(self, request: dict[str, Any], datastore: Datastore | None = None) -> dict[str, Any]:
        """Run a model on an MR of the datastore.

        Args:
            request: ``model``, ``image`` (an id, or the path of an upload), ``label`` (path of a label that was sent),
                ``save_label`` and ``label_tag`` (batch inference), and the options.
            datastore: the app's by default.

        Returns:
            ``file`` (the label map, a temporary file that the caller removes), ``label`` (its id if it was saved, else
            the same file), ``tag``, ``params`` (the JSON answer).

        Raises:
            NotFound: there is no such model or MR.
            DataProblem: an option is wrong, or the MR cannot be used.
        """
        name = str(request.get("model"))
        if name not in self._infers:
            raise not_found("model", "there is no such model", f"ask for {' or '.join(self._infers)}")
        sent = sent_image(self, str(request["image"]))
        if sent is not None:
            file, answer = self._infers[name]({**copy.deepcopy(request), "image": SENT_NAME, "datastore": sent})
            return _result(file, file, answer)
        datastore = datastore or self.datastore()
        file, answer = self._infers[name]({**copy.deepcopy(request), "datastore": datastore})
        self.answers.put(request["image"], answer)
        if not request.get("save_label"):
            return _result(file, file, answer)
        tag = request.get("label_tag", DefaultLabelTag.ORIGINAL)
        try:
            label = datastore.save_label(request["image"], file, tag, {"model": name, "params": answer})
        except BaseException:
            Path(file).unlink()
            raise
        return _result(label, file, answer)


def _served(system: ServedSystem) -> ServedModel[CaseExplainer]:
    return ServedModel(lambda: CaseExplainer(system.configs, system.weights))


def _result(label: str, file: str, answer: dict[str, Any]) -> dict[str, Any]:
    return {"label": label, "tag": DefaultLabelTag.ORIGINAL, "file": file, "params": answer}


def _tell_uvicorn_plainly(problem: DataProblem) -> None:
    """The server that fails to start prints the problem, and not how it came about."""

    def plain(record: logging.LogRecord) -> bool:
        if "Traceback" in record.getMessage():
            record.msg, record.args = str(problem), ()
        return True

    logging.getLogger("uvicorn.error").addFilter(plain)
