"""The task behind ``POST /train/pulsar_response``: the bundle's training on the datastore's labels and responses."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.train import TrainTask
from treatment_response.commands import tell_problems_plainly
from treatment_response.configs import read_configs
from treatment_response.files import write_whole
from treatment_response.inference.model import describe_model
from treatment_response.notice import notice
from treatment_response.problems import DataProblem, Problem
from treatment_response.training.experiment import TRAIN, run_evaluation, run_training
from treatment_response.weights import read_weights

from pulsar_app.jobs.exclusive import alone, is_idle, say
from pulsar_app.learning.publish_model import PROVENANCE, publish_model
from pulsar_app.learning.responses import TO_FILL_IN, known_responses, read_table, write_to_fill_in
from pulsar_app.learning.selection import select, selection_lines, write_selection
from pulsar_app.learning.training_data import Gathered, all_lesions, gather, write_dataset
from pulsar_app.server.problems import Busy

HELD_OUT = "heldout_mri1"
# What MONAI Label and its clients add to every request.
_NOT_OURS = {"model", "client_id", "device", "gpus", "multi_gpu", "local_rank", "bundle_path", "description", "user"}
_LIMITS = {"max_epochs": (1, 5000), "seed": (0, 2**31 - 1), "folds": (2, 50), "fold": (0, 49)}
_NAME = re.compile(r"[\w .()-]{1,64}")


@dataclass(frozen=True)
class TrainOptions:
    """What a client may choose; everything else is the bundle's ``train.json`` and what goes on top of it.

    Attributes:
        max_epochs: 1 to 5000; that of the configs by default.
        seed: of the folds and of the training.
        folds: into how many parts the patients are split, 2 to 50.
        fold: which of them is held out and scored.
        name: of the data, told in every answer of the model: letters, digits, blanks, at most 64.
        synthetic: whether images that cannot say it themselves (NIfTI) are synthetic.
        publish: serve the new weights; the old ones are kept beside them.
    """

    max_epochs: int
    seed: int = 0
    folds: int = 5
    fold: int = 0
    name: str = "own data"
    synthetic: bool = False
    publish: bool = False


def default_options(overlays: Sequence[str] = ()) -> TrainOptions:
    """The options of a request that names none; `overlays` are the bundle's configs on top of ``train.json``."""
    config = read_configs((*TRAIN, *overlays))
    return TrainOptions(max_epochs=int(config["max_epochs"]), seed=int(config["seed"]), fold=int(config["fold"]))


def parse_options(request: Mapping[str, Any], overlays: Sequence[str] = ()) -> TrainOptions:
    """The options of a request; those that it does not name are `default_options`.

    Raises:
        DataProblem: unknown names, wrong types, numbers out of range; all of them at once.
    """
    defaults = asdict(default_options(overlays))
    problems: list[Problem] = []
    values = dict(defaults)
    for key, given in request.items():
        if key in _NOT_OURS:
            continue
        if key not in defaults:
            what = "training has no such parameter"
            problems.append(Problem(f"'{key}'", what, f"choose from {', '.join(defaults)}"))
            continue
        value = _as(type(defaults[key]), given)
        if value is None:
            wanted = {int: "a whole number", bool: "true or false", str: "text"}[type(defaults[key])]
            problems.append(Problem(f"'{key}'", "the value is of another type", f"give {wanted}"))
            continue
        values[key] = value
        low, high = _LIMITS.get(key, (0, 0))
        if key in _LIMITS and not low <= value <= high:
            problems.append(Problem(f"'{key}'", f"{value} is out of range", f"give {low} to {high}"))
        if key == "name" and not _NAME.fullmatch(value):
            problems.append(Problem("'name'", "it is empty, too long or has unusual characters", "give a plain name"))
    if not problems and values["fold"] >= values["folds"]:
        what = f"fold {values['fold']} is not one of {values['folds']} folds"
        problems.append(Problem("'fold'", what, f"give 0 to {values['folds'] - 1}"))
    if problems:
        raise DataProblem(*problems)
    return TrainOptions(**values)


