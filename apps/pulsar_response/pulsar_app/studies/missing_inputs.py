"""Which models the studies of a PACS lack inputs for, kept while their patients' series stay the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path

from treatment_response.inference.declared_inputs import DeclaredInput
from treatment_response.problems import DataProblem, Problem

from pulsar_app.server.problems import NotFound, Unavailable
from pulsar_app.studies.inputs import LOOKS
from pulsar_app.studies.pacs import Recent
from pulsar_app.studies.pacs_datastore import PacsDatastore
from pulsar_app.studies.search import Search

_MOST_STUDIES = 256
_SECONDS = 600.0
"""How long an answer is good where no series has come or gone: an object may have been corrected in its place."""
_OPENING = "opening the image"


@dataclass(frozen=True)
class _Looks:
    """What was looked for in a study.

    Attributes:
        images: that its models are asked for.
        problems: image and finder → why it finds nothing; empty if it does.
    """

    images: tuple[str, ...]
    problems: dict[tuple[str, str], tuple[Problem, ...]] = field(default_factory=dict)

    def once(self, image_id: str, finder: str, look: Callable[[], object]) -> tuple[Problem, ...]:
        """The problems of a look, which is taken unless it was before."""
        key = (image_id, finder)
        if key not in self.problems:
            try:
                look()
                self.problems[key] = ()
            except (NotFound, Unavailable) as problem:  # of the moment
                return problem.problems
            except DataProblem as problem:
                self.problems[key] = problem.problems
        return self.problems[key]


class MissingInputs:
    """Tells quickly which inputs of models a study lacks. Models share what is looked for, and nothing is registered.

    Args:
        registrations: folder for them, as of `Search`.
    """

    def __init__(self, registrations: Path) -> None:
        self._registrations = registrations
        self._looks: Recent[_Looks] = Recent(_MOST_STUDIES, seconds=_SECONDS)

    def of_study(
        self, datastore: PacsDatastore, study_uid: str, models: Mapping[str, Mapping[str, DeclaredInput]]
    ) -> dict[str, str]:
        """Why no image of a study could be answered for, by model; empty if one could, as far as is quickly told.

        Args:
            datastore: of the PACS.
            models: the inputs that each declares.

        Returns:
            Model → one sentence for each missing input of the image that lacks least. Without a model where the study
            has no image.

        Raises:
            Unavailable: the PACS does not answer.
        """
        key = (study_uid, datastore.series_of_patient(study_uid))
        looks = self._looks.get(key, lambda: _Looks(tuple(datastore.images_of_study(study_uid))))

        @cache
        def search(image_id: str) -> Search:
            return Search(datastore, datastore.open_image(image_id), self._registrations)

        def missing(image_id: str, inputs: Mapping[str, DeclaredInput]) -> list[Problem]:
            if unreadable := looks.once(image_id, _OPENING, lambda: search(image_id)):
                return list(unreadable)
            return [
                Problem(f"input '{name}'", f"{one.where}: {one.what}", one.remedy)
                for name, wanted in inputs.items()
                if wanted.find in LOOKS
                for one in looks.once(image_id, wanted.find, partial(_look, search, image_id, wanted.find))
            ]

        if not looks.images:
            return {}
        fewest = {
            model: min((missing(image_id, inputs) for image_id in looks.images), key=len)
            for model, inputs in models.items()
        }
        return {model: " ".join(map(str, problems)) for model, problems in fewest.items()}


def _look(search: Callable[[str], Search], image_id: str, finder: str) -> None:
    LOOKS[finder](search(image_id))
