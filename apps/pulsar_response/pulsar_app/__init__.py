"""The MONAI Label app of the PULSAR model: prediction and class activation maps for OHIF and 3D Slicer."""
