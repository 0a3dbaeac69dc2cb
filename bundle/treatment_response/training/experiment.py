"""Whole runs from Python: what `python -m monai.bundle run` does, several times in one process on shared samples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from monai.bundle import ConfigWorkflow

from treatment_response.cases.samples import Samples
from treatment_response.cohort.check import check_or_raise
from treatment_response.paths import bundle_root
from treatment_response.problems import DataProblem, data_problem_in

TRAIN = ("train.json",)
EVALUATE = ("train.json", "evaluate.json")


def run_training(config_files: Sequence[str | Path] = TRAIN, **overrides: Any) -> Path:
    """Train as the configs say.

    Args:
        config_files: `train.json` and overlays; a bare name means this bundle's ``configs/``.
        overrides: config ids and values, as on MONAI's command line (``"train#trainer#max_epochs": 3`` too, by
            ``**{...}``); ``output_dir`` is needed. ``samples`` may be a `Samples` in memory; then no data set is read.

    Returns:
        The run's folder.

    Raises:
        DataProblem: the data set, or a setting, is not fit for it.
    """
    return _run(config_files, "run", overrides)


def run_evaluation(config_files: Sequence[str | Path] = EVALUATE, **overrides: Any) -> Path:
    """Score a run's model as the configs say; arguments as `run_training`.

    Returns:
        The run's folder, which then holds ``predictions.csv`` and ``metrics.json``.
    """
    return _run(config_files, "run", overrides)


def read_samples(
    config_files: Sequence[str | Path] = TRAIN,
    sessions: Sequence[str] | None = ("ses-01", "ses-02"),
    **overrides: Any,
) -> Samples:
    """Preprocess a data set as the configs say, for several runs on the same samples.

    Args:
        config_files: as `run_training`.
        sessions: which to read; None: what the config's protocol trains on.
        overrides: ``dataset_dir`` is needed.

    Returns:
        All cases, those without a label too: `training_samples` leaves these out.

    Raises:
        DataProblem: the data set is not fit for training; every fault at once.
    """
    check_or_raise(overrides["dataset_dir"])
    workflow = _workflow(
        config_files, "run", {**overrides, "sessions": None if sessions is None else list(sessions), "unlabelled": True}
    )
    workflow.initialize()
    try:
        samples: Samples = workflow.parser.get_parsed_content("samples")
    except Exception as error:
        raise data_problem_in(error) or error from None
    return samples


def _run(config_files: Sequence[str | Path], run_id: str, overrides: dict[str, Any]) -> Path:
    output_dir = Path(overrides["output_dir"]).resolve()
    overrides = {**overrides, "output_dir": str(output_dir)}
    if isinstance(overrides.get("samples"), Samples):
        overrides["check"] = None
    workflow = _workflow(config_files, run_id, overrides)
    try:
        workflow.initialize()
        workflow.run()
        workflow.finalize()
    except Exception as error:
        problem = data_problem_in(error)
        if problem is None:
            raise
        raise DataProblem(*problem.problems) from error
    return output_dir


def _workflow(config_files: Sequence[str | Path], run_id: str, overrides: dict[str, Any]) -> ConfigWorkflow:
    configs = Path(bundle_root()) / "configs"
    files = [str(configs / file if Path(file).name == str(file) else file) for file in config_files]
    return ConfigWorkflow(
        config_file=files,
        meta_file=str(configs / "metadata.json"),
        logging_file=str(configs / "logging.conf"),
        run_id=run_id,
        workflow_type="train",
        **overrides,
    )
