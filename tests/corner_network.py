"""A network whose decision, and so its map, is known beforehand."""

from __future__ import annotations

import torch
from treatment_response.networks.masked_autoencoder_classifier import MaskedAutoencoderClassifier

CORNER = (slice(3, 6), slice(10, 13))
"""Cells 3 to 5 towards R and 10 to 12 towards A: 2 mm each, around a middle at cell 7.5."""


def corner_network(weight: float = 1.0, bias: float = -1.0) -> MaskedAutoencoderClassifier:
    """Its first feature map is the image; its logit weights the sum over the corner's cells and adds the bias."""
    network = MaskedAutoencoderClassifier()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        network.encoder_1.weight[0, 0, 1, 1] = 1
        network.encoder_2.weight[0, 0, 1, 1] = 1
        corner = torch.zeros(5, 16, 16)
        corner[(0, *CORNER)] = 1
        network.dense.weight[0] = corner.flatten()
        network.norm.weight.fill_(1)
        network.output.weight[0, 0] = weight
        network.output.bias.fill_(bias)
    return network
