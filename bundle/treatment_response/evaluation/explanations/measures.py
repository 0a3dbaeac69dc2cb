"""The measures of an explanation: what each one is called, which way is better, what chance is and who proposed it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from treatment_response.features.gradients import QUANTITIES
from treatment_response.metrics.intervals import CORRELATION, SHARE, UNLIMITED, Scale

HIGHER, LOWER, NEITHER = "higher", "lower", ""


@dataclass(frozen=True)
class ExplanationMeasure:
    """A score of a map, one value per lesion.

    Attributes:
        id: what ``scores.csv`` calls it. group: the question that it answers.
        better: ``higher``, ``lower``, or empty where neither is better.
        chance: what a map without information has; None where that depends on the lesions (then see the random map).
        about: one sentence for readers. source: who proposed it.
        scale: where a value lies, which decides how the mean's interval is made.
        title: what readers see; empty: the id with spaces.
    """

    id: str
    group: str
    better: str
    chance: float | None
    about: str
    source: str
    scale: Scale
    title: str = ""

    @property
    def shown(self) -> str:
        """What tables and axes call it."""
        return self.title or self.id.replace("_", " ")


LOCALISATION = (
    ExplanationMeasure(
        "auc",
        "localisation",
        HIGHER,
        0.5,
        "Probability that a cell of the planted niche has a higher value than another cell of the lesion.",
        "area under the ROC curve over cells",
        SHARE,
        "AUC over cells",
    ),
    ExplanationMeasure(
        "pointing",
        "localisation",
        HIGHER,
        None,
        "Niche share of the map's highest cell; chance is the niche share of the lesion.",
        "Zhang et al. 2016, pointing game",
        SHARE,
        "pointing game",
    ),
    ExplanationMeasure(
        "dice",
        "localisation",
        HIGHER,
        None,
        "Dice of the niche with as many of the highest cells as the niche has area; chance is its share of the lesion.",
        "Dice 1945",
        SHARE,
        "Dice",
    ),
    ExplanationMeasure(
        "empty",
        "localisation",
        NEITHER,
        None,
        "Share of lesions whose map is zero everywhere (no evidence).",
        "",
        SHARE,
        "empty maps",
    ),
)
FAITHFULNESS = (
    ExplanationMeasure(
        "deletion",
        "faithfulness",
        HIGHER,
        0.0,
        "How much faster the class's logit falls than in random order when the map's highest cells are replaced by the "
        "lesion's mean first, in SDs over random removals.",
        "after Petsiuk et al. 2018, RISE",
        UNLIMITED,
        "deletion gain (SDs)",
    ),
    ExplanationMeasure(
        "insertion",
        "faithfulness",
        HIGHER,
        0.0,
        "How much faster the class's logit rises than in random order when the map's highest cells are put into a flat "
        "lesion first, in SDs over random removals.",
        "after Petsiuk et al. 2018, RISE",
        UNLIMITED,
        "insertion gain (SDs)",
    ),
    ExplanationMeasure(
        "removal_agreement",
        "faithfulness",
        HIGHER,
        0.0,
        "Spearman's correlation of the map with the fall of the class's logit when one cell alone is removed.",
        "occlusion, Zeiler and Fergus 2014",
        CORRELATION,
    ),
    ExplanationMeasure(
        "code_agreement",
        "faithfulness",
        HIGHER,
        0.0,
        "Spearman's correlation of the map with the fall of the class's logit when one cell's code alone is set to 0.",
        "after Zeiler and Fergus 2014",
        CORRELATION,
    ),
)
STABILITY = (
    ExplanationMeasure(
        "shift_agreement",
        "stability",
        HIGHER,
        0.0,
        "Spearman's correlation of the map with that of the lesion moved by 1 to 3 pixels, moved back.",
        "after Alvarez-Melis and Jaakkola 2018",
        CORRELATION,
    ),
    ExplanationMeasure(
        "noise_agreement",
        "stability",
        HIGHER,
        0.0,
        "Spearman's correlation of the map with that of the image plus noise of a tenth of the lesion's SD.",
        "after Yeh et al. 2019",
        CORRELATION,
    ),
    ExplanationMeasure(
        "noise_sensitivity",
        "stability",
        LOWER,
        None,
        "Largest relative change of the map under noise of a tenth of the lesion's SD; empty maps are left out.",
        "Yeh et al. 2019, max-sensitivity",
        UNLIMITED,
    ),
    ExplanationMeasure(
        "retrained_agreement",
        "stability",
        HIGHER,
        0.0,
        "Spearman's correlation of the map with those of other networks that have not seen the lesion either.",
        "after Kindermans et al. 2019",
        CORRELATION,
    ),
)


def part_measure(name: str, outside: bool = False) -> ExplanationMeasure:
    """Whether a map is higher in a part of the input than elsewhere in the region.

    Args:
        name: of the part.
        outside: the part is what a map should not point at.
    """
    return ExplanationMeasure(
        f"in_{_in_ids(name)}",
        "place",
        LOWER if outside else HIGHER,
        0.5,
        f"Probability that a voxel of the part '{name}' has a higher value than another voxel of the region; cases "
        "without such a part are left out. A map may point there because the image is bright there: see the controls.",
        "area under the ROC curve over voxels",
        SHARE,
        f"higher in: {name}",
    )


def share_measure(name: str) -> ExplanationMeasure:
    """Which share of a map lies in a part of the input.

    Args:
        name: of the part.
    """
    return ExplanationMeasure(
        f"share_{_in_ids(name)}",
        "place",
        NEITHER,
        None,
        f"Share of the map's sum over the region that lies in the part '{name}'; chance is the part's share of the "
        "region (see the random map); empty maps and cases without such a part are left out.",
        "",
        SHARE,
        f"share in: {name}",
    )


def _in_ids(name: str) -> str:
    """A part's name as ids of measures have it."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower())


