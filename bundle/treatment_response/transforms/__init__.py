"""MONAI dictionary transforms from a prepared data set's files to the network's input, and back."""

from treatment_response.transforms.all_lesion_slices_patch import AllLesionSlicesPatchd
from treatment_response.transforms.lesion_slice_patch import LesionSlicePatchd
from treatment_response.transforms.pair_input import JoinImagesd, SubtractEarlierd
from treatment_response.transforms.refuse_constant import RefuseConstantd
from treatment_response.transforms.refuse_elsewhere import RefuseElsewhered
from treatment_response.transforms.require_images import RequireImagesd
from treatment_response.transforms.scale_by_brain_percentiles import ScaleByBrainPercentilesd
from treatment_response.transforms.smooth_before_spacing import SmoothBeforeSpacingd

__all__ = [
    "AllLesionSlicesPatchd",
    "JoinImagesd",
    "LesionSlicePatchd",
    "RefuseConstantd",
    "RefuseElsewhered",
    "RequireImagesd",
    "ScaleByBrainPercentilesd",
    "SmoothBeforeSpacingd",
    "SubtractEarlierd",
]
