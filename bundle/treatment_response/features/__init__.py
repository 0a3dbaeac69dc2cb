"""What is measured of a lesion: gradients, radiomics, dose, change between sessions, clinical variables."""

from treatment_response.features.table import Feature, FeatureTable, Known, known_at

__all__ = ["Feature", "FeatureTable", "Known", "known_at"]
