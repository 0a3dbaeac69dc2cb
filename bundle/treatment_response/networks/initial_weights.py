"""How a network's weights are drawn."""

from __future__ import annotations

from torch import nn

_DRAWN = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def xavier_normal(network: nn.Module, bias: float = 1.0) -> nn.Module:
    """Draw the weights of all convolutions and dense layers anew: Xavier normal; batch norm starts as the identity.

    Args:
        network: is changed.
        bias: what biases of convolutions and dense layers are set to.

    Returns:
        The same network.

    References:
        Glorot and Bengio, Understanding the difficulty of training deep feedforward neural networks, 2010.
    """
    for module in network.modules():
        if isinstance(module, _DRAWN):
            nn.init.xavier_normal_(module.weight)
            if module.bias is not None:
                nn.init.constant_(module.bias, bias)
        elif isinstance(module, _NORMS) and module.affine:
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
    return network
