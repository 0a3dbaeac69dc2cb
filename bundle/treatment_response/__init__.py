"""Predict the response of brain tumours to radiotherapy from MRI, and show where the prediction comes from."""

__version__ = "0.1.0"
