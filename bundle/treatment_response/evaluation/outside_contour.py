"""Which decisions change when brain-like values take the place of what lies outside the contour."""

from __future__ import annotations

import pandas as pd
import torch

from treatment_response.cases.samples import Samples
from treatment_response.training.scoring import case_logits

BRAIN, NOISE, SEED = 0.45, 0.05, 0
"""White matter in the configs' scaling, the SD of the noise on it, and the seed of that noise."""


def with_brain_outside(x: torch.Tensor) -> torch.Tensor:
    """The same slices with white matter and noise outside the GTV.

    Every slice gets the same field of noise, so that a slice's result does not depend on the others.

    Args:
        x: ``(N, 2, S, S)``, image in [0, 1], then binary mask.
    """
    noise = torch.randn(x.shape[-2:], generator=torch.Generator().manual_seed(SEED))
    image, mask = x[:, :1], x[:, 1:]
    return torch.cat([torch.where(mask > 0, image, (BRAIN + NOISE * noise).to(image)), mask], dim=1)


def flipped_lesions(network: torch.nn.Module, samples: Samples) -> pd.DataFrame:
    """Which lesions change class at P(response) = 0.5.

    Args:
        network: trained, in evaluation mode.
        samples: of one session. Where every slice is a sample, a lesion's logit is the mean over its slices, as when it
            is scored.

    Returns:
        ``subject, lesion, flipped`` (bool).
    """
    roles = [""] * len(samples)
    with torch.no_grad():
        logits = [network(x)[:, 0].double() for x in (samples.image, with_brain_outside(samples.image))]
    rows, _, before = case_logits(samples, roles, logits[0])
    after = case_logits(samples, roles, logits[1])[2]
    flipped = ((before >= 0) != (after >= 0)).tolist()
    return pd.DataFrame(
        {"subject": [row.subject for row in rows], "lesion": [row.case for row in rows], "flipped": flipped}
    )
