"""Occlusion maps, quick and exact: hiding a cube recomputes only what the cube changes.

Occlusion asks how far a score falls when a small cube of the image is hidden (Zeiler and Fergus 2014). The plain way is
one forward pass per cube. A cube of 8 voxels changes few cells of the first layers, and more of each layer after it. So
the activations of the whole image are computed once, and for each cube only the *difference* that it makes goes through
the network: a box per layer that grows by the kernel (the cone of the cube). A convolution is linear, so the
difference passes through it alone; a ReLU or a max pooling looks at the kept activation too; the mean over the last map
is corrected by the difference's sum. Many cubes go through together. This is incremental view maintenance as in Krypton
(Nakandala, Kumar, Papakonstantinou, SIGMOD 2019), here for any number of dimensions and on differences, whose zeros a
convolution skips.

The network's own code is traced into its operations, so that ResNets with any shortcut, DenseNets and their like need
no description. From the first operation that mixes distant places (attention, a dense layer on the whole map) the rest
is computed on whole maps. A network that cannot be traced, or whose cones differ from a plain pass, is occluded the
plain way, with a warning and the reason in :attr:`OccludedNetwork.plain_reason`.

This file needs torch and numpy only and can be copied into another project.
"""

from __future__ import annotations

import math
import warnings
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import fx
from torch.func import functional_call, functionalize, vmap
from torch.fx.experimental.proxy_tensor import make_fx

Score = Callable[[torch.Tensor], torch.Tensor]
"""From the network's answers ``(P, K)`` to the score ``(P,)`` that is explained."""
Region = Callable[[torch.Tensor], torch.Tensor]
"""From an image ``(1, C, *grid)`` to where it is explained, ``(1, 1, *grid)``, above 0 inside."""

aten = torch.ops.aten
_GIB = 2**30
_CHANNELS_LAST = {2: torch.channels_last, 3: torch.channels_last_3d}
_TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}
"""How far a cone's answer may lie from the plain pass's, relative to the largest answer; 0.1 in half precision."""
_SAME_WORK = math.log(1.1)
"""Cubes whose cones differ by less than this along each axis are computed with boxes of one size."""
_MOST_AT_ONCE = 32
"""Cubes per batch on a processor; more do not make a convolution quicker."""
_TRACED: weakref.WeakKeyDictionary[torch.nn.Module, dict[tuple[object, ...], fx.Graph]] = weakref.WeakKeyDictionary()


class Occlusion:
    """How much a class's score falls when a cube is hidden: an explanation of any network.

    Args:
        cube: side of the cube in voxels, or one per axis.
        step: from one cube to the next, in voxels; the cube's side by default, so that cubes touch. The last cube of
            each axis ends at the image's edge.
        fill: what hides the cube, one number or one per channel; 0 is the mean of an image with z-scores.
        region: where to explain; cubes count of which at least half lies inside, or all that touch a region too small
            for that. The whole image by default.
        finer: side of the smaller cubes that a second pass uses where the first one found most; none by default.
        share: the share of the first pass's cubes, those with the largest changes, in which the second pass looks.
        memory: bytes for what is computed at once, beside the activations of one image; it decides how many cubes go
            through together.
    """

    def __init__(
        self,
        cube: int | Sequence[int] = 16,
        step: int | Sequence[int] | None = None,
        fill: float | Sequence[float] = 0.0,
        region: Region | None = None,
        finer: int | Sequence[int] | None = None,
        share: float = 0.25,
        memory: int = _GIB,
    ) -> None:
        if not 0 < share <= 1:
            raise ValueError(f"share must be in (0, 1], got {share}.")
        self.cube, self.step, self.fill, self.region = cube, step, fill, region
        self.finer, self.share, self.memory = finer, share, memory

    def __call__(self, network: torch.nn.Module, x: torch.Tensor, target: Score) -> torch.Tensor:
        """Maps ``(B, *grid)`` of images ``(B, C, *grid)``.

        A voxel has the mean, over the cubes that hold it, of the score of the image minus that of the image with the
        cube hidden: positive where the image speaks for the class, 0 where no cube was tried. The unit is that of the
        score. Smaller cubes of a second pass are given per volume of a cube of the first, which makes both comparable.
        """
        return self.of_targets(network, x, [target])[0]

    def of_targets(self, network: torch.nn.Module, x: torch.Tensor, targets: Sequence[Score]) -> list[torch.Tensor]:
        """The maps of several scores, each as a call gives it: a cube is hidden once for all of them."""
        by_image = [self._maps(network, image, targets) for image in x.split(1)]
        return [torch.stack(maps) for maps in zip(*by_image, strict=True)]

    def _maps(self, network: torch.nn.Module, x: torch.Tensor, targets: Sequence[Score]) -> list[torch.Tensor]:
        cube = _per_axis(self.cube, x.ndim - 2)
        step = cube if self.step is None else _per_axis(self.step, x.ndim - 2)
        occluded = OccludedNetwork(network, x, self.fill, self.memory)
        inside = None if self.region is None else self.region(x)[0, 0] > 0
        origins = cubes_inside(tuple(x.shape[2:]), cube, step, inside)
        answers = occluded.answers(origins, cube)
        changes = [target(occluded.answer) - target(answers) for target in targets]
        coarse = [spread(one, origins, cube, tuple(x.shape[2:])) for one in changes]
        if self.finer is None:
            return coarse
        finer = _per_axis(self.finer, x.ndim - 2)
        return [
            self._refined(occluded, target, whole, origins[self._largest(change)], cube, finer, inside)
            for target, whole, change in zip(targets, coarse, changes, strict=True)
        ]

    def _largest(self, changes: torch.Tensor) -> np.ndarray:
        """Which cubes the second pass looks into."""
        chosen: np.ndarray = changes.abs().topk(math.ceil(self.share * len(changes))).indices.cpu().numpy()
        return chosen

    def _refined(
        self,
        occluded: OccludedNetwork,
        target: Score,
        coarse: torch.Tensor,
        origins: np.ndarray,
        cube: tuple[int, ...],
        finer: tuple[int, ...],
        inside: torch.Tensor | None,
    ) -> torch.Tensor:
        """A map with smaller cubes inside those of the first pass that begin at ``origins``."""
        grid = tuple(coarse.shape)
        chosen = torch.zeros(grid, dtype=torch.bool)
        for origin in origins:
            chosen[_box(origin, cube)] = True
        small = cubes_inside(grid, finer, finer, chosen if inside is None else chosen & inside.cpu())
        volume = math.prod(cube) / math.prod(finer)
        fine = spread(volume * occluded.changes(small, finer, target), small, finer, grid)
        tried = torch.zeros(grid, dtype=torch.bool)
        for origin in small:
            tried[_box(origin, finer)] = True
        return torch.where(tried.to(coarse.device), fine, coarse)


