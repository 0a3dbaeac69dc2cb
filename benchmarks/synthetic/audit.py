"""Shortcut audit: nothing but the niche may tell the label.

Lesions are rendered one by one on the voxels around them, in a head of even white matter, and measured in the slice
that the network sees: the one with the largest drawn area.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.ndimage import binary_erosion, distance_transform_edt, gaussian_filter, gaussian_gradient_magnitude, zoom
from scipy.stats import skew
from skimage.measure import label as connected
from skimage.measure import regionprops
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from treatment_response.cohort.synthetic.lesion import Lesion
from treatment_response.cohort.synthetic.patch import render_patch
from treatment_response.cohort.synthetic.scanner import SCANNERS, rician, session_grid
from treatment_response.cohort.synthetic.simulate import Patient, SyntheticCohort, simulate_cohort
from treatment_response.processes import worker_pool

TOLERANCE = 0.03
CHUNK_LESIONS = 100
LESIONS_PER_PATIENT = 69 / 39
MASK_PIXELS = 16
SINGLE = (
    "volume",
    "area",
    "eccentricity",
    "solidity",
    "compactness",
    "orientation",
    "height_over_width",
    "slice_position",
    "slice_number",
    "scanner",
    "rim",
    "necrosis",
    "mean_intensity",
    "mean_intensity_raw",
    "position_x",
    "position_y",
    "prescription",
    "lesions_in_patient",
)
TEXTURE = ("texture_sd", "texture_gradient", "texture_high_pass", "texture_residual", "texture_skewness")


@dataclass(frozen=True)
class RenderedLesion:
    """One lesion at MRI 1, no head around it: stored intensity and drawn mask ``(I, J, K)``, number of slice 0."""

    image: np.ndarray
    mask: np.ndarray
    first_slice: int


def render_lesion_patch(cohort: SyntheticCohort, patient: Patient, lesion: Lesion) -> RenderedLesion:
    """Render one lesion as MRI 1 would show it, in even white matter, with the scanner's scale, bias and noise."""
    scanner, session = SCANNERS[patient.scanner], patient.sessions[0]
    grid = session_grid(scanner, session)
    patch = render_patch(lesion, grid, session, 0)
    rng = np.random.default_rng([cohort.seed, 5, patient.index, int(lesion.lesion[1:])])
    signal = patch.blend(np.ones(patch.cover.shape, dtype=np.float32)) * np.exp(scanner.bias * rng.standard_normal())
    image = rician(signal.astype(np.float32), scanner.noise, rng) * scanner.white_matter
    return RenderedLesion(image, patch.distance < lesion.offsets_mm[0], int(patch.corner[2]))


