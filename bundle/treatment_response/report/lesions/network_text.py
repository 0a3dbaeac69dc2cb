"""What a network's record says, in words: preprocessing, layers, loss, optimiser."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from treatment_response.report.recorded import UNKNOWN, class_name, inner, said, scalars

SLICES = {
    "LesionSlicePatchd": "the axial slice with the largest contoured area",
    "AllLesionSlicesPatchd": "every axial slice with a contour",
}


def slices_text(record: Mapping[str, Any]) -> str | None:
    """Which slices the network was trained on; None if that was not recorded."""
    return SLICES.get(class_name(_patch(record.get("settings", {}))))


def preprocessing_text(record: Mapping[str, Any]) -> str:
    """How images became the network's input.

    Args:
        record: a run's ``provenance.json``.
    """
    settings = record.get("settings", {})
    scaling = _transform(settings, "image_transforms", "ScaleByBrainPercentilesd")
    patch = _patch(settings)
    angles = settings.get("angles")
    turned = UNKNOWN if angles is None else (", ".join(f"{angle:g}" for angle in angles) or "none")
    return (
        f"Of each lesion {slices_text(record) or f'the slices ({UNKNOWN} which)'} was cut to "
        f"{said(patch.get('size'))} × {said(patch.get('size'))} pixels of {said(patch.get('pixel'))} mm. Intensities "
        f"were scaled so that percentile {said(scaling.get('air'))} of the volume became 0 and percentile "
        f"{said(scaling.get('brain'))} of the brain {said(scaling.get('brain_value'))}. Training slices were also "
        f"rotated by these angles in degrees: {turned}."
    )


def network_text(record: Mapping[str, Any]) -> str:
    """The network, what it was trained for and how.

    Args:
        record: a run's ``provenance.json``.
    """
    settings = record.get("settings", {})
    optimiser, betas = settings.get("optimizer", {}), inner(settings, "optimizer", "betas")
    return (
        f"{_layers(settings.get('network', {}))}. Loss: {_loss(settings.get('loss', {}))}. Optimiser: "
        f"{class_name(optimiser)}, learning rate {said(optimiser.get('lr'))}, weight decay "
        f"{said(optimiser.get('weight_decay'))}, betas {UNKNOWN if not betas else ' and '.join(map(str, betas))}; "
        f"batches of {said(settings.get('batch_size'))}, {said(settings.get('max_epochs'))} epochs, the last one "
        f"used. Precision: {_precision(settings.get('bf16'))}."
    )


def _layers(network: Mapping[str, Any]) -> str:
    name = class_name(network)
    if name != "MaskedAutoencoderClassifier":
        return f"{name} ({scalars(network)})"
    widths = [said(inner(network, layer, "out_channels")) for layer in ("encoder_1", "encoder_2")]
    masked = " on the slice with everything outside the contour set to 0" if network.get("mask_input") else ""
    return (
        f"{name}: two convolution blocks with {' and '.join(widths)} channels{masked}, features multiplied by the "
        f"contour, a decoder, and a classifier with {said(inner(network, 'dense', 'out_features'))} hidden units and "
        f"dropout {said(inner(network, 'dropout', 'p'))}"
    )


def _loss(loss: Mapping[str, Any]) -> str:
    name = class_name(loss)
    if name != "JointLoss":
        return f"{name} ({scalars(loss)})" if scalars(loss) else name
    parts = loss.get("reconstruction", {})
    return (
        f"{said(loss.get('weight_reconstruction'))} × reconstruction ({said(parts.get('weight_ssim'))} × (1 − SSIM) + "
        f"{said(parts.get('weight_pixel'))} × cross-entropy per pixel + {said(parts.get('weight_outside'))} × squared "
        f"features outside the contour) + {said(loss.get('weight_classification'))} × cross-entropy of the class"
    )


def _patch(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    return next((found for name in SLICES if (found := _transform(settings, "patch_transforms", name))), {})


def _transform(settings: Mapping[str, Any], where: str, name: str) -> Mapping[str, Any]:
    return next((item for item in settings.get(where, []) if class_name(item) == name), {})


def _precision(bf16: bool | None) -> str:
    return UNKNOWN if bf16 is None else "bfloat16 autocast" if bf16 else "float32"
