"""Where a decision comes from: the class activation maps, their scale, and how well they find a known sub-region."""

from treatment_response.explain.cam import (
    VARIANTS,
    ClassActivationMap,
    GradCAM,
    GradCAMPlusPlus,
    PixelwiseCAM,
    explain_all,
)
from treatment_response.explain.scale import fit_map_scales, scale_maps
from treatment_response.explain.target import ClassIndex, TargetClass

__all__ = [
    "VARIANTS",
    "ClassActivationMap",
    "ClassIndex",
    "GradCAM",
    "GradCAMPlusPlus",
    "PixelwiseCAM",
    "TargetClass",
    "explain_all",
    "fit_map_scales",
    "scale_maps",
]
