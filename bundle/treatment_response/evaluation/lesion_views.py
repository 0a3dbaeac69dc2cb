"""From lesions and a trained network to the arrays that figures and scores of maps are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from treatment_response.cases.lesion_transforms import LesionTransforms, Transforms
from treatment_response.cases.samples import Samples
from treatment_response.evaluation.outside_contour import with_brain_outside
from treatment_response.evaluation.views import LesionSlice, LesionView
from treatment_response.explain.cam import all_maps
from treatment_response.explain.finite import check_finite
from treatment_response.explain.gradients import evaluating, head_attribution
from treatment_response.explain.scale import scale_maps
from treatment_response.explain.target import TargetClass
from treatment_response.model_description import MapScales


def lesion_slices(
    entries: Sequence[dict[str, Any]],
    image_transforms: Transforms,
    lesion_transforms: Transforms,
    patch_transforms: Transforms,
) -> list[LesionSlice]:
    """Preprocess lesions with the bundle's own transforms and keep where each slice lies in the scanner.

    Args:
        entries: samples of the data list (`cohort.dataset.load_datalist`).
        image_transforms, lesion_transforms, patch_transforms: the config's lists, run per volume, lesion and slice;
            where they cut every slice of a lesion, the one with the largest GTV area is kept.
    """
    transforms = LesionTransforms(image_transforms, lesion_transforms, patch_transforms)
    slices: dict[int, LesionSlice] = {}
    for path in dict.fromkeys(entry["image"] for entry in entries):
        own = {index: entry for index, entry in enumerate(entries) if entry["image"] == path}
        images = transforms.image(next(iter(own.values())))
        for index, entry in own.items():
            x, affine = _one_slice(transforms.patch(transforms.lesion(entry, images)))
            ids = (entry["subject"], entry["lesion"], entry["session"])
            slices[index] = LesionSlice(*ids, int(entry["label"]), x, affine)
    return [slices[index] for index in range(len(entries))]


def _one_slice(sample: dict[str, Any]) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """The slice ``(2, S, S)`` and its affine; of a stack of all the lesion's slices, that with the largest GTV area."""
    image, affine = sample["image"], sample.get("affine")
    if image.ndim == 3:
        return np.asarray(image, dtype=np.float32), np.asarray(image.affine, dtype=np.float64)
    affines = np.asarray(affine, dtype=np.float64)
    pixel_area = np.linalg.norm(affines[:, :3, 0], axis=1) ** 2
    largest = int(np.argmax(np.asarray(image[:, 1].sum(dim=(1, 2))) * pixel_area))
    return np.asarray(image[largest], dtype=np.float32), affines[largest]


def stack(slices: Sequence[LesionSlice]) -> torch.Tensor:
    """The network's input ``(N, 2, S, S)``."""
    return torch.from_numpy(np.stack([one.x for one in slices]))


def lesion_views(network: torch.nn.Module, map_scales: MapScales | None, samples: Samples) -> list[LesionView]:
    """Run the network on one slice per lesion and keep what the figures show.

    Args:
        network: trained; one without ``decode`` gets no reconstruction.
        map_scales: of its maps.
        samples: with labels.

    Raises:
        DataProblem: the scale of its maps was never fitted, or its answer is not finite.
    """
    if not len(samples):
        return []
    x = samples.image.to(next(network.parameters()).device)
    with evaluating(network), torch.no_grad():
        p_brain_outside = torch.sigmoid(network(with_brain_outside(x))[:, 0]).cpu()
    attribution = head_attribution(network, x, TargetClass.RESPONSE)
    check_finite(attribution.logits)
    scaled = {key: maps.cpu().numpy() for key, maps in scale_maps(all_maps(attribution), map_scales).items()}
    rebuilt: Sequence[NDArray[np.float32] | None] = [None] * len(samples)
    if hasattr(network, "decode"):
        with evaluating(network), torch.no_grad():
            rebuilt = list(network.decode(attribution.activations * attribution.mask)[:, 0].cpu().numpy())
    p_response = torch.sigmoid(attribution.logits[:, 0]).cpu()
    return [
        LesionView(
            subject=row.subject,
            lesion=row.case,
            session=row.session,
            label=int(samples.label[i]),
            p_response=float(p_response[i]),
            p_brain_outside=float(p_brain_outside[i]),
            image=samples.image[i, 0].numpy(),
            mask=samples.image[i, 1].numpy(),
            pixel_mm=row.pixel,
            reconstruction=rebuilt[i],
            features=attribution.activations[i].cpu().numpy(),
            gradients=attribution.gradient[i].cpu().numpy(),
            cams={(variant, target.value): maps[i] for (variant, target), maps in scaled.items()},
        )
        for i, row in enumerate(samples.rows)
    ]
