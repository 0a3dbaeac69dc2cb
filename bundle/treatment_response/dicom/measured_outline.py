from dataclasses import dataclass

import numpy as np

from treatment_response.cohort.masks import scan_from_mask
from treatment_response.geometry import Volume, planimetric_volume, rasterise, surface_area


@dataclass(frozen=True)
class MeasuredOutline:
    mask: Volume
    volume_mm3: float
    area_mm2: float
    notes: tuple[str, ...] = ()


def measure_contours(contours, image: Volume) -> MeasuredOutline:
    spacing = float(image.spacing[2])
    volume, area = planimetric_volume(contours, spacing), surface_area(contours, spacing)
    array = rasterise(contours, image.affine, image.array.shape)
    return MeasuredOutline(Volume(array.astype(np.uint8), image.affine), volume, area)


def measure_mask(mask: np.ndarray, image: Volume) -> MeasuredOutline:
    s = scan_from_mask(Volume(mask, image.affine))
    return MeasuredOutline(s.mask, s.volume_mm3, s.area_mm2)
