"""Networks: one tensor (B, C, …) in, logits (B, 1) or (B, K) out."""

from treatment_response.networks.alexnet_3d import AlexNet3D
from treatment_response.networks.cell_vote_classifier import CellVoteClassifier
from treatment_response.networks.checkpointed import checkpointed
from treatment_response.networks.initial_weights import xavier_normal
from treatment_response.networks.late_fusion import LateFusion
from treatment_response.networks.masked_autoencoder_classifier import MaskedAutoencoderClassifier
from treatment_response.networks.upsampled_conv import UpsampledConv2d
from treatment_response.networks.vision_transformer import VisionTransformer

__all__ = [
    "AlexNet3D",
    "CellVoteClassifier",
    "LateFusion",
    "MaskedAutoencoderClassifier",
    "UpsampledConv2d",
    "VisionTransformer",
    "checkpointed",
    "xavier_normal",
]
