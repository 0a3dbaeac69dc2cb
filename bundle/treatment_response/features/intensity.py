"""MR intensities on one scale for all scanners, before features are measured."""

from __future__ import annotations

import numpy as np

from treatment_response.geometry import Volume
from treatment_response.problems import DataProblem, Problem

AIR_PERCENTILE = 1.0
TISSUE_VALUE = 100.0


def scale_to_head(image: Volume, where: str) -> Volume:
    """Scale a whole MR so that air is 0 and the head's typical tissue is 100; nothing is clipped.

    Air is the first percentile of the volume, typical tissue the median of what is brighter than the volume's mean:
    a lesion is far too small to move either. Multiplying the scanner's intensities by a positive number, or shifting
    them, changes nothing.

    Args:
        where: the case, for messages.

    Raises:
        DataProblem: the image is constant, but for single voxels too, or holds values that are not finite.
    """
    values = np.asarray(image.array, dtype=np.float64)
    if not np.isfinite(values).all():
        raise DataProblem(Problem(where, "the image holds NaN or infinite values", "export the series again"))
    bright = values[values > values.mean()]
    if not bright.size:
        raise DataProblem(Problem(where, "the image is constant", "export the series again"))
    air, tissue = float(np.percentile(values, AIR_PERCENTILE)), float(np.median(bright))
    if not tissue > air:
        raise DataProblem(Problem(where, "nearly all of the image has one value", "export the series again"))
    return Volume((values - air) * (TISSUE_VALUE / (tissue - air)), image.affine)
