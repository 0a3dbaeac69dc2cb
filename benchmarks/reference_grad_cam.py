"""Load pytorch-grad-cam beside a CPU-only torch, as a reference in tests and benchmarks only.

It imports torchvision at top level, for image loading and detection boxes that no class activation map calls, and
torchvision's wheel does not import beside a CPU-only torch.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from unittest.mock import MagicMock


def _empty_module(name: str) -> ModuleType:
    module = ModuleType(name)

    def attribute(wanted: str) -> MagicMock:
        if wanted.startswith("__"):
            raise AttributeError(wanted)
        return MagicMock(name=f"{name}.{wanted}")

    module.__getattr__ = attribute  # type: ignore[method-assign]
    return module


def load() -> ModuleType:
    """The package ``pytorch_grad_cam``; the stub it is loaded behind is gone again afterwards."""
    if "pytorch_grad_cam" in sys.modules:
        return sys.modules["pytorch_grad_cam"]
    stubs = ("torchvision", "torchvision.transforms", "torchvision.transforms.functional", "torchvision.ops")
    missing = [name for name in stubs if name not in sys.modules]
    sys.modules.update({name: _empty_module(name) for name in missing})
    try:
        return importlib.import_module("pytorch_grad_cam")
    finally:
        for name in missing:
            del sys.modules[name]
