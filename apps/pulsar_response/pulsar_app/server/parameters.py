"""Parameters that come as JSON: an object, and nothing in it that says which file, model or label is meant."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from treatment_response.problems import DataProblem, Problem

# MONAI Label merges the parameters over its own request; these parts of it are the server's to fill in.
RESERVED = frozenset(
    {"bundle_path", "datastore", "description", "file", "image", "image_id", "images", "label", "label_tag", "method"}
    | {"path", "result_path", "result_write_to_file", "save_label", "session", "strategy", "_id", "_image_id"}
)
_MOST_LEVELS = 16
_LARGEST = 1e300


def json_object(text: str, what: str) -> dict[str, Any]:
    """A JSON object from its text; an empty text is an empty object.

    Args:
        text: what the client sent.
        what: name of the field, for the message.

    Raises:
        DataProblem: it is not JSON, or not an object.
    """
    try:
        found = json.loads(text, parse_constant=_no_number) if text.strip() else {}
    except (ValueError, RecursionError) as error:
        raise DataProblem(Problem("request", f"{what} is not valid JSON", f"send {what} as a JSON object")) from error
    if not isinstance(found, dict):
        raise DataProblem(Problem("request", f"{what} is not a JSON object", 'send something like {"bands": 5}'))
    return plain(found, what)


def plain(found: dict[str, Any], what: str = "the body") -> dict[str, Any]:
    """The object itself, if it can be worked on and answered: JSON allows more than what can be.

    Args:
        found: JSON as Python reads it.
        what: name of the field, for the message.

    Raises:
        DataProblem: lists in lists without end, half of a surrogate pair (no file or answer could hold it), or a number
            that is none or too large.
    """
    level: list[Any] = [found]
    for _ in range(_MOST_LEVELS):
        if any(_odd(value) for value in level):
            raise DataProblem(Problem("request", f"{what} holds a text or number that is none", "send plain values"))
        level = [part for value in level for part in _parts(value)]
    if level:
        raise DataProblem(Problem("request", f"{what} is nested too deeply", "send plain values"))
    return found


def _odd(value: Any) -> bool:
    if isinstance(value, str):
        return any("\ud800" <= letter <= "\udfff" for letter in value)
    return isinstance(value, int | float) and not abs(value) < _LARGEST


def _parts(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [*value, *value.values()]
    return value if isinstance(value, list) else []


def without_identity(params: Mapping[str, Any], **fixed: str) -> dict[str, Any]:
    """The parameters without those that repeat what the address already says.

    Args:
        params: what the client sent.
        fixed: values that the address fixes; a parameter of that name must be the same, or is refused.

    Raises:
        DataProblem: a parameter would change which file, model or label the request is about.
    """
    wrong = [key for key in params if key in RESERVED - fixed.keys()]
    wrong += [key for key, value in fixed.items() if key in params and params[key] != value]
    if wrong:
        raise DataProblem(
            Problem(
                "request",
                f"the parameters cannot set {', '.join(sorted(wrong))}",
                "name image, model and label in the address or as files of the request",
            )
        )
    return {key: value for key, value in params.items() if key not in fixed}


def refuse_paths(params: Mapping[str, Any]) -> None:
    """Refuse texts that could be read as a path, at any depth.

    Raises:
        DataProblem: a text holds a slash, a backslash, a null byte, or begins with a dot.
    """
    for key, value in params.items():
        if any(_like_a_path(text) for text in _texts(value)):
            raise DataProblem(
                Problem("request", f"the parameter {str(key)[:40]!r} holds a path", "send names and numbers only")
            )


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return [text for key, part in value.items() for text in (str(key), *_texts(part))]
    if isinstance(value, list):
        return [text for part in value for text in _texts(part)]
    return []


def _like_a_path(text: str) -> bool:
    return text.startswith((".", "~")) or any(mark in text for mark in "/\\\0")


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is not JSON")
