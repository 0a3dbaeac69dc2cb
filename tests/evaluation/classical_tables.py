"""Feature tables with a known answer."""

from __future__ import annotations

import numpy as np
import pandas as pd

NOISE = tuple(f"radiomics.original_firstorder_F{i:03d}" for i in range(300))


def table(lesions: int = 69, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """300 radiomic columns of noise, some gradient, dose, size and clinical ones; two lesions per patient; labels."""
    rng = np.random.default_rng(seed)
    names = [
        *NOISE,
        *(f"gradient.core.magnitude.g{i}" for i in range(20)),
        *(f"dose.original_firstorder_D{i}" for i in range(20)),
        *(f"delta.gradient.core.magnitude.g{i}" for i in range(5)),
        "size.volume",
        "size.volume_mri2",
        "clinical.prescription",
        "clinical.days_to_mri2",
    ]
    subjects = [f"sub-{i // 2:03d}" for i in range(lesions)]
    index = pd.MultiIndex.from_arrays([subjects, [f"L{i % 2}" for i in range(lesions)]], names=["subject", "lesion"])
    frame = pd.DataFrame(rng.normal(size=(lesions, len(names))), index=index, columns=names)
    return frame, rng.permutation(np.arange(lesions) % 2)


def halves(frame: pd.DataFrame, seed: int = 0, share: float = 0.7) -> tuple[np.ndarray, np.ndarray]:
    """Positions of training and test lesions, split by patient."""
    subjects = frame.index.get_level_values("subject")
    order = np.random.default_rng(seed).permutation(subjects.unique())
    train = subjects.isin(order[: int(share * len(order))])
    return np.flatnonzero(train), np.flatnonzero(~train)
