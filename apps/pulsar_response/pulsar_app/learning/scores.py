"""What the served model said of each image's lesions, kept for the choice of the next sample."""

from __future__ import annotations

from pathlib import Path

from monailabel.interfaces.datastore import Datastore, DefaultLabelTag

from pulsar_app.jobs.records import Records


def label_state(datastore: Datastore, image_id: str) -> str:
    """What changes when another final label of the image is saved; empty without one."""
    if not datastore.get_label_by_image_id(image_id, DefaultLabelTag.FINAL):
        return ""
    return str(datastore.get_label_info(image_id, DefaultLabelTag.FINAL).get("ts", ""))


class LesionScores:
    """P(response) of an image's lesions, by image and model, shared by batch inference and active learning.

    Args:
        app_dir: the app's folder.
        model: SHA-256 of the weights.
    """

    def __init__(self, app_dir: Path, model: str) -> None:
        self._records = Records(Path(app_dir) / "model" / "scores" / f"{model[:12]}.jsonl")

    def all(self) -> dict[tuple[str, str], list[float]]:
        """P(response) of the lesions by image id and `label_state`."""
        return {(record["image"], record["state"]): record["p_response"] for record in self._records.read()}

    def put(self, image_id: str, state: str, p_response: list[float]) -> None:
        """Keep an image's."""
        self._records.add({"image": image_id, "state": state, "p_response": p_response})
