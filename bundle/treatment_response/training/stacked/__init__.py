"""Several trainings of one config at once with stacked parameters: quick on a GPU, slower than alone on a CPU."""

from treatment_response.training.stacked.step import CannotBeStacked
from treatment_response.training.stacked.train import train_stacked

__all__ = ["CannotBeStacked", "train_stacked"]
