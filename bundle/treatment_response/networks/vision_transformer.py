"""MONAI's vision transformer as a plain classifier with a layer of cells to explain."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.nets import ViT
from torch import nn


class VisionTransformer(nn.Module):
    """From an image to logits: MONAI's ``ViT`` whose answer is its head's alone, without the tanh behind it.

    What goes into the last block passes through the layer ``cells`` as ``(B, hidden_size, *patches)``, so that maps of
    a layer (`treatment_response.explain.LayerCAM`) can be made there: behind the last block the head looks at the class
    token only.

    Args:
        in_channels: channels C. out_channels: logits K.
        img_size: the grid, one number per axis.
        patch_size: of a patch in voxels, one number per axis; what is left over at the end of an axis is not seen.
        hidden_size, mlp_dim, num_layers, num_heads: of the transformer.
        dropout_rate: in [0, 1).

    Shapes:
        ``(B, C, *img_size)`` → ``(B, K)``.

    References:
        Dosovitskiy et al., An image is worth 16x16 words, 2021.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        img_size: Sequence[int],
        patch_size: Sequence[int] = (20, 20, 10),
        hidden_size: int = 768,
        mlp_dim: int = 3072,
        num_layers: int = 12,
        num_heads: int = 12,
        dropout_rate: float = 0.1,
    ) -> None:
        super().__init__()
        self.vit = ViT(
            in_channels,
            img_size,
            patch_size,
            hidden_size=hidden_size,
            mlp_dim=mlp_dim,
            num_layers=num_layers,
            num_heads=num_heads,
            pos_embed_type="sincos",
            classification=True,
            num_classes=out_channels,
            dropout_rate=dropout_rate,
            spatial_dims=len(img_size),
            post_activation="none",
        )
        self.patches = tuple(size // patch for size, patch in zip(img_size, patch_size, strict=True))
        self.cells = nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.vit.patch_embedding(x)
        tokens = torch.cat([self.vit.cls_token.expand(len(x), -1, -1), tokens], dim=1)
        *earlier, last = self.vit.blocks
        for block in earlier:
            tokens = block(tokens)
        cells = self.cells(tokens[:, 1:].transpose(1, 2).unflatten(2, self.patches))
        tokens = last(torch.cat([tokens[:, :1], cells.flatten(2).transpose(1, 2)], dim=1))
        logits: torch.Tensor = self.vit.classification_head(self.vit.norm(tokens)[:, 0])
        return logits
