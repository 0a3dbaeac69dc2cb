"""What stands between the network and MONAI Label: `secure` puts it there."""

from __future__ import annotations

from fastapi import FastAPI


def secure(app: FastAPI) -> None:
    """Guard an app, see :func:`pulsar_app.server.guard.secure`."""
    # Imported late: the guard's routes use the datastore, and the datastore raises this package's problems.
    from pulsar_app.server.guard import secure as install

    install(app)


__all__ = ["secure"]
