"""The input side as DICOM: series, structure sets, dose and plans, as a scanner and a planning system write them.

They serve the synthetic cohort and the tests of the readers. What is known of an object is given by the caller, UIDs
too, so the same call writes the same bytes.
"""

from treatment_response.dicom.write.dose import write_dose
from treatment_response.dicom.write.enhanced import write_enhanced_series
from treatment_response.dicom.write.identity import Equipment, PatientIds, StudyIds, WrittenInstance, WrittenSeries
from treatment_response.dicom.write.pixels import TransferSyntax
from treatment_response.dicom.write.plan import write_plan
from treatment_response.dicom.write.series import write_series
from treatment_response.dicom.write.structures import write_structure_set

__all__ = [
    "Equipment",
    "PatientIds",
    "StudyIds",
    "TransferSyntax",
    "WrittenInstance",
    "WrittenSeries",
    "write_dose",
    "write_enhanced_series",
    "write_plan",
    "write_series",
    "write_structure_set",
]
