"""Ignite handlers of a training run, one per file; each has `attach(engine)` as MONAI's own have."""

from treatment_response.training.handlers.best_epoch import KeepBestEpoch
from treatment_response.training.handlers.checkpoint import RunCheckpoint
from treatment_response.training.handlers.fact_scale import FitFactScale
from treatment_response.training.handlers.history import History
from treatment_response.training.handlers.load_trained import LoadTrained
from treatment_response.training.handlers.phase import SwitchPhase
from treatment_response.training.handlers.pictures import Pictures
from treatment_response.training.handlers.predictions import WritePredictions
from treatment_response.training.handlers.progress import ProgressLine
from treatment_response.training.handlers.provenance import Provenance
from treatment_response.training.handlers.restore_and_divide import RestoreAndDivide
from treatment_response.training.handlers.save_model import SaveModel
from treatment_response.training.handlers.seed import SeedEveryEpoch
from treatment_response.training.handlers.start_from import StartFrom
from treatment_response.training.handlers.watch import WatchHeldOut

__all__ = [
    "FitFactScale",
    "History",
    "KeepBestEpoch",
    "LoadTrained",
    "Pictures",
    "ProgressLine",
    "Provenance",
    "RestoreAndDivide",
    "RunCheckpoint",
    "SaveModel",
    "SeedEveryEpoch",
    "StartFrom",
    "SwitchPhase",
    "WatchHeldOut",
    "WritePredictions",
]
