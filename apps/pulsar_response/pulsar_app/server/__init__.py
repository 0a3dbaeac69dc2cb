"""What stands between the network and MONAI Label: `secure` puts it there."""

from pulsar_app.server.guard import secure

__all__ = ["secure"]