def cubes_inside(
    grid: Sequence[int], cube: Sequence[int], step: Sequence[int], inside: torch.Tensor | None = None
) -> np.ndarray:
    """First corners ``(P, d)`` of the cubes that count, in the order of the grid.

    Args:
        grid: of the image. cube, step: in voxels, one per axis.
        inside: ``(*grid)`` bool; cubes of which at least half lies in it count, or else those that touch it.

    Raises:
        ValueError: a cube is larger than the image, or the region is empty.
    """
    if any(not 0 < side <= size for side, size in zip(cube, grid, strict=True)) or min(step) < 1:
        raise ValueError(f"A cube of {tuple(cube)} in steps of {tuple(step)} does not fit an image of {tuple(grid)}.")
    starts = [
        np.unique(np.append(np.arange(0, size - side + 1, every), size - side))
        for size, side, every in zip(grid, cube, step, strict=True)
    ]
    corners = np.stack(np.meshgrid(*starts, indexing="ij"), axis=-1).reshape(-1, len(grid))
    if inside is None:
        return corners
    held = inside.cpu().numpy().astype(np.int64)
    for axis, (first, side) in enumerate(zip(starts, cube, strict=True)):
        total = np.insert(np.cumsum(held, axis=axis), 0, 0, axis=axis)
        held = total.take(first + side, axis=axis) - total.take(first, axis=axis)
    held = held.reshape(-1)
    counts = held >= 0.5 * math.prod(cube)
    if not counts.any():
        counts = held > 0
    if not counts.any():
        raise ValueError("The region is empty: no cube lies in it.")
    result: np.ndarray = corners[counts]
    return result


def spread(values: torch.Tensor, origins: np.ndarray, cube: Sequence[int], grid: Sequence[int]) -> torch.Tensor:
    """The mean of the values ``(P,)`` of the cubes that hold a voxel, ``(*grid)``; 0 where none does."""
    total = torch.zeros(tuple(grid), dtype=values.dtype, device=values.device)
    count = torch.zeros_like(total)
    for value, origin in zip(values, origins, strict=True):
        total[_box(origin, cube)] += value
        count[_box(origin, cube)] += 1
    return total / count.clamp(min=1)


@dataclass(frozen=True)
class Work:
    """Multiply-adds of convolutions and dense layers.

    Attributes:
        full: of plain occlusion, one forward pass per cube.
        cones: of all cells that the cubes change, each computed whole.
    """

    full: int
    cones: int

    @property
    def bound(self) -> float:
        """How many times faster the cones are if a multiply-add always takes as long."""
        return self.full / self.cones


