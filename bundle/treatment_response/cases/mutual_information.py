"""The steps of every registration by mutual information (Mattes et al., IEEE TMI 2003), done with SimpleITK."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import SimpleITK as sitk

from treatment_response.geometry import Volume
from treatment_response.geometry.itk import to_itk
from treatment_response.problems import DataProblem, Problem

Transform = TypeVar("Transform", sitk.Euler3DTransform, sitk.AffineTransform)


def without_tails(
    volume: Volume, compared: np.ndarray, tails: tuple[float, float], fewest_slices: int, name: str
) -> sitk.Image:
    """An image as float32, clipped so that a few bright voxels do not spoil the histogram.

    Args:
        compared: values of the image that tell how bright it is, of any shape.
        tails: percentiles of them, outside which values are clipped.
        fewest_slices: that it needs along each axis.
        name: of the image, for messages.

    Raises:
        DataProblem: it has fewer slices, values that are not finite, or only one value.
    """
    if min(volume.array.shape) < fewest_slices:
        what = f"has {min(volume.array.shape)} slices along one axis, expected at least {fewest_slices}"
        raise DataProblem(Problem(name, what, "export the whole series"))
    if not np.isfinite(volume.array).all():
        raise DataProblem(Problem(name, "holds values that are not finite", "export the series again"))
    low, high = np.percentile(compared, tails)
    if not high > low:
        raise DataProblem(Problem(name, "is constant", "export the series again"))
    return to_itk(Volume(np.clip(volume.array, low, high).astype(np.float32), volume.affine))


def thinned(image: sitk.Image, spacing_mm: float) -> sitk.Image:
    """The image at about a coarser spacing: each axis smoothed by half its new voxel, then every n-th voxel.

    At least four voxels stay along each axis. ITK's own shrinking takes a voxel beside the middle where n is even, and
    calls it the middle.
    """
    factors = [max(1, round(spacing_mm / spacing)) for spacing in image.GetSpacing()]
    factors = [min(factor, size // 4) for factor, size in zip(factors, image.GetSize(), strict=True)]
    smooth = sitk.RecursiveGaussianImageFilter()
    for axis, (factor, spacing) in enumerate(zip(factors, image.GetSpacing(), strict=True)):
        if factor > 1:
            smooth.SetDirection(axis)
            smooth.SetSigma(0.5 * factor * spacing)
            image = smooth.Execute(image)
    return image[tuple(slice((factor - 1) // 2, None, factor) for factor in factors)]


def optimiser(
    fixed: sitk.Image,
    *,
    bins: int,
    samples: int,
    steps_mm: tuple[float, float],
    iterations: int,
    relaxation: float = 0.5,
    least_gradient: float = 1e-4,
    seed: int = 1,
    fixed_mask: sitk.Image | None = None,
    moving_mask: sitk.Image | None = None,
) -> sitk.ImageRegistrationMethod:
    """What maximises the mutual information. The same images give the same result.

    Args:
        fixed: the image whose points are compared.
        bins: of the joint histogram.
        samples: points of the fixed image at which the images are compared, at most. seed: of the points.
        steps_mm: first and last step, as the largest motion of a point.
        iterations: most of them.
        relaxation: what a step is multiplied by where the direction turns.
        least_gradient: it ends below it.
        fixed_mask, moving_mask: where the images are compared; None is everywhere.
    """
    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfWorkUnits(1)  # sums of several threads differ in their last digits
    method.SetMetricAsMattesMutualInformation(bins)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(min(1.0, samples / fixed.GetNumberOfPixels()), seed=seed)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(
        *steps_mm, iterations, relaxationFactor=relaxation, gradientMagnitudeTolerance=least_gradient
    )
    method.SetOptimizerScalesFromPhysicalShift()
    if fixed_mask is not None:
        method.SetMetricFixedMask(fixed_mask)
    if moving_mask is not None:
        method.SetMetricMovingMask(moving_mask)
    return method


def optimised(
    method: sitk.ImageRegistrationMethod, fixed: sitk.Image, moving: sitk.Image, start: Transform
) -> tuple[float, Transform | None]:
    """The metric (lower is better) and the transform from one start; infinite and None without an overlap.

    The metric counts by the share of points that both images show: few shared points often look alike.
    """
    transform = type(start)(start)
    method.SetInitialTransform(transform, inPlace=True)
    try:
        method.Execute(fixed, moving)
        return method.GetMetricValue() * method.GetMetricNumberOfValidPoints(), transform
    except RuntimeError:  # too few points fall inside the moving image
        return float("inf"), None
