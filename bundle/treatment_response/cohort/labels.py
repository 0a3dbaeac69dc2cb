"""From volumes to labels, and how sure a label is when contours are only so exact."""

from __future__ import annotations

import math

from treatment_response.cohort.lesion import BASELINE, FOLLOW_UP, LesionRecord

RESPONSE, NON_RESPONSE = 1, 0
DEFAULT_THRESHOLD = 0.2
CONTOURING_SD_MM = 0.3


def volume_change(before_mm3: float, after_mm3: float) -> float:
    """Relative change of volume, V3/V1 − 1: −1 for a lesion that is gone, 0 for no change.

    Raises:
        ValueError: the first volume is not positive, or the second is negative.
    """
    if not before_mm3 > 0 or not after_mm3 >= 0:
        raise ValueError(
            f"volumes must be positive before and not negative after, got {before_mm3} and {after_mm3} mm³"
        )
    return after_mm3 / before_mm3 - 1.0


def response_label(before_mm3: float, after_mm3: float, threshold: float = DEFAULT_THRESHOLD) -> int:
    """1 (response) if the volume at follow-up is below ``1 − threshold`` of the first one, else 0.

    At exactly ``1 − threshold`` it is non-response (PAPERS.md: "at or above it").

    Args:
        threshold: the loss of volume that counts as response, in (0, 1).
    """
    _check_threshold(threshold)
    volume_change(before_mm3, after_mm3)  # refuses impossible volumes
    # A product instead of the ratio, and a hair's breadth of room: 80 of 100 mm³ must not respond by rounding.
    return RESPONSE if after_mm3 < (1.0 - threshold) * before_mm3 * (1.0 - 1e-12) else NON_RESPONSE


def volume_sd(area_mm2: float, contouring_sd_mm: float = CONTOURING_SD_MM) -> float:
    """Standard deviation of a volume in mm³ when the whole outline errs outward or inward by ``contouring_sd_mm``."""
    return area_mm2 * contouring_sd_mm


def p_response(
    before_mm3: float,
    after_mm3: float,
    before_area_mm2: float,
    after_area_mm2: float,
    threshold: float = DEFAULT_THRESHOLD,
    contouring_sd_mm: float = CONTOURING_SD_MM,
) -> float:
    """Probability in [0, 1] that the true volumes mean response, given the measured ones and the contouring error.

    The sessions err independently; each log volume is normal with SD(V)/V (delta method), so the log ratio is normal
    around the measured one. A lesion that is gone at follow-up is a response for sure: no outline, no outline error.
    """
    _check_threshold(threshold)
    volume_change(before_mm3, after_mm3)
    if after_mm3 == 0:
        return 1.0
    relative = (
        volume_sd(before_area_mm2, contouring_sd_mm) / before_mm3,
        volume_sd(after_area_mm2, contouring_sd_mm) / after_mm3,
    )
    sd = math.hypot(*relative)
    distance = math.log1p(-threshold) - math.log(after_mm3 / before_mm3)
    if sd == 0:
        return float(response_label(before_mm3, after_mm3, threshold))
    return 0.5 * math.erfc(-distance / sd / math.sqrt(2.0))


def is_sure(probability: float, level: float = 0.9) -> bool:
    """Whether the lesion lies surely on one side: P(response) ≥ ``level`` or ≤ 1 − ``level``."""
    return probability >= level or probability <= 1.0 - level


def record_label(record: LesionRecord, threshold: float = DEFAULT_THRESHOLD) -> int:
    """The label of a lesion: its rating if it has one, else by its volumes."""
    if record.given_label is not None:
        return record.given_label
    return response_label(record.volumes[BASELINE], record.volumes[FOLLOW_UP], threshold)


def record_p_response(
    record: LesionRecord, threshold: float = DEFAULT_THRESHOLD, contouring_sd_mm: float = CONTOURING_SD_MM
) -> float | None:
    """:func:`p_response` of a lesion; ``None`` for one that was rated, not measured."""
    if record.given_label is not None:
        return None
    return p_response(
        record.volumes[BASELINE],
        record.volumes[FOLLOW_UP],
        record.areas[BASELINE],
        record.areas.get(FOLLOW_UP, 0.0),
        threshold,
        contouring_sd_mm,
    )


def _check_threshold(threshold: float) -> None:
    if not 0 < threshold < 1:
        raise ValueError(f"the response threshold is a fraction between 0 and 1 (0.2 = 20 % smaller), got {threshold}")
