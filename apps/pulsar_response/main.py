"""What MONAI Label loads: `python -m monailabel.main start_server --app apps/pulsar_response --studies …`."""

from pulsar_app.app import PulsarResponse

__all__ = ["PulsarResponse"]