class Training(TrainTask):
    """Train on the datastore's labels and responses; a run's folder is ``model/runs/<time>`` in the app's folder.

    One training runs at a time. What is half done lies in ``model/runs/.work`` and is removed by the end, or, where the
    process was killed, as soon as the server starts or is asked how it went. ``model/runs/last.json`` says that.

    Args:
        app_dir: the app's folder.
        model_path: the weights that are served, replaced only if ``publish`` is asked for; the config's by default.
        responses: the table of responses (`read_table`); ``model/responses.csv`` by default, if it is there.
        serving: the configs that serve; the bundle's ``inference.json`` by default.
        overlays: the bundle's configs on top of ``train.json`` that train the network of `serving`.
    """

    def __init__(
        self,
        app_dir: Path,
        model_path: Path | None = None,
        responses: Path | None = None,
        serving: Sequence[Path] = (),
        overlays: Sequence[str] = (),
    ) -> None:
        super().__init__("Train the response model on the saved labels and each lesion's response (research only)")
        self.folder = Path(app_dir) / "model"
        self.runs = self.folder / "runs"
        self._work = self.runs / ".work"
        self.model_path = model_path
        self.responses = responses
        self.serving = serving
        self.overlays = overlays
        self._tidy()

    def config(self) -> dict[str, Any]:
        """The options with their defaults, as clients show them."""
        return asdict(default_options(self.overlays))

    def stats(self) -> dict[str, Any]:
        """How the last training ended, or how far the present one is.

        ``epoch``, ``total_epochs``, ``total_time`` and ``best_metric`` are what 3D Slicer's plugin looks at; the latter
        it shows as "Accuracy", so it is the accuracy on the held-out lesions of the last epoch (no epoch is chosen).
        """
        last = self._tidy()
        if last.get("status") == "running":
            history = self._work / "run" / "history.csv"
            if history.is_file():
                last["epoch"] = len(history.read_text(encoding="utf-8").splitlines()) - 1
        return last

    def check(self, request: Mapping[str, Any]) -> TrainOptions:
        """What can be checked at once: the options, the table of responses, and that no other training runs.

        Raises:
            DataProblem: see `parse_options` and `read_table`.
            Busy: another training runs.
        """
        options = parse_options(request, self.overlays)
        table = self._table()
        if table:
            read_table(table)
        if not is_idle(self.runs, wait=True):
            what = "another training is running"
            raise Busy(Problem("training", what, "wait for its end, or stop it (DELETE /train/)"))
        return options

    def __call__(self, request: Mapping[str, Any], datastore: Datastore) -> dict[str, Any]:
        """Train.

        Returns:
            ``notice``, ``run`` (the folder's name), ``lesions``, ``patients``, ``responses``, ``excluded_lesions``,
            ``unused_images``, ``left_out`` (reason → images), ``trained_on`` (patients, lesions, responses),
            ``held_out`` (n, patients, responses, AUC, accuracy), ``published``. Which images these are stands in the
            log and in the run's ``provenance.json``, see `pulsar_app.learning.selection`.

        Raises:
            DataProblem: the options, the responses or the images are not fit for it; nothing is left behind.
            Busy: another training runs.
        """
        if "local_rank" in request:  # a process of its own: its last lines are what people see, its cores are free
            tell_problems_plainly()
            torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", len(os.sched_getaffinity(0)))))
        options = parse_options(request, self.overlays)
        with self._alone() as work, _process_settings_kept():
            try:
                self._note({"status": "running", "epoch": 0, "total_epochs": options.max_epochs})
                result = self._train(options, datastore, work)
            except DataProblem as problem:
                self._note({"status": "refused", "problem": str(problem)})
                raise
            except BaseException as error:
                self._note({"status": "failed", "problem": f"an unexpected fault ({type(error).__name__})"})
                raise
            self._note(
                {
                    "status": "done",
                    "epoch": options.max_epochs,
                    "total_epochs": options.max_epochs,
                    "best_metric": result["held_out"]["accuracy"] or 0,
                    **result,
                }
            )
        say(f"done: {json.dumps(result)}")
        return result

    def _train(self, options: TrainOptions, datastore: Datastore, work: Path) -> dict[str, Any]:
        started = datetime.now()
        gathered = self._gather(work / "dataset", datastore, options)
        lesions = write_dataset(work / "dataset", gathered, options.name, options.folds, options.seed)
        selection = select(lesions, gathered, options.fold)
        overlay = work / "progress.json"
        overlay.write_text(json.dumps({"extra_handlers": [{"_target_": f"{__name__}.{EpochLines.__name__}"}]}))
        same: dict[str, Any] = {"dataset_dir": str(work / "dataset"), "output_dir": str(work / "run")}
        same |= {"seed": options.seed, "fold": options.fold}
        for line in selection_lines(selection):
            say(line)
        say(f"training for {options.max_epochs} epochs")
        run_training((*TRAIN, *self.overlays, overlay), **same, max_epochs=options.max_epochs)
        say("scoring the held-out patients")
        run_evaluation((*TRAIN, *self.overlays, "evaluate.json"), **same)
        shutil.copy2(work / "dataset" / "lesions.csv", work / "run" / "lesions.csv")
        write_selection(work / "run" / PROVENANCE, selection)
        run = self._kept(work / "run", started)
        model = describe_model(read_weights(run / "models" / "model.pt"))
        if options.publish:
            publish_model(run, self.model_path, self.serving)
        return {
            "notice": notice(model),
            "run": run.name,
            "total_time": str(datetime.now() - started).split(".")[0],
            "lesions": len(gathered.records),
            "patients": len({record.subject for record in gathered.records}),
            "responses": sum(record.given_label or 0 for record in gathered.records),
            "excluded_lesions": gathered.excluded,
            "unused_images": gathered.unused_images,
            "left_out": {reason: len(images) for reason, images in selection["left_out"].items()},
            "trained_on": {name: selection["trained_on"][name] for name in ("patients", "lesions", "responses")},
            "held_out": {**_held_out(run), "responses": selection["held_out"]["responses"]},
            "published": options.publish,
        }

    def _gather(self, dataset: Path, datastore: Datastore, options: TrainOptions) -> Gathered:
        known = known_responses(datastore, self._table())
        if not known:
            raise DataProblem(self._missing(all_lesions(datastore, say)))
        gathered = gather(dataset, datastore, known, say, options.synthetic)
        problems = list(gathered.problems)
        if gathered.missing:
            problems.append(self._missing(gathered.missing))
        if problems:
            raise DataProblem(*problems)
        return gathered

    def _table(self) -> Path | None:
        default = self.folder / "responses.csv"
        return self.responses or (default if default.is_file() else None)

    def _missing(self, lesions: list[tuple[str, str, float]]) -> Problem:
        """What to say about lesions whose response nobody gave, after writing a table of them to fill in."""
        if not lesions:
            return Problem("training", "there is no image with a target", "save labels of the GTVs first")
        write_to_fill_in(self.folder / TO_FILL_IN, lesions)
        shown = "; ".join(f"{roi} of image {image}" for image, roi, _ in lesions[:10])
        more = f" and {len(lesions) - 10} more" if len(lesions) > 10 else ""
        what = f"the response of {len(lesions)} lesion(s) is missing: {shown}{more}"
        return Problem("responses", what, f"fill in model/{TO_FILL_IN}, which lists them, {_WAYS}")

    def _kept(self, run: Path, started: datetime) -> Path:
        """The finished run under its own name."""
        name = started.strftime("%Y-%m-%dT%H-%M-%S")
        return run.rename(self.runs / name)

    def _note(self, content: dict[str, Any]) -> None:
        write_whole(self.runs / "last.json", json.dumps(content, indent=1) + "\n")

    @contextlib.contextmanager
    def _alone(self) -> Iterator[Path]:
        """A folder for what is half done, held by one training, without what a killed one left behind."""
        with alone(self.runs, "training", "DELETE /train/"):
            shutil.rmtree(self._work, ignore_errors=True)
            (self._work / "dataset").mkdir(parents=True)
            try:
                yield self._work
            finally:
                shutil.rmtree(self._work, ignore_errors=True)

    def _tidy(self) -> dict[str, Any]:
        """How the last training ended; of one that was killed, copies of images are removed before that is said."""
        try:
            last: dict[str, Any] = json.loads((self.runs / "last.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        if last["status"] == "running" and is_idle(self.runs):
            with contextlib.suppress(Busy), alone(self.runs, "training", "DELETE /train/"):
                shutil.rmtree(self._work, ignore_errors=True)
                last = {"status": "stopped", "total_epochs": last["total_epochs"]}
                self._note(last)
        return last


_WAYS = (
    "and save it as model/responses.csv or as the table of --conf responses; or give them with the saved label as "
    '{"responses": {"GTV_1": "response"}}'
)


class EpochLines:
    """One line per epoch on standard output, which MONAI Label shows as the training's details."""

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        told = {"loss": "loss", "accuracy": "accuracy", "heldout_loss": "held-out loss"}
        metrics = engine.state.metrics
        text = ", ".join(f"{words} {metrics[name]:.3f}" for name, words in told.items() if name in metrics)
        say(f"epoch {engine.state.epoch} of {engine.state.max_epochs}: {text}")


def _held_out(run: Path) -> dict[str, Any]:
    scores = json.loads((run / "metrics.json").read_text(encoding="utf-8"))[HELD_OUT]
    response = scores["positive_response"]
    return {
        "n": scores["n"],
        "patients": scores["patients"],
        **{name: None if response[name] is None else round(response[name], 4) for name in ("auc", "accuracy")},
        "what": "lesions of the patients that were held out, MRI before treatment",
    }


def _as(kind: type, given: Any) -> Any:
    """A value of that type from what JSON or a client's table of texts holds; None if it is none."""
    if kind is bool:
        return given if isinstance(given, bool) else {"true": True, "false": False}.get(str(given).strip().lower())
    if kind is int and not isinstance(given, bool):
        return int(given) if re.fullmatch(r"-?\d{1,10}", str(given).strip()) else None
    return given.strip() if kind is str and isinstance(given, str) else None


@contextlib.contextmanager
def _process_settings_kept() -> Iterator[None]:
    """A bundle's run sets the process's logging and hook for errors; a server that trains in itself keeps its own."""
    root, hook = logging.getLogger(), sys.excepthook
    handlers, level = list(root.handlers), root.level
    # It warns that the progress overlay lies elsewhere than the bundle's configs, with the server's paths.
    workflows = logging.getLogger("monai.bundle.workflows")
    workflows.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        sys.excepthook = hook
