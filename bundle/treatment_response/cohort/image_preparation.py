"""How the images of a data set of pairs were put on an atlas; a server prepares a study in the same way."""

from __future__ import annotations

from treatment_response.text_enum import TextEnum


class ImagePreparation(TextEnum):
    """The entry ``preparation`` of ``dataset.json``, and of ``training_data`` in ``model.json``."""

    BRAIN = "brains on MNI152, rigidly"
    """LUMIERE's own atlas images, and what stands nearest to them."""
    HEAD = "heads on MNI152, affinely, N4, denoised"
    """As the authors of the RANO study, see `treatment_response.cases.atlas_images`."""
    HEAD_ON_OTHER = "heads on another atlas, affinely, N4, denoised"
