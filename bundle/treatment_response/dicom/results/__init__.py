"""What the model says of an MR series, as DICOM objects."""
