"""From a hospital's DICOM folder to patients that `cohort` can prepare."""

from treatment_response.dicom.ingest.brain_tr import ingest_brain_tr
from treatment_response.dicom.ingest.folder import ingest_folder
from treatment_response.dicom.ingest.settings import IngestSettings

__all__ = ["IngestSettings", "ingest_brain_tr", "ingest_folder"]
