"""From a patient's studies over time to one prepared case: registration, dose, brain, lesion, numbers, pictures."""
