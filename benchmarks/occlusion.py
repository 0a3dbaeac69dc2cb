"""How much quicker occlusion is that recomputes only what a cube changes, against MONAI's, in the same run.

The network has random weights, the image is noise; neither changes the time. Every cube of the image is hidden by
`treatment_response/explain/occlusion.py`, then again only those inside an ellipsoid of a third of the volume (a brain).
MONAI's `OcclusionSensitivity` takes one forward pass per cube, so it is timed on a sample of the same cubes and scaled
to all of them. The bound is arithmetic: multiply-adds of full passes over those of all changed cells. It can be beaten,
because a convolution of a difference skips the zeros around it. Ratios are of the process's processor time with one
thread (a busy machine then changes little), of wall time with more.

    .venv/bin/python benchmarks/occlusion.py --size 64 --cube 8                   # ResNet-18, stem stride 1
    .venv/bin/python benchmarks/occlusion.py --size 128 --cube 16 --stem-stride 2
    .venv/bin/python benchmarks/occlusion.py --network DenseNet121 --size 64 --cube 8

Exits with status 1 if a ResNet misses 65 % of the bound, 8 times MONAI inside the ellipsoid or, in single or double
precision, an error of 1e-5. The defaults are small and quick, and too small for the first two.
"""

from __future__ import annotations

import argparse
import copy
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import monai.networks.nets
import numpy as np
import torch
from monai.visualize import OcclusionSensitivity
from treatment_response.explain.occlusion import OccludedNetwork, cubes_inside

LEAST_SHARE_OF_BOUND, LEAST_TIMES_IN_REGION, LARGEST_ERROR = 0.65, 8.0, 1e-5
JUDGED_FROM = 64
"""Voxels along a side; smaller images do not say anything about speed."""
TYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32, "float64": torch.float64}


@dataclass
class Timed:
    """What a call gave, and its seconds."""

    result: torch.Tensor
    seconds: float
    wall: float


def timed(call: Callable[[], torch.Tensor], processor_time: bool) -> Timed:
    wall, processor = time.perf_counter(), time.process_time()
    result = call()
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    return Timed(result, processor if processor_time else wall, wall)


def build(arguments: argparse.Namespace) -> torch.nn.Module:
    name = arguments.network
    if name.startswith("resnet"):
        options = {"n_input_channels": arguments.channels, "num_classes": 2, "conv1_t_stride": arguments.stem_stride}
        return getattr(monai.networks.nets, name)(spatial_dims=3, **options)
    return getattr(monai.networks.nets, name)(spatial_dims=3, in_channels=arguments.channels, out_channels=2)


def brain(size: int) -> torch.Tensor:
    """An ellipsoid of at most a third of the volume, ``(size, size, size)`` bool."""
    places = (torch.arange(size) + 0.5) / size - 0.5
    squares = [(places / half) ** 2 for half in (0.37, 0.46, 0.46)]
    return squares[0][:, None, None] + squares[1][:, None] + squares[2] <= 1


