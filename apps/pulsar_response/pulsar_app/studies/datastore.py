"""The datastore of ``--studies``: MONAI Label's, with safe ids, this package's DICOM reader and no patient names."""

from __future__ import annotations

from pathlib import Path

from dicomweb_client.session_utils import create_session_from_user_pass
from monailabel.config import settings
from monailabel.datastore.dicom import DICOMwebClientX

from pulsar_app.studies.folder_datastore import FolderDatastore
from pulsar_app.studies.pacs_datastore import PacsDatastore

__all__ = ["FolderDatastore", "PacsDatastore", "open_datastore"]


def open_datastore(studies: str) -> PacsDatastore | FolderDatastore:
    """The datastore of ``--studies``, with MONAI Label's settings (login, prefixes, cache folder).

    Args:
        studies: a DICOMweb URL or a folder.

    Raises:
        DataProblem: the folder does not exist, cannot be written, or its index is damaged.
    """
    if not studies.startswith(("http://", "https://")):
        return FolderDatastore(Path(studies))
    user, password = settings.MONAI_LABEL_DICOMWEB_USERNAME, settings.MONAI_LABEL_DICOMWEB_PASSWORD
    client = DICOMwebClientX(
        url=studies.strip().rstrip("/"),
        session=create_session_from_user_pass(user, password) if user and password else None,
        qido_url_prefix=settings.MONAI_LABEL_QIDO_PREFIX,
        wado_url_prefix=settings.MONAI_LABEL_WADO_PREFIX,
        stow_url_prefix=settings.MONAI_LABEL_STOW_PREFIX,
    )
    cache = (settings.MONAI_LABEL_DICOMWEB_CACHE_PATH or "").strip()
    default = type(settings).model_fields["MONAI_LABEL_DICOMWEB_SEARCH_FILTER"].default
    given = settings.MONAI_LABEL_DICOMWEB_SEARCH_FILTER
    # MONAI Label's default is CT, which no model of this app can use.
    return PacsDatastore(client, {"Modality": "MR"} if given == default else given, Path(cache) if cache else None)
