"""Images that show nothing are refused before they are scaled."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from treatment_response.problems import DataProblem, Problem


class RefuseConstantd(MapTransform):
    """Refuse images that have one value everywhere, or everywhere inside a mask; scaling would make zeros of them.

    Args:
        keys: items that are looked at, each ``(C, *grid)``; they stay as they are.
        mask_key: item ``(1, *grid)`` on their grid, above 0 inside; None looks at the whole images.
        allow_missing_keys: do not raise when a key is absent.

    Raises:
        DataProblem: an image is constant there, or the mask is empty.
    """

    def __init__(self, keys: KeysCollection, mask_key: str | None = None, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.mask_key = mask_key

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        inside = None if self.mask_key is None else torch.as_tensor(data[self.mask_key])[0] > 0
        if inside is not None and not bool(inside.any()):
            what = f"'{self.mask_key}' has no voxel in it"
            raise DataProblem(Problem(case_name(data), what, "check the mask, or leave the case out"))
        for key in self.key_iterator(dict(data)):
            values = torch.as_tensor(data[key])
            values = values if inside is None else values[:, inside]
            if float(values.min()) == float(values.max()):
                place = "" if inside is None else f" inside '{self.mask_key}'"
                what = f"'{key}' has the value {float(values.min()):g} everywhere{place}"
                raise DataProblem(Problem(case_name(data), what, "check its export, or leave the case out"))
        return dict(data)


def case_name(data: Mapping[Hashable, object]) -> str:
    """What to call a case in problems."""
    parts = [str(data[key]) for key in ("subject", "case", "session") if data.get(key)]
    return " ".join(parts) or "image"