def randomisation_measure(position: int, modules: Sequence[str]) -> ExplanationMeasure:
    """The measure after the first modules from the head down were initialised again.

    Args:
        position: how many. modules: all of them, from the head down.
    """
    replaced = ", ".join(modules[:position]) if position < len(modules) else "every module"
    return ExplanationMeasure(
        f"randomised_{position}",
        "randomisation",
        LOWER,
        0.0,
        f"Spearman's correlation of the map with itself after {replaced} lost its training; a map that stays the same "
        "(near 1) does not show what was learned; empty maps are left out.",
        "Adebayo et al. 2018",
        CORRELATION,
        f"randomised down to {modules[position - 1]}",
    )


def _feature_measures(quantity: str) -> tuple[ExplanationMeasure, ...]:
    words = quantity.replace("_", " ") if quantity != "magnitude" else "gradient magnitude"
    source = "Zhang et al. 2025 (features)"
    return (
        ExplanationMeasure(
            f"{quantity}_rho",
            "gradient features",
            NEITHER,
            0.0,
            f"Spearman's correlation over the lesion's cells of the map with the {words}.",
            source,
            CORRELATION,
            f"correlation with {words}",
        ),
        ExplanationMeasure(
            f"{quantity}_z",
            "gradient features",
            NEITHER,
            0.0,
            f"Correlation with the {words} beyond their depth, in SDs from that of the same map turned and mirrored.",
            source,
            UNLIMITED,
            f"{words}: SDs from chance",
        ),
        ExplanationMeasure(
            f"{quantity}_p05",
            "gradient features",
            NEITHER,
            0.05,
            f"Share of lesions whose correlation with the {words} beyond their depth has p ≤ 0.05 against turned maps.",
            source,
            SHARE,
            f"{words}: share with p ≤ 0.05",
        ),
        ExplanationMeasure(
            f"{quantity}_z_shifted",
            "gradient features",
            NEITHER,
            0.0,
            f"Correlation with the {words} in SDs from that of the same map shifted; a common trend from rim to centre "
            "counts here.",
            source,
            UNLIMITED,
            f"{words}: SDs from shifted maps",
        ),
    )


GRADIENT_FEATURES = tuple(measure for quantity in QUANTITIES for measure in _feature_measures(quantity))
FIXED = {
    measure.id: measure for group in (LOCALISATION, FAITHFULNESS, STABILITY, GRADIENT_FEATURES) for measure in group
}
"""All measures whose list does not depend on the network."""
ANY_REGION = tuple(
    replace(measure, about=measure.about.replace("seen the lesion", "seen the case").replace("lesion", "region"))
    for measure in (*FAITHFULNESS, *STABILITY)
    if measure.id != "code_agreement"
)
"""The measures of any explanation over any region, in words for it: they need neither codes nor a planted truth."""
