"""Where the files of a case lie in the prepared data set."""

from __future__ import annotations

_SESSION = "ses-event"


def image_path(subject: str, name: str) -> str:
    """Path of one of a case's images (`settings.IMAGES`) relative to the data set."""
    stem = f"{subject}_{_SESSION}"
    return {
        "event": f"{subject}/{_SESSION}/anat/{stem}_ce-gadolinium_T1w.nii.gz",
        "post_operative": f"derivatives/registered/{subject}/{stem}_desc-postoperative_T1w.nii.gz",
        "dose": f"derivatives/dose/{subject}/{stem}_dose.nii.gz",
        "brain": f"derivatives/brain/{subject}/{stem}_desc-brain_mask.nii.gz",
    }[name]


def lesion_path(subject: str) -> str:
    """Path of the lesion's mask."""
    return f"derivatives/masks/{subject}/{subject}_{_SESSION}_label-lesion_mask.nii.gz"


def picture_path(subject: str) -> str:
    """Path of the picture that shows whether the case is right."""
    return f"quality/{subject}.png"


def record_path(subject: str) -> str:
    """Path of what is known of the preparation: whether the same files need to be prepared again."""
    return f"derivatives/preparation/{subject}.json"