class OccludedNetwork:
    """A network's answers to one image with cubes hidden.

    Args:
        network: any; it is used in evaluation mode, and left in the mode that it was in.
        x: ``(1, C, *grid)``.
        fill: what hides a cube, one number or one per channel.
        memory: bytes for what is computed at once.

    Attributes:
        answer: ``(1, K)``, of the whole image.
        plain_reason: empty, or why each cube takes a whole forward pass.

    Raises:
        ValueError: ``x`` is no batch of one, or ``fill`` has another number of channels.
    """

    def __init__(
        self, network: torch.nn.Module, x: torch.Tensor, fill: float | Sequence[float] = 0.0, memory: int = _GIB
    ) -> None:
        if len(x) != 1 or x.ndim < 3:
            raise ValueError(f"One image (1, C, *grid) is occluded at a time, got the shape {tuple(x.shape)}.")
        self.network, self.memory = network, memory
        self.x = x.detach().as_subclass(torch.Tensor)
        values = torch.as_tensor(fill, dtype=x.dtype, device=x.device).reshape(-1)
        if len(values) not in (1, x.shape[1]):
            raise ValueError(f"fill holds {len(values)} numbers, the image has {x.shape[1]} channels.")
        self.hidden = values.reshape(1, -1, *[1] * (x.ndim - 2))
        self.plain_reason = ""
        self._cones: _Cones | None = None
        self._checked = False
        with _evaluating(network), torch.no_grad():
            try:
                self._cones = _Cones(_graph(network, self.x), network, self.x)
            except Exception as error:  # whatever a network does that the tracer cannot follow
                self._give_up(f"it cannot be traced ({_told(error)})")
            if self._cones is not None and not self._cones.windows:
                self._give_up("its first operation already mixes distant places")
            self.answer = self._passed(self.x) if self._cones is None else self._cones.answer

    def changes(self, origins: np.ndarray, cube: Sequence[int], score: Score) -> torch.Tensor:
        """The score of the image minus that with each cube hidden, ``(P,)``."""
        return score(self.answer) - score(self.answers(origins, cube))

    def answers(self, origins: np.ndarray, cube: Sequence[int]) -> torch.Tensor:
        """The network's answers ``(P, K)`` with each cube hidden.

        Args:
            origins: first corners ``(P, d)``; the cubes lie inside the image. cube: sides.
        """
        origins = np.asarray(origins, dtype=int).reshape(-1, self.x.ndim - 2)
        with _evaluating(self.network), torch.no_grad():
            if self._cones is not None and not self._checked:
                self._check(self._cones, origins, cube)
            if self._cones is None:
                return self._plain(origins, cube)
            return self._by_cones(self._cones, origins, cube)

    def work(self, origins: np.ndarray, cube: Sequence[int]) -> Work:
        """What these cubes cost, in multiply-adds.

        Raises:
            ValueError: the network is occluded the plain way.
        """
        if self._cones is None:
            raise ValueError(f"The network has no cones: {self.plain_reason}.")
        return self._cones.work(self._cones.boxes(np.asarray(origins, dtype=int), np.asarray(cube)))

    def _differences(self, origins: np.ndarray, cube: Sequence[int]) -> torch.Tensor:
        """What hiding does inside the cubes, ``(P, C, *cube)``."""
        return torch.cat([self.hidden - self.x[(slice(None), slice(None), *_box(origin, cube))] for origin in origins])

    def _passed(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.network(x)
        return result.as_subclass(torch.Tensor)

    def _by_cones(self, cones: _Cones, origins: np.ndarray, cube: Sequence[int]) -> torch.Tensor:
        boxes = cones.boxes(origins, np.asarray(cube))
        result = self.answer.new_empty(len(origins), *self.answer.shape[1:])
        for chosen in cones.batches(boxes, self.memory):
            result[chosen] = cones.answers(self._differences(origins[chosen], cube), [box[chosen] for box in boxes])
        return result

    def _check(self, cones: _Cones, origins: np.ndarray, cube: Sequence[int]) -> None:
        """Compare the cube that changes the image most with a plain pass; the cones are given up if they differ."""
        sizes = [float(self._differences(origin[None], cube).abs().sum()) for origin in origins]
        if not any(sizes):
            return
        self._checked = True
        origin = origins[[int(np.argmax(sizes))]]
        try:
            by_cone = self._by_cones(cones, origin, cube)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # whatever a network does that cannot be done for many cubes at once
            self._give_up(f"its cones cannot be computed ({_told(error)})")
            return
        plain = self._plain(origin, cube)
        gap, size = float((plain - by_cone).abs().max()), float(plain.abs().max())
        if not gap <= _TOLERANCE.get(self.x.dtype, 0.1) * max(size, float(self.answer.abs().max())):
            self._give_up(f"its cones' answer lies {gap:.2g} from a plain pass's")

    def _give_up(self, reason: str) -> None:
        self._cones, self.plain_reason = None, reason
        message = f"{type(self.network).__name__} is occluded by whole forward passes: {reason}."
        warnings.warn(message, RuntimeWarning, stacklevel=4)

    def _plain(self, origins: np.ndarray, cube: Sequence[int]) -> torch.Tensor:
        parts = []
        # Half a hundred maps of the image's size are live at once in the stem of a usual network.
        at_once = max(1, min(_MOST_AT_ONCE, self.memory // (200 * self.x[:, :1].nbytes)))
        for first in range(0, len(origins), at_once):
            chosen = origins[first : first + at_once]
            images = self.x.repeat(len(chosen), *[1] * (self.x.ndim - 1))
            for image, origin in zip(images, chosen, strict=True):
                image[(slice(None), *_box(origin, cube))] = self.hidden[0]
            parts.append(self._passed(images))
        return torch.cat(parts) if parts else self.answer[:0]


# ---------------------------------------------------------------------------------------------------------------------
# The network as a graph of operations


def _graph(network: torch.nn.Module, x: torch.Tensor) -> fx.Graph:
    """The operations that the network runs on such an image; its weights and the image are the graph's inputs."""
    kind = x.device.type
    cast = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None
    key = (tuple(x.shape), x.dtype, x.device, cast)
    graphs = _TRACED.setdefault(network, {})
    if key not in graphs:

        def forward(weights: dict[str, torch.Tensor], image: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = functional_call(network, weights, (image,))
            return result

        graphs[key] = make_fx(functionalize(forward), tracing_mode="fake")(_weights(network), x).graph
        graphs[key].eliminate_dead_code()
    return graphs[key]


def _weights(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {**dict(network.named_parameters()), **dict(network.named_buffers())}


@contextmanager
def _evaluating(network: torch.nn.Module) -> Iterator[None]:
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:120]}"


def _per_axis(value: int | Sequence[int], axes: int) -> tuple[int, ...]:
    return (value,) * axes if isinstance(value, int) else tuple(value)


def _box(start: Sequence[int] | np.ndarray, size: Sequence[int] | np.ndarray) -> tuple[slice, ...]:
    return tuple(slice(int(first), int(first + length)) for first, length in zip(start, size, strict=True))


@dataclass(frozen=True)
class _Window:
    """Which cells of its input a cell of a convolution or pooling sees, per axis."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]

    @property
    def reach(self) -> np.ndarray:
        """Cells from the first tap to the last one."""
        return np.array(self.dilation) * (np.array(self.kernel) - 1) + 1


_NORMS_WITH_A_FLAG = {"native_batch_norm", "cudnn_batch_norm", "miopen_batch_norm"}
_NORMS_OF_EVALUATION = {"_native_batch_norm_legit_no_training", "_batch_norm_no_update"}
_SAME = {"detach", "alias", "clone", "lift_fresh_copy"}


@dataclass
class _Term:
    """A part of the difference of one map: P boxes of one size, one per cube.

    Attributes:
        data: ``(P, C, *size)``. start: ``(P, d)``; a box may hang over the map's edge, where it means nothing.
        channel: the first of the map's channels that it belongs to.
        scale: a factor per channel, ``(1, C, 1, …)``, still to be applied.
    """

    data: torch.Tensor
    start: np.ndarray
    channel: int = 0
    scale: torch.Tensor | None = None


@dataclass
class _Batch:
    """P cubes on their way through the network.

    Attributes:
        start: first cells of the boxes planned for each map, ``(P, d)``. size: of these boxes, ``(d,)``.
        terms: the difference of each map that is still needed is the sum of these.
    """

    start: dict[fx.Node, np.ndarray]
    size: dict[fx.Node, np.ndarray]
    terms: dict[fx.Node, list[_Term]]


class _Cones:
    """The activations of one image, and the way of a difference through the network.

    Attributes:
        answer: ``(1, K)``, of the whole image.
        windows: the operations that are computed on cones and look at neighbours.
    """

    def __init__(self, graph: fx.Graph, network: torch.nn.Module, x: torch.Tensor) -> None:
        self.axes = x.ndim - 2
        self._layout = _CHANNELS_LAST.get(self.axes, torch.contiguous_format)
        *weights, self.image = (node for node in graph.nodes if node.op == "placeholder")
        self.constants: dict[fx.Node, Any] = dict(zip(weights, _weights(network).values(), strict=True))
        self.nodes = [node for node in graph.nodes if node.op == "call_function"]
        outputs = _nodes_in([node.args for node in graph.nodes if node.op == "output"])
        if len(outputs) != 1 or len(self.nodes) + len(weights) + 2 != len(graph.nodes):
            raise TypeError("it answers with several tensors, or holds tensors that are no weights of it")
        self.output = outputs[0]
        self.windows: dict[fx.Node, _Window] = {}
        self.kinds = {self.image: "input"}
        for node in self.nodes:
            self.kinds[node] = self._kind(node)
        self.local = [
            node for node in [self.image, *self.nodes] if self.kinds[node] not in ("constant", "tail", "mean")
        ]
        self.index = {node: number for number, node in enumerate(self.local)}
        self.steps = [node for node in self.nodes if node in self.index or self.kinds[node] == "mean"]
        self.tail = [node for node in self.nodes if self.kinds[node] == "tail"]
        entering = {arg for node in self.tail for arg in node.all_input_nodes} | {self.output}
        self.boundary = [node for node in [self.image, *self.steps] if node in entering]
        self.last_use = {arg: node for node in self.steps for arg in node.all_input_nodes}
        self.base = self._pass(x)
        self.answer: torch.Tensor = self.base[self.output]
        self._prepare_weights()

    # -- what an operation is

    def _moves(self, node: fx.Node) -> bool:
        """Whether a map depends on the image."""
        return self.kinds.get(node, "constant") != "constant"

    def _kind(self, node: fx.Node) -> str:
        """How a difference passes through an operation; ``tail``: only on whole maps."""
        sources = {self.kinds.get(arg, "constant") for arg in node.all_input_nodes}
        if sources <= {"constant"}:
            return "constant"
        if sources & {"tail", "mean"}:
            return "tail"
        name = getattr(node.target, "overloadpacket", node.target).__name__
        arguments = [*node.args, *[None] * 9]
        if name == "getitem":
            if arguments[1] != 0:
                raise TypeError("it uses the places of a pooling's maxima or the statistics of a norm")
            return "same"
        if name == "cat":
            return "cat" if arguments[1] in (1, -1 - self.axes) else "tail"
        if not isinstance(arguments[0], fx.Node) or any(self._moves(arg) for arg in _nodes_in(arguments[1:])):
            return self._pointwise_kind(node, name)
        if name in _NORMS_WITH_A_FLAG | _NORMS_OF_EVALUATION:
            return "tail" if name in _NORMS_WITH_A_FLAG and arguments[5] else "scale"
        if name in _SAME:
            return "same"
        if name == "convolution" and not arguments[6]:
            kernel = tuple(_value(arguments[1]).shape[2:])
            self.windows[node] = _Window(kernel, *(self._each(arguments[place]) for place in (3, 4, 5)))
            return "convolution"
        if name.startswith("max_pool") and name.endswith("_with_indices") and not arguments[5]:
            return self._pooling(node, "max pooling", arguments[:4], self._each(arguments[4] or 1))
        if name.startswith("avg_pool") and not arguments[4]:
            padded = any(self._each(arguments[3] or 0))
            of_the_window = len(node.args) < 6 or (arguments[5] is True and arguments[6] is None) or not padded
            return self._pooling(node, "mean pooling", arguments[:4]) if of_the_window else "tail"
        if name == "mean":
            axes = {axis % (self.axes + 2) for axis in (arguments[1] or [])}
            return "mean" if axes == set(range(2, self.axes + 2)) and not node.kwargs else "tail"
        return self._pointwise_kind(node, name)

    def _each(self, value: Any) -> tuple[int, ...]:
        values = tuple(value) if isinstance(value, (list, tuple)) else (value,)
        return values * self.axes if len(values) == 1 else values

    def _pooling(self, node: fx.Node, kind: str, arguments: list[Any], dilation: tuple[int, ...] | None = None) -> str:
        _, kernel, stride, padding = arguments
        kernel = self._each(kernel)
        one = (1,) * self.axes
        self.windows[node] = _Window(kernel, self._each(stride or kernel), self._each(padding or 0), dilation or one)
        return kind

    def _pointwise_kind(self, node: fx.Node, name: str) -> str:
        tags = getattr(node.target, "tags", ())
        if (torch.Tag.pointwise not in tags and name != "_to_copy") or torch.Tag.nondeterministic_seeded in tags:
            return "tail"
        result = _value(node)
        moving = [arg for arg in node.all_input_nodes if self._moves(arg)]
        still = [arg for arg in node.all_input_nodes if not self._moves(arg)]
        if result.ndim != self.axes + 2 or any(_value(arg).shape != result.shape for arg in moving):
            return "tail"
        if name == "add" and not node.kwargs and all(_value(arg).dtype == result.dtype for arg in moving):
            return "add"
        # A constant that differs from place to place would need a box of its own.
        if any(math.prod(tuple(_value(arg).shape)[-self.axes :]) != 1 and _value(arg).ndim for arg in still):
            return "tail"
        return "pointwise"

    # -- the image as it is

    def _pass(self, x: torch.Tensor) -> dict[fx.Node, torch.Tensor]:
        """The maps of the image that a difference needs beside itself, by one forward pass; fills the constants."""
        looked_at = {self.output, *self.boundary}
        for node in self.steps:
            if self.kinds[node] == "pointwise":
                looked_at |= {arg for arg in node.all_input_nodes if self._moves(arg)}
            elif self.kinds[node] == "max pooling":
                looked_at |= {node.args[0], *node.users}
        values: dict[fx.Node, Any] = {**self.constants, self.image: x.contiguous(memory_format=self._layout)}
        left = {node: len(node.users) for node in [self.image, *self.nodes]}
        for node in self.nodes:
            values[node] = self._apply(node, values)
            if not self._moves(node):
                self.constants[node] = values[node]
            for arg in node.all_input_nodes:
                if arg in left:
                    left[arg] -= 1
                    if not left[arg] and arg not in looked_at and self._moves(arg):
                        del values[arg]
        return {node: values[node] for node in looked_at}

    def _apply(self, node: fx.Node, values: dict[fx.Node, Any]) -> Any:
        def value(arg: fx.Node) -> Any:
            return values[arg] if arg in values else self.constants[arg]

        return node.target(*fx.map_arg(node.args, value), **fx.map_arg(node.kwargs, value))

    def _prepare_weights(self) -> None:
        """The convolutions' kernels and the norms' factors; a norm right behind a convolution goes into its kernel."""
        self.kernels: dict[fx.Node, torch.Tensor] = {}
        self.scales: dict[fx.Node, torch.Tensor | None] = {}
        for node in self.local:
            if self.kinds[node] == "convolution":
                self.kernels[node] = self.constants[node.args[1]]
            elif self.kinds[node] == "scale":
                source = node.args[0]
                weight, variance, epsilon = (
                    self.constants.get(node.args[1]),
                    self.constants[node.args[4]],
                    node.args[-1],
                )
                scale = (variance.double() + epsilon).rsqrt() * (1 if weight is None else weight)
                scale = scale.to(_value(source).dtype).reshape(1, -1, *[1] * self.axes)
                self.scales[node] = scale
                if self.kinds[source] == "convolution" and len(source.users) == 1 and source not in self.boundary:
                    self.kernels[source] = self.kernels[source] * scale.transpose(0, 1)
                    self.scales[node] = None
        self.kernels = {node: kernel.contiguous(memory_format=self._layout) for node, kernel in self.kernels.items()}

    # -- which cells a cube changes

    def _grid(self, node: fx.Node) -> np.ndarray:
        return np.array(_value(node).shape[2:])

    def boxes(self, origins: np.ndarray, cube: np.ndarray) -> list[np.ndarray]:
        """For each map that has cones, first and last + 1 of the cells that each cube changes, ``(P, 2, d)``."""
        result = [np.stack([origins, origins + cube], axis=1)]
        for node in self.local[1:]:
            parts = [result[self.index[arg]] for arg in node.all_input_nodes if arg in self.index]
            first = np.min([part[:, 0] for part in parts], axis=0)
            last = np.max([part[:, 1] for part in parts], axis=0)
            if node in self.windows:
                window, grid = self.windows[node], self._grid(node)
                first = -((-(first + window.padding - window.reach + 1)) // window.stride)
                last = (last - 1 + window.padding) // window.stride + 1
                first = np.clip(first, 0, grid - 1)
                last = np.clip(last, first + 1, grid)
            result.append(np.stack([first, last], axis=1))
        return result

    def work(self, boxes: list[np.ndarray]) -> Work:
        """Multiply-adds for these cubes."""
        count = len(boxes[0])
        tail = sum(_multiply_adds(node) for node in self.tail)
        full = cones = count * tail
        for node in self.kernels:
            box = boxes[self.index[node]]
            per_cell = math.prod(_value(node.args[1]).shape)
            full += count * per_cell * math.prod(self._grid(node).tolist())
            cones += per_cell * int((box[:, 1] - box[:, 0]).prod(axis=1).sum())
        return Work(full, cones)

    def batches(self, boxes: list[np.ndarray], memory: int) -> Iterator[np.ndarray]:
        """Indices of cubes that go through together: boxes of nearly the same sizes, as many as the memory holds."""
        work = np.zeros((len(boxes[0]), self.axes))
        for node in self.windows:
            sizes = boxes[self.index[node]][:, 1] - boxes[self.index[node]][:, 0]
            cost = math.prod(_value(node.args[1]).shape) if node in self.kernels else 1
            work += cost * float(sizes.prod(axis=1).mean()) * sizes / self._grid(node)
        classes = np.round(np.log(work) / _SAME_WORK).astype(int)
        _, group = np.unique(classes, axis=0, return_inverse=True)
        for number in range(group.max() + 1 if len(group) else 0):
            members = np.flatnonzero(group.reshape(-1) == number)
            at_once = max(1, min(_MOST_AT_ONCE, memory // self._bytes([box[members] for box in boxes])))
            yield from np.array_split(members, math.ceil(len(members) / at_once))

    def _bytes(self, boxes: list[np.ndarray]) -> int:
        """The most that is held at once for one cube whose boxes are as large as the largest of these."""
        held: dict[fx.Node, int] = {}
        most = 0
        for node in [self.image, *self.steps]:
            need = 0
            if node in self.index and self.kinds[node] not in ("same", "scale", "add"):
                size = (boxes[self.index[node]][:, 1] - boxes[self.index[node]][:, 0]).max(axis=0)
                need = math.prod(size.tolist()) * _value(node).shape[1] * _value(node).itemsize
            elif node in self.index:  # it is made of its sources, which live on
                need = sum(held.get(arg, 0) for arg in node.all_input_nodes)
            window = 0
            if node in self.windows:
                reach, stride = self.windows[node].reach, np.array(self.windows[node].stride)
                source = _value(node.args[0])
                window = math.prod(((size - 1) * stride + reach).tolist()) * source.shape[1] * source.itemsize
            held[node] = need
            most = max(most, sum(held.values()) + need + window)
            for arg in node.all_input_nodes:
                if self.last_use[arg] is node and arg not in self.boundary:
                    held.pop(arg, None)
        whole = sum(
            _value(node).nbytes for node in [*self.boundary, *self.tail] if isinstance(_value(node), torch.Tensor)
        )
        return max(1, most + whole)

    # -- the way of a difference

    def answers(self, differences: torch.Tensor, boxes: list[np.ndarray]) -> torch.Tensor:
        """The network's answers ``(P, K)`` from what hiding changes in the image, ``(P, C, *cube)``."""
        batch = _Batch({}, {}, {})
        for node, box in zip(self.local, boxes, strict=True):
            size = (box[:, 1] - box[:, 0]).max(axis=0)
            batch.size[node], batch.start[node] = size, np.minimum(box[:, 0], self._grid(node) - size)
        of_image = differences.contiguous(memory_format=self._layout)
        batch.terms[self.image] = [_Term(of_image, batch.start[self.image])]
        means: dict[fx.Node, torch.Tensor] = {}
        for node in self.steps:
            if self.kinds[node] == "mean":
                means[node] = self._mean(node, batch)
            else:
                batch.terms[node] = self._terms(node, batch)
            for arg in node.all_input_nodes:
                if self.last_use[arg] is node and arg not in self.boundary:
                    batch.terms.pop(arg, None)
        inputs = [means[node] if node in means else self._whole_map(node, batch) for node in self.boundary]
        answers: torch.Tensor = vmap(self._run_tail)(*inputs)
        return answers[:, 0]

    def _terms(self, node: fx.Node, batch: _Batch) -> list[_Term]:
        """The difference behind an operation, from those in front of it."""
        kind, first = self.kinds[node], node.args[0]
        if kind == "add":
            return [term for arg in node.args if arg in batch.terms for term in batch.terms[arg]]
        if kind == "same":
            return batch.terms[first]
        if kind == "scale":
            return [self._scaled(term, self.scales[node]) for term in batch.terms[first]]
        if kind == "cat":
            return self._cat(node, batch)
        if kind == "convolution":
            return self._convolution(node, batch)
        if kind == "pointwise":
            return self._pointwise(node, batch)
        return self._pooled(node, batch)

    def _run_tail(self, *inputs: torch.Tensor) -> torch.Tensor:
        values = dict(zip(self.boundary, inputs, strict=True))
        for node in self.tail:
            values[node] = self._apply(node, values)
        return values[self.output]

    def _put(self, terms: list[_Term], cube: int, start: np.ndarray, out: torch.Tensor) -> None:
        """Write one cube's difference inside a box of the map into ``(1, C, *size)``."""
        size = np.array(out.shape[2:])
        written = False
        for term in terms:
            first = np.maximum(start, term.start[cube])
            length = np.minimum(start + size, term.start[cube] + term.data.shape[2:]) - first
            if (length <= 0).any():
                continue
            channels = slice(term.channel, term.channel + term.data.shape[1])
            source = term.data[(slice(cube, cube + 1), slice(None), *_box(first - term.start[cube], length))]
            part = out[(slice(None), channels, *_box(first - start, length))]
            if written:
                part.add_(source) if term.scale is None else part.addcmul_(source, term.scale)
                continue
            if part.shape != out.shape:
                out.zero_()
            part.copy_(source) if term.scale is None else torch.mul(source, term.scale, out=part)
            written = True
        if not written:
            out.zero_()

    def _empty(self, node: fx.Node, size: np.ndarray, count: int) -> torch.Tensor:
        of_node = _value(node)
        shape = (count, of_node.shape[1], *size.tolist())
        return torch.empty(shape, dtype=of_node.dtype, device=self.answer.device, memory_format=self._layout)

    def _fitted(self, node: fx.Node, batch: _Batch) -> torch.Tensor:
        """The differences of a map on the boxes that were planned for it, ``(P, C, *size)``."""
        start, size = batch.start[node], batch.size[node]
        first = batch.terms[node][0]
        shape = (len(start), _value(node).shape[1], *size.tolist())
        alone = len(batch.terms[node]) == 1 and first.scale is None and tuple(first.data.shape) == shape
        if alone and (first.start == start).all():
            return first.data
        result = self._empty(node, size, len(start))
        for cube in range(len(start)):
            self._put(batch.terms[node], cube, start[cube], result[cube : cube + 1])
        return result

    def _scaled(self, term: _Term, scale: torch.Tensor | None) -> _Term:
        if scale is None:
            return term
        own = scale[:, term.channel : term.channel + term.data.shape[1]]
        return _Term(term.data, term.start, term.channel, own if term.scale is None else own * term.scale)

    def _cat(self, node: fx.Node, batch: _Batch) -> list[_Term]:
        start = batch.start[node]
        result = self._empty(node, batch.size[node], len(start))
        channel = 0
        for arg in node.args[0]:
            channels = slice(channel, channel + _value(arg).shape[1])
            channel = channels.stop
            for cube in range(len(start)):
                self._put(batch.terms.get(arg, []), cube, start[cube], result[cube : cube + 1, channels])
        return [_Term(result, start)]

    def _pointwise(self, node: fx.Node, batch: _Batch) -> list[_Term]:
        """f(activation + difference) − f(activation)."""
        start, size = batch.start[node], batch.size[node]
        result = self._empty(node, size, len(start))
        moving = [arg for arg in node.all_input_nodes if arg in batch.terms]
        for cube in range(len(start)):
            place = (slice(None), slice(None), *_box(start[cube], size))
            before = {arg: self.base[arg][place] for arg in moving}
            out = result[cube : cube + 1]
            if node.target is aten.relu.default:
                self._put(batch.terms[moving[0]], cube, start[cube], out)
                out.add_(before[moving[0]]).relu_().sub_(before[moving[0]].relu())
                continue
            after = {}
            for arg in moving:
                after[arg] = self._empty(arg, size, 1)
                self._put(batch.terms[arg], cube, start[cube], after[arg])
                after[arg] += before[arg]
            torch.sub(self._apply(node, after), self._apply(node, before), out=out)
        return [_Term(result, start)]

    def _convolution(self, node: fx.Node, batch: _Batch) -> list[_Term]:
        """The convolution of the difference; around it there are zeros, which padding gives for nothing."""
        source, window = node.args[0], self.windows[node]
        stride, padding, reach = np.array(window.stride), np.array(window.padding), window.reach
        if (stride == 1).all():
            data = self._fitted(source, batch)
            whole = batch.size[source] == self._grid(source)
            around = np.where(whole, padding, reach - 1)
            start = batch.start[source] + padding - around
        else:
            start, size = batch.start[node], (batch.size[node] - 1) * stride + reach
            data, around = self._windowed(source, batch, start * stride - padding, size)
        groups = node.args[8]
        convolved = aten.convolution(
            data,
            self.kernels[node],
            None,
            window.stride,
            around.tolist(),
            window.dilation,
            False,
            [0] * self.axes,
            groups,
        )
        return [_Term(convolved, start)]

    def _windowed(
        self, source: fx.Node, batch: _Batch, start: np.ndarray, size: np.ndarray
    ) -> tuple[torch.Tensor, np.ndarray]:
        """The differences of a map in windows that may hang over its edge, and the zeros left out on all sides."""
        held, length = batch.start[source], batch.size[source]
        before = (held - start).min(axis=0)
        after = (start + size - held - length).min(axis=0)
        around = np.maximum(np.minimum(before, after), 0)
        start, size = start + around, size - 2 * around
        result = self._empty(source, size, len(start)).zero_()
        for cube in range(len(start)):
            first = np.maximum(start[cube], 0)
            inner = np.minimum(start[cube] + size, self._grid(source)) - first
            part = result[(slice(cube, cube + 1), slice(None), *_box(first - start[cube], inner))]
            self._put(batch.terms[source], cube, first, part)
        return result, around

    def _pooled(self, node: fx.Node, batch: _Batch) -> list[_Term]:
        source, window = node.args[0], self.windows[node]
        start, size, grid = batch.start[node], batch.size[node], self._grid(source)
        stride, padding = np.array(window.stride), np.array(window.padding)
        first, length = start * stride - padding, (size - 1) * stride + window.reach
        largest = self.kinds[node] == "max pooling"
        values = self._empty(source, length, len(start)).fill_(-math.inf if largest else 0.0)
        for cube in range(len(start)):
            inside = np.maximum(first[cube], 0)
            inner = np.minimum(first[cube] + length, grid) - inside
            part = values[(slice(cube, cube + 1), slice(None), *_box(inside - first[cube], inner))]
            self._put(batch.terms[source], cube, inside, part)
            if largest:
                part += self.base[source][(slice(None), slice(None), *_box(inside, inner))]
        arguments = [values, window.kernel, window.stride, [0] * self.axes]
        if not largest:
            return [_Term(node.target(*arguments, *node.args[4:]), start)]
        result, _ = node.target(*arguments, window.dilation)
        before = self.base[next(iter(node.users))]
        for cube in range(len(start)):
            result[cube : cube + 1] -= before[(slice(None), slice(None), *_box(start[cube], size))]
        return [_Term(result, start)]

    def _mean(self, node: fx.Node, batch: _Batch) -> torch.Tensor:
        source = node.args[0]
        total = self._fitted(source, batch).sum(dim=tuple(range(2, self.axes + 2)))
        change = total / math.prod(self._grid(source).tolist())
        return self.base[node] + change.reshape(len(change), *self.base[node].shape)

    def _whole_map(self, node: fx.Node, batch: _Batch) -> torch.Tensor:
        difference, start, base = self._fitted(node, batch), batch.start[node], self.base[node]
        result = base.repeat(len(difference), *[1] * (self.axes + 1))
        for cube in range(len(difference)):
            place = (slice(cube, cube + 1), slice(None), *_box(start[cube], batch.size[node]))
            result[place] += difference[cube : cube + 1]
        return result[:, None]


def _value(node: Any) -> Any:
    """The tensor without numbers that the tracer saw; the first of several."""
    value = node.meta["val"]
    return value[0] if isinstance(value, (tuple, list)) else value


def _nodes_in(arguments: list[Any]) -> list[fx.Node]:
    nodes: list[fx.Node] = []
    fx.map_arg(arguments, nodes.append)
    return nodes


def _multiply_adds(node: fx.Node) -> int:
    """Of a convolution or matrix product on whole maps."""
    name = getattr(node.target, "overloadpacket", node.target).__name__
    if name == "convolution":
        return math.prod(_value(node).shape) * math.prod(_value(node.args[1]).shape[1:])
    if name in ("mm", "bmm", "addmm", "baddbmm"):
        return math.prod(_value(node).shape) * int(_value(node.args[-2]).shape[-1])
    return 0
