"""Trials, comparisons of methods, and scores of explanations over a cohort."""

import logging
import warnings

# MONAI tells twice that an optional GPU decoder of DICOM is absent, whatever the files are; nothing here reads DICOM.
logging.getLogger("monai.data.nvimgcodec_pydicom_plugin").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", message="NvImgCodecPydicomReader")
