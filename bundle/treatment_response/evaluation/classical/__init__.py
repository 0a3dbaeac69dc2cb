"""Models on tables of features: size, clinical, radiomics, gradients, dose and all together, for scikit-learn."""

from treatment_response.evaluation.classical.pipelines import (
    FEATURE_MODELS,
    FeatureModel,
    build,
    chosen_features,
    describe,
    notes,
)

__all__ = ["FEATURE_MODELS", "FeatureModel", "build", "chosen_features", "describe", "notes"]