def measure_lesion(cohort: SyntheticCohort, patient: Patient, lesion: Lesion) -> dict[str, float | str | np.ndarray]:
    """Everything that the audit looks at in one lesion."""
    rendered = render_lesion_patch(cohort, patient, lesion)
    largest = int(rendered.mask.sum(axis=(0, 1)).argmax())
    mask, image = rendered.mask[:, :, largest], rendered.image[:, :, largest]
    outline = regionprops(connected(mask))[0]
    relative = image / SCANNERS[patient.scanner].white_matter
    inner = binary_erosion(mask, iterations=2)
    inner = inner if inner.sum() >= 9 else mask
    smooth = gaussian_filter(relative, 1.5)
    residual = _without_depth_profile(relative, mask)[inner]
    reduced = np.zeros((MASK_PIXELS, MASK_PIXELS))
    pixel = SCANNERS[patient.scanner].voxel_mm[0]
    fine = zoom(np.pad(mask, 8).astype(np.float32), pixel / 2.0, order=1)
    i, j = ((size - MASK_PIXELS) // 2 for size in fine.shape)
    part = fine[max(i, 0) : max(i, 0) + MASK_PIXELS, max(j, 0) : max(j, 0) + MASK_PIXELS]
    reduced[: part.shape[0], : part.shape[1]] = part
    height, width = mask.any(axis=1).sum(), mask.any(axis=0).sum()
    return {
        "label": lesion.label,
        "p_response": lesion.p_response,
        "burden": lesion.burden,
        "cohort": cohort.seed,
        "site": lesion.site,
        "volume": lesion.drawn_volume(0),
        "area": float(mask.sum()) * pixel**2,
        "eccentricity": outline.eccentricity,
        "solidity": outline.solidity,
        "compactness": outline.perimeter**2 / outline.area,
        "orientation": outline.orientation,
        "height_over_width": float(height / width),
        "slice_position": float(lesion.centre[2]),
        "slice_number": rendered.first_slice + largest,
        "scanner": float(patient.scanner == "B"),
        "rim": lesion.rim_mm,
        "necrosis": lesion.necrosis,
        "mean_intensity": float(relative[mask].mean()),
        "mean_intensity_raw": float(image[mask].mean()),
        "position_x": float(abs(lesion.centre[0])),
        "position_y": float(lesion.centre[1]),
        "prescription": lesion.prescription_gy,
        "lesions_in_patient": len(patient.lesions),
        "texture_sd": float(relative[inner].std()),
        "texture_gradient": float(gaussian_gradient_magnitude(relative, 0.7)[inner].mean()),
        "texture_high_pass": float(np.abs(relative - smooth)[inner].mean()),
        "texture_residual": float(residual.std()),
        "texture_skewness": float(skew(residual)),
        "mask": reduced.ravel(),
    }


def _without_depth_profile(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The image less its mean at each depth below the outline, so that rim and necrosis drop out; 0 outside."""
    depth = np.rint(distance_transform_edt(mask)).astype(int)
    mean = np.bincount(depth.ravel(), weights=image.ravel()) / np.bincount(depth.ravel())
    return np.where(mask, image - mean[depth], 0)


def _measure_chunk(arguments: tuple[int, int, float, str]) -> list[dict[str, float | str | np.ndarray]]:
    lesions, seed, non_response, niche = arguments
    cohort = simulate_cohort(round(lesions / LESIONS_PER_PATIENT), lesions, seed, non_response, niche)
    return [measure_lesion(cohort, patient, lesion) for patient in cohort.patients for lesion in patient.lesions]


def measure_lesions(
    lesions: int, seed: int = 0, niche: str = "texture", non_response: float = 0.35, processes: int = 2
) -> pd.DataFrame:
    """Simulate, render and measure at least this many lesions, in cohorts of about 100 with their own seeds."""
    chunks = -(-lesions // CHUNK_LESIONS)
    size = -(-lesions // chunks)
    tasks = [(size, 1_000_000 * (seed + 1) + chunk, non_response, niche) for chunk in range(chunks)]
    with worker_pool(processes, [__name__]) as pool:
        return pd.DataFrame([row for rows in pool.map(_measure_chunk, tasks) for row in rows])


def shortcut_aucs(table: pd.DataFrame) -> dict[str, float]:
    """AUC for response of everything that must not tell it; 0.5 is what each should be."""
    label = table["label"].to_numpy()
    groups = table["cohort"].to_numpy()
    aucs = {name: float(roc_auc_score(label, table[name])) for name in SINGLE}
    site = pd.get_dummies(table["site"]).to_numpy(dtype=float)
    aucs["site (classifier)"] = cross_validated_auc(LogisticRegression(C=0.1), site, label, groups)
    shape = ["volume", "area", "eccentricity", "solidity", "compactness", "orientation", "height_over_width"]
    seen = np.hstack([np.stack(list(table["mask"])), table[shape].to_numpy()])
    trees = HistGradientBoostingClassifier(max_iter=60, learning_rate=0.05, random_state=0)
    aucs["mask only (boosted trees)"] = cross_validated_auc(trees, seen, label, groups)
    linear = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500))
    aucs["mask only (logistic regression)"] = cross_validated_auc(linear, seen, label, groups)
    return aucs


def positive_control(table: pd.DataFrame) -> float:
    """AUC of five simple texture features with logistic regression, cross-validated by cohort: the signal is there."""
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    return cross_validated_auc(
        model, table[list(TEXTURE)].to_numpy(), table["label"].to_numpy(), table["cohort"].to_numpy()
    )


def cross_validated_auc(model: object, features: np.ndarray, label: np.ndarray, groups: np.ndarray) -> float:
    """Mean AUC over five folds of whole cohorts.

    Not by patient, and not pooled: a cohort's burdens are stratified, so leaving out some of its lesions tells which
    label they tend to have, and a classifier that learned nothing would score below 0.5.
    """
    scores = cross_val_score(model, features, label, groups=groups, cv=GroupKFold(5), scoring="roc_auc")
    return float(scores.mean())
