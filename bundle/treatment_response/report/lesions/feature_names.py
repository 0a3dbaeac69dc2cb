"""Features in words: ``gradient.margin_RAS.radial_gradient.mean`` → “margin (right anterior superior): …”."""

from __future__ import annotations

import re

GROUP_NAMES = {
    "size": "size",
    "clinical": "clinical",
    "gradient": "gradients",
    "radiomics": "radiomics",
    "dose": "dosiomics",
    "delta": "delta",
}
_KNOWN = {
    "size.volume": "volume at MRI 1",
    "size.volume_mri2": "volume at MRI 2",
    "size.change_to_mri2": "volume change to MRI 2",
    "clinical.prescription": "prescribed dose",
    "clinical.max_dose": "maximum dose",
    "clinical.gradient_index": "Gradient Index",
    "clinical.days_to_mri2": "days to MRI 2",
    "clinical.lesions_of_patient": "lesions of the patient",
}
_SIDES = {"R": "right", "L": "left", "A": "anterior", "P": "posterior", "S": "superior", "I": "inferior"}
_QUANTITIES = {"magnitude": "gradient magnitude", "radial_gradient": "radial gradient", "radial_deviation": "deviation"}
_STATISTICS = {"mean": "mean", "sd": "SD", "cv": "variation"}
_CLASSES = {"firstorder": "first order", "shape": "shape"}


def readable(feature: str) -> str:
    """A feature's name in words; a name of another form comes back as it is.

    Args:
        feature: as in the feature tables, perhaps with a session's prefix (``mri1.``).
    """
    if feature in _KNOWN:
        return _KNOWN[feature]
    group, _, rest = feature.partition(".")
    if group == "gradient" and rest.count(".") == 2:
        region, quantity, statistic = rest.split(".")
        return f"{_region(region)}: {_QUANTITIES.get(quantity, quantity)}, {_STATISTICS.get(statistic, statistic)}"
    if group in ("radiomics", "dose") and rest.count("_") >= 2:
        image, kind, name = rest.split("_", 2)
        of = "dose, " if group == "dose" else ""
        return f"{of}{_image(image)}: {_CLASSES.get(kind, kind.upper())} {words(name)}"
    if group == "delta":
        return f"change of {readable(rest)}"
    return readable(rest) + f" ({group})" if re.fullmatch(r"mri\d", group) else feature


def _region(region: str) -> str:
    name, _, octant = region.partition("_")
    return f"{name} ({' '.join(_SIDES.get(letter, letter) for letter in octant)})" if octant else name


def _image(image: str) -> str:
    sigma = re.fullmatch(r"log-sigma-(\d+)-(\d+)-mm-3D", image)
    if sigma:
        return f"LoG {sigma[1]}.{sigma[2]} mm"
    return image.replace("wavelet-", "wavelet ")


def words(name: str) -> str:
    """``LowGrayLevelZoneEmphasis`` → “low gray level zone emphasis”; abbreviations stay."""
    parts = re.findall(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+", name)
    return " ".join(part if part.isupper() and len(part) > 1 else part.lower() for part in parts)
