"""What stands between the network and MONAI Label: `secure` puts it there."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import FastAPI


def secure(app: FastAPI, study_of: Callable[[str], str] = str) -> None:
    """Guard an app, see :func:`pulsar_app.server.guard.secure`."""
    # Imported late: the guard's routes use the datastore, and the datastore raises this package's problems.
    from pulsar_app.server.guard import secure as install

    install(app, study_of)


__all__ = ["secure"]
