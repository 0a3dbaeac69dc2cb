"""A case without one of its images is refused by the image's name."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from monai.config import KeysCollection
from monai.transforms import MapTransform

from treatment_response.problems import DataProblem, Problem
from treatment_response.transforms.refuse_constant import case_name


class RequireImagesd(MapTransform):
    """Refuse a case that lacks images that the network takes; run before they are loaded.

    Args:
        keys: names of the images.

    Raises:
        DataProblem: with the names of all that are missing.
    """

    def __init__(self, keys: KeysCollection) -> None:
        super().__init__(keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        if missing := [str(key) for key in self.keys if key not in data]:
            what = f"it has no image {', '.join(missing)}"
            raise DataProblem(Problem(case_name(data), what, "bring it, or use a network of other images"))
        return dict(data)
