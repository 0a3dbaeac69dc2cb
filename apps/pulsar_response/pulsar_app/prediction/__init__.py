"""From a request to a label map, a JSON and, if asked for, DICOM objects."""
