"""What the best possible model could reach: ceilings from simulated lesions without images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score
from treatment_response.cohort.synthetic.biology import calibrate, draw_burdens
from treatment_response.cohort.synthetic.fields import random_field
from treatment_response.cohort.synthetic.lesion import NICHE_WAVELENGTHS_MM, niche_threshold, random_shape
from treatment_response.cohort.synthetic.simulate import NICHE_WAVES, draw_radius
from treatment_response.files import write_whole

SLICE_MM = 1.5
STEPS_PER_RADIUS = 7
CEILING_LESIONS = 20_000


def kept_ceilings(path: Path, lesions: int = CEILING_LESIONS) -> dict[str, float]:
    """`ceilings`, which take a while and never change, from a JSON file that is written if it is not there."""
    if not path.is_file():
        write_whole(path, json.dumps(ceilings(lesions), indent=1) + "\n")
    found: dict[str, float] = json.loads(path.read_text(encoding="utf-8"))
    return found


def ceilings(lesions: int = CEILING_LESIONS, seed: int = 0, non_response: float = 0.35) -> dict[str, float]:
    """AUC of the label given what a model could know at most.

    Dose has no effect and size carries nothing, so the burden is all there is to know: (a) equals (b) unless
    ``biology.DOSE_SLOPE_PER_GY`` is changed. Niche kind plays no part, since no image is made. The fields are
    isotropic, so one slice direction stands for both scanners.

    Args:
        lesions: number of simulated lesions.
        seed: of the simulation.
        non_response: expected share of non-response.

    Returns:
        ``everything`` (a), ``burden_3d`` (b), ``burden_slice`` (c: in the slice of largest area, 1.5 mm thick), and
        ``burden_slice_correlation``, ``non_response``, ``lesions``.
    """
    rng = np.random.default_rng([seed, 7])
    biology = calibrate(non_response)
    burden = draw_burdens(rng, lesions)
    p_response = biology.p_response(burden)
    label = rng.random(lesions) < p_response
    slice_burden = np.array([_slice_burden(rng, b) for b in burden])
    return {
        "everything": float(roc_auc_score(label, p_response)),
        "burden_3d": float(roc_auc_score(label, -burden)),
        "burden_slice": float(roc_auc_score(label, -slice_burden)),
        "burden_slice_correlation": float(np.corrcoef(burden, slice_burden)[0, 1]),
        "non_response": float(1 - label.mean()),
        "lesions": lesions,
    }


def _slice_burden(rng: np.random.Generator, burden: float) -> float:
    """Niche share in one random lesion's largest slice, from points two deep per slice and ``radius / 7`` apart."""
    radius = draw_radius(rng)
    shape = random_shape(rng)
    niche = random_field(rng, NICHE_WAVELENGTHS_MM, NICHE_WAVES)
    reach = 1.4 * radius
    flat = np.arange(-reach, reach, radius / STEPS_PER_RADIUS)
    depth = np.arange(-reach, reach, SLICE_MM / 2)
    z, y, x = np.meshgrid(depth, flat, flat, indexing="ij")
    points = np.stack([x.ravel(), y.ravel(), z.ravel()], axis=1)
    distance = np.linalg.norm(points, axis=1)
    near = distance < reach
    points, distance = points[near], distance[near]
    inside = distance < radius * shape.radius(points / np.maximum(distance, 1e-9)[:, None])
    points = points[inside]
    is_niche = niche(points) > niche_threshold(niche, points, burden)
    number = np.round((points[:, 2] + reach) / (SLICE_MM / 2)).astype(int) // 2
    area = np.bincount(number)
    return float(np.bincount(number, weights=is_niche)[area.argmax()] / area.max())
