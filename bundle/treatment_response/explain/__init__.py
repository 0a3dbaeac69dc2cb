"""Where a decision comes from: explanations of any network, their scale, and how well they find a known sub-region."""

from treatment_response.explain.cam import (
    VARIANTS,
    ClassActivationMap,
    GradCAM,
    GradCAMPlusPlus,
    PixelwiseCAM,
    explain_all,
)
from treatment_response.explain.explanations import Explanation, IntegratedGradients, LayerCAM, Saliency, SmoothGrad
from treatment_response.explain.occlusion import Occlusion
from treatment_response.explain.region import Everywhere, Foreground, MaskChannel, Region
from treatment_response.explain.scale import fit_map_scales, scale_maps
from treatment_response.explain.target import ClassScore, TargetClass

__all__ = [
    "VARIANTS",
    "ClassActivationMap",
    "ClassScore",
    "Everywhere",
    "Explanation",
    "Foreground",
    "GradCAM",
    "GradCAMPlusPlus",
    "IntegratedGradients",
    "LayerCAM",
    "MaskChannel",
    "Occlusion",
    "PixelwiseCAM",
    "Region",
    "Saliency",
    "SmoothGrad",
    "TargetClass",
    "explain_all",
    "fit_map_scales",
    "scale_maps",
]
