"""Networks: one tensor (B, C, …) in, logits (B, 1) or (B, K) out."""

from treatment_response.networks.cell_vote_classifier import CellVoteClassifier
from treatment_response.networks.masked_autoencoder_classifier import MaskedAutoencoderClassifier
from treatment_response.networks.upsampled_conv import UpsampledConv2d

__all__ = ["CellVoteClassifier", "MaskedAutoencoderClassifier", "UpsampledConv2d"]
