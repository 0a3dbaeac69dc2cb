"""The paper's network: an autoencoder whose bottleneck is masked by the GTV, and a classifier on that bottleneck."""

from __future__ import annotations

import torch
from torch import nn

from treatment_response.networks.keras_batch_norm import KerasBatchNorm1d
from treatment_response.networks.upsampled_conv import UpsampledConv2d


class MaskedAutoencoderClassifier(nn.Module):
    """Reconstruct a lesion slice and predict its response from the same 16 × 16 × 5 code.

    B batch, S side of the input, F feature maps of the bottleneck, S' = S / 4.

    - Encoder: 2 × (3×3 convolution, ReLU, 2×2 max pooling); it sees the whole slice, so a cell at the GTV's rim also
      depends on up to 3 pixels beyond that cell, unless ``mask_input`` sets what lies outside the GTV to 0.
    - Bottleneck: the code times the mask reduced to S' × S'; a cell belongs to the GTV if any of its pixels does.
    - Decoder: nearest upsampling, 3×3 convolution, ReLU, nearest upsampling, 3×3 convolution to one channel, sigmoid.
    - Classifier: flatten, dense with ReLU, batch normalisation, dropout, dense to one logit. No global pooling.

    Initialisation (Glorot uniform, zero bias) and batch normalisation are Keras' as in the paper.

    Args:
        in_size: S, pixels along each side; a multiple of 4.
        width: channels of the first convolution (the paper does not give it).
        features: F.
        hidden: units of the dense layer.
        dropout: probability in [0, 1).
        mask_input: the encoder sees slice × mask instead of the slice; the paper masks the bottleneck only.

    Shapes:
        input ``(B, 2, S, S)``: image in [0, 1], then binary mask. Output ``(B, 1)``: the logit of response.

    Raises:
        ValueError: ``in_size`` is not a multiple of 4.

    References:
        Peng, Jiang, Timmerman, arXiv 2506.17536, supplement, "AI model development and training".
    """

    def __init__(
        self,
        in_size: int = 64,
        width: int = 16,
        features: int = 5,
        hidden: int = 32,
        dropout: float = 0.1,
        mask_input: bool = False,
    ) -> None:
        super().__init__()
        if in_size <= 0 or in_size % 4:
            raise ValueError(f"in_size must be a positive multiple of 4, got {in_size}.")
        self.in_size = in_size
        self.mask_input = mask_input
        if mask_input:
            # Nothing reads it: weights of a network with it and of one without it refuse each other.
            self.register_buffer("input_is_masked", torch.ones(()))
        self.encoder_1 = nn.Conv2d(1, width, 3, padding=1)
        self.encoder_2 = nn.Conv2d(width, features, 3, padding=1)
        self.decoder_1 = UpsampledConv2d(features, width)
        self.decoder_2 = UpsampledConv2d(width, 1)
        self.dense = nn.Linear(features * (in_size // 4) ** 2, hidden)
        self.norm = KerasBatchNorm1d(hidden)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden, 1)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        self.to(memory_format=torch.channels_last)  # several times quicker on a CPU than torch's default

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classify(self.encode(x) * self.cell_mask(x))

    @torch.jit.export
    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """The code before the mask, ``(B, F, S', S')``, not negative: the A of the CAM equations."""
        image = x[:, :1] * x[:, 1:] if self.mask_input else x[:, :1]
        # Pooled first: ReLU is monotone, so both orders give the same values, and this one costs a quarter.
        a = torch.relu(nn.functional.max_pool2d(self.encoder_1(image), 2))
        return torch.relu(nn.functional.max_pool2d(self.encoder_2(a), 2))

    @torch.jit.export
    def cell_mask(self, x: torch.Tensor) -> torch.Tensor:
        """The GTV on the code's grid, ``(B, 1, S', S')``, 0 or 1: 1 where any pixel of the cell is in the GTV."""
        return nn.functional.max_pool2d(x[:, 1:], 4)

    @torch.jit.export
    def decode_logits(self, code: torch.Tensor) -> torch.Tensor:
        """The reconstruction before its sigmoid, ``(B, 1, S, S)``, for a stable cross-entropy."""
        return self.decoder_2(torch.relu(self.decoder_1(code)))

    @torch.jit.export
    def decode(self, code: torch.Tensor) -> torch.Tensor:
        """The reconstruction of slice × mask from the masked code, ``(B, 1, S, S)`` in [0, 1]."""
        return torch.sigmoid(self.decode_logits(code))

    @torch.jit.export
    def classify(self, code: torch.Tensor) -> torch.Tensor:
        """The logit of response ``(B, 1)`` from the masked code ``(B, F, S', S')``."""
        hidden = torch.relu(self.dense(code.flatten(1)))
        return self.output(self.dropout(self.norm(hidden)))
