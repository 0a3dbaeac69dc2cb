"""What a training step of RANO's DenseNet264 costs at full size: memory and, on a GPU, seconds.

The network is the one that `rano.json` declares, with AdamW and bfloat16 autocast; the input is
240 × 240 × 155 voxels of six channels, the size of the study. On a GPU a step is measured, with and without gradient
checkpointing. Without one the peak is estimated: the same step runs on tensors without numbers (PyTorch's fake
tensors), and PyTorch's own tracker adds up what lives at the same time. Workspaces of cuDNN and the memory that the
CUDA libraries take for themselves (about 1 GiB) come on top of the estimate.

    .venv/bin/python benchmarks/rano_step.py
    .venv/bin/python benchmarks/rano_step.py --size 182 218 182 --batch 1
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker
from torch.nn.functional import cross_entropy
from treatment_response.configs import read_configs

CONFIGS = ("train.json", "rano.json")
WAYS: dict[str, list[str]] = {
    "no checkpointing": [],
    "dense layers": ["_DenseLayer"],
}
"""Name → blocks whose insides are computed again in the backward pass."""
GIB = 2**30


def make_network(size: Sequence[int], blocks: Sequence[str]) -> tuple[torch.nn.Module, int]:
    """The network of the configs, and how many channels its input has."""
    parser = read_configs(CONFIGS)
    parser.update({"patch_size": list(size), "checkpointed_blocks": list(blocks)})
    network: torch.nn.Module = parser.get_parsed_content("network_def")
    return network.train(), len(parser.get_parsed_content("channels"))


def optimiser_of(network: torch.nn.Module) -> torch.optim.Optimizer:
    """AdamW as the overlay has it."""
    return torch.optim.AdamW(network.parameters(), lr=1e-4, weight_decay=0.01)


def run(network: torch.nn.Module, optimizer: torch.optim.Optimizer, x: torch.Tensor, label: torch.Tensor) -> None:
    """One step, as `TrainingStep` makes it."""
    optimizer.zero_grad(set_to_none=True)
    with torch.autocast(x.device.type, dtype=torch.bfloat16):
        logits = network(x)
    cross_entropy(logits.float(), label).backward()
    optimizer.step()


def measured(size: Sequence[int], batch: int, blocks: Sequence[str], repeats: int) -> tuple[int, float]:
    """Peak bytes and median seconds of a step on the GPU."""
    network, channels = make_network(size, blocks)
    network = network.cuda()
    optimizer = optimiser_of(network)
    x = torch.randn(batch, channels, *size, device="cuda").contiguous(memory_format=torch.channels_last_3d)
    label = torch.zeros(batch, dtype=torch.long, device="cuda")
    run(network, optimizer, x, label)
    torch.cuda.reset_peak_memory_stats()
    seconds = []
    for _ in range(repeats):
        torch.cuda.synchronize()
        start = time.perf_counter()
        run(network, optimizer, x, label)
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return torch.cuda.max_memory_allocated(), statistics.median(seconds)


def estimated(size: Sequence[int], batch: int, blocks: Sequence[str]) -> int:
    """Peak bytes of a step, counted on tensors without numbers."""
    with FakeTensorMode():
        network, channels = make_network(size, blocks)
        optimizer = optimiser_of(network)
        x, label = torch.randn(batch, channels, *size), torch.zeros(batch, dtype=torch.long)
        for weights in network.parameters():  # the optimiser's moments are there from the second step on
            weights.grad = torch.zeros_like(weights)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        tracker = MemTracker()
        tracker.track_external(network, optimizer, x, label)
        with tracker:
            run(network, optimizer, x, label)
        return max(snapshot["Total"] for snapshot in tracker.get_tracker_snapshot("peak").values())


def main() -> int:
    """Print a line per way of checkpointing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, nargs=3, default=[240, 240, 155], help="voxels (the study's)")
    parser.add_argument("--batch", type=int, default=4, help="pairs in a step (4)")
    parser.add_argument("--repeats", type=int, default=3, help="steps that are timed on a GPU (3)")
    options = parser.parse_args()
    where = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU: estimate, no seconds"
    print(f"DenseNet264, {' × '.join(map(str, options.size))} voxels, batch {options.batch}, bfloat16; {where}")
    for name, blocks in WAYS.items():
        if torch.cuda.is_available():
            peak, seconds = measured(options.size, options.batch, blocks, options.repeats)
            print(f"{name:24} {peak / GIB:6.1f} GiB  {seconds:6.2f} s", flush=True)
        else:
            print(f"{name:24} {estimated(options.size, options.batch, blocks) / GIB:6.1f} GiB", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
