"""Models on tables of features: size, clinical, radiomics, gradients, dose and all together, for scikit-learn."""

from treatment_response.evaluation.classical.pipelines import METHODS, Method, build, chosen_features, describe, notes

__all__ = ["METHODS", "Method", "build", "chosen_features", "describe", "notes"]
