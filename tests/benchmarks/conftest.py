"""The benchmarks' packages are imported as their own commands import them."""

from __future__ import annotations

import sys
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
# Last, so that a benchmark's name (coverage, server) does not stand for a library's.
sys.path.append(str(BENCHMARKS))
