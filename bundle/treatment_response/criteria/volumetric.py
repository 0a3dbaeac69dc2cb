"""RANO 2.0 with volumes: 65 % less than at baseline is PR, 40 % more than at the nadir is PD.

Every voxel of the compartment counts, in lesions of any size: a mask has no reason to leave any out.
"""

from __future__ import annotations

from dataclasses import replace

from treatment_response.criteria import rano2

ENHANCING = replace(
    rano2.ENHANCING,
    name="RANO 2.0, volumes",
    measure="volume_mm3",
    words="the volume",
    unit="mm³",
    most_targets=None,
    response=0.65,
    progression=0.40,
)
NON_ENHANCING = replace(ENHANCING, name="RANO 2.0, volumes, non-enhancing", minor=0.40)
