"""Losses: the masked autoencoder's reconstruction, classification, and both together or in turn."""

from treatment_response.losses.classification import ClassificationLoss
from treatment_response.losses.joint import JointLoss
from treatment_response.losses.rebuild import RebuildLoss
from treatment_response.losses.reconstruction import MaskedReconstructionLoss
from treatment_response.losses.sequential import SequentialLoss
from treatment_response.losses.ssim import SSIMLoss, ssim

__all__ = [
    "ClassificationLoss",
    "JointLoss",
    "MaskedReconstructionLoss",
    "RebuildLoss",
    "SSIMLoss",
    "SequentialLoss",
    "ssim",
]