def sampled(size: int, cube: int, sample: int) -> tuple[np.ndarray, list[int]]:
    """A row of cubes through the image's middle, and the bounding box that makes MONAI take exactly these."""
    count = min(sample, size // cube)
    first = [size // cube // 2 * cube, size // cube // 2 * cube, (size // cube - count) // 2 * cube]
    sides = [cube, cube, count * cube]
    edge = (cube - 1) // 2
    box = [side for low, length in zip(first, sides, strict=True) for side in (low + edge, low + length - edge)]
    return np.array([[first[0], first[1], first[2] + place * cube] for place in range(count)]), box


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", default="resnet18", help="a 3D ResNet or DenseNet of MONAI")
    parser.add_argument("--size", type=int, default=32, help="voxels along each side of the image")
    parser.add_argument("--cube", type=int, default=8, help="side of the cube; cubes touch")
    parser.add_argument("--stem-stride", type=int, default=1, help="of a ResNet")
    parser.add_argument("--channels", type=int, default=3)
    parser.add_argument("--dtype", choices=TYPES, default="float32")
    parser.add_argument("--sample", type=int, default=4, help="cubes that MONAI is timed on, in a row")
    parser.add_argument("--batch", type=int, default=4, help="MONAI's cubes per batch")
    parser.add_argument("--memory", type=float, default=1.0, help="GiB for what is computed at once")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    size, cube, dtype = arguments.size, arguments.cube, TYPES[arguments.dtype]
    network = build(arguments).to(dtype).eval()
    x = torch.randn(1, arguments.channels, size, size, size, dtype=dtype)
    cubes, ones = (cube,) * 3, arguments.threads == 1
    everywhere = cubes_inside((size,) * 3, cubes, cubes)
    inside = cubes_inside((size,) * 3, cubes, cubes, brain(size))
    sample, box = sampled(size, cube, arguments.sample)
    monai_way = OcclusionSensitivity(
        network, mask_size=cube, n_batch=arguments.batch, mode=0.0, overlap=0.0, activate=False, verbose=False
    )

    def by_monai() -> torch.Tensor:
        with torch.no_grad():
            maps, _ = monai_way(x, box)
        return maps[0, :, 0, 0, ::cube].as_subclass(torch.Tensor).T[: len(sample)]

    last = copy.deepcopy(network).to(memory_format=torch.channels_last_3d)

    def passes() -> torch.Tensor:
        with torch.no_grad():
            return last(x.repeat(arguments.batch, 1, 1, 1, 1).contiguous(memory_format=torch.channels_last_3d))

    start = peak_mb()
    made = timed(lambda: OccludedNetwork(network, x, 0.0, int(arguments.memory * 2**30)).answer, ones)
    occluded = OccludedNetwork(network, x, 0.0, int(arguments.memory * 2**30))
    occluded.answers(sample[:1], cubes)  # the first call checks itself against a plain pass
    monai_before = timed(by_monai, ones)
    with_monai = peak_mb()
    ours = timed(lambda: occluded.answers(everywhere, cubes), ones)
    in_brain = timed(lambda: occluded.answers(inside, cubes), ones)
    at_sample = occluded.answers(sample, cubes)
    monai_after = timed(by_monai, ones)
    plain = min(timed(passes, ones).seconds for _ in range(2)) / arguments.batch
    peak = peak_mb()

    per_pass = min(monai_before.seconds, monai_after.seconds) / len(sample)
    error = float((at_sample - monai_after.result).abs().max())
    largest = float((at_sample - occluded.answer).abs().max())
    work = occluded.work(everywhere, cubes)
    times, times_in_brain = per_pass * len(everywhere) / ours.seconds, per_pass * len(everywhere) / in_brain.seconds
    kind = "processor" if ones else "wall"
    of_bound = min(times, plain * len(everywhere) / ours.seconds) / work.bound
    lines = [
        f"{arguments.network}, {size}³, {arguments.channels} channels, {arguments.dtype}, cubes of {cube}³ that touch,",
        f"torch {torch.__version__}, {arguments.threads} threads, seconds of {kind} time (wall time in brackets):",
        f"  {made.seconds:9.2f} ({made.wall:.2f})  trace the network and keep the image's activations",
        f"  {ours.seconds:9.2f} ({ours.wall:.2f})  ours, all {len(everywhere)} cubes",
        f"  {in_brain.seconds:9.2f} ({in_brain.wall:.2f})  ours, the {len(inside)} cubes in the ellipsoid, "
        f"which is {brain(size).float().mean():.0%} of the volume",
        f"  {per_pass:9.3f} a cube  MONAI's OcclusionSensitivity, on {len(sample)} cubes, the better of two runs",
        f"  {plain:9.3f} a cube  a forward pass in channels-last layout, which MONAI's does not use",
        f"  {work.full / 1e12:.3g} T multiply-adds of full passes, {work.cones / 1e12:.3g} T of changed cells: "
        f"bound {work.bound:.2f}",
        f"  {times:.2f} times faster than MONAI, {times_in_brain:.1f} times inside the ellipsoid",
        f"  {of_bound:.0%} of the bound, against the quicker of the two kinds of pass",
        f"  error {error:.1e} of changes up to {largest:.1e}",
        f"  peak {start:.0f} MB at the start, {with_monai:.0f} with MONAI's, {peak:.0f} in all",
    ]
    print("\n".join(lines))
    failed = [
        dtype != torch.bfloat16 and error > LARGEST_ERROR,
        arguments.network.startswith("resnet") and size >= JUDGED_FROM and of_bound < LEAST_SHARE_OF_BOUND,
        arguments.network.startswith("resnet") and size >= JUDGED_FROM and times_in_brain < LEAST_TIMES_IN_REGION,
    ]
    print("FAIL" if any(failed) else "pass")
    return 1 if any(failed) else 0


if __name__ == "__main__":
    sys.exit(main())
