"""What the network rebuilds and what it looks at, drawn now and then during training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from ignite.engine import Events
from matplotlib.figure import Figure
from monai.engines import Workflow
from torch import nn

from treatment_response.cases.samples import Samples


class Pictures:
    """Save ``pictures/epoch_030_reconstruction.png`` and ``…_features.png`` for a few cases of each class.

    Args:
        output_dir: the run's folder.
        network: one with ``encode`` and ``cell_mask``, any other gets no pictures; one without ``decode`` gets no
            reconstruction.
        samples: where the cases come from (the first ones of each class, unturned).
        interval: epochs between pictures; the last epoch is always drawn. 0: none at all.
        cases: how many.
    """

    def __init__(
        self, output_dir: str, network: nn.Module, samples: Samples, interval: int = 30, cases: int = 4
    ) -> None:
        self.folder = Path(output_dir) / "pictures"
        self.network = network
        self.decodes = hasattr(network, "decode")
        self.interval = interval
        names = samples.classes.names
        most = -(-cases // len(names))
        plain = [(index, row.label) for index, row in enumerate(samples.rows) if row.angle == 0]
        of_class = [[index for index, label in plain if label == number][:most] for number in range(len(names))]
        self.samples = samples
        self.chosen = [index for indices in of_class for index in indices][:cases]
        self.names = [names[int(samples.rows[index].label or 0)] for index in self.chosen]

    def attach(self, engine: Workflow) -> None:
        if self.interval and hasattr(self.network, "encode"):
            engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Workflow) -> None:
        epoch = engine.state.epoch
        if epoch % self.interval and epoch != engine.state.max_epochs:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        mode = self.network.training
        self.network.eval()
        with torch.no_grad():
            x = torch.stack([self.samples[index]["image"] for index in self.chosen]).to(engine.state.device)
            code, cells = self.network.encode(x), self.network.cell_mask(x)
            rebuilt = self.network.decode(code * cells)[:, 0].cpu().numpy() if self.decodes else None
        self.network.train(mode)
        image, mask = x[:, 0].cpu().numpy(), x[:, 1].cpu().numpy()
        if rebuilt is not None:
            columns = {"slice": image, "slice × mask": image * mask, "reconstruction": rebuilt}
            self._draw(f"epoch_{epoch:03d}_reconstruction.png", f"epoch {epoch}", columns, "gray", shared=1.0)
        maps = code.float().cpu().numpy()
        features = {"slice": image} | {f"map {k + 1}": maps[:, k] for k in range(maps.shape[1])}
        features["cells of the GTV"] = cells[:, 0].cpu().numpy()
        self._draw(f"epoch_{epoch:03d}_features.png", f"epoch {epoch}, before the mask", features, "viridis")

    def _draw(
        self, name: str, title: str, columns: dict[str, np.ndarray], colours: str, shared: float | None = None
    ) -> None:
        rows = len(self.names)
        figure = Figure(figsize=(1.7 * len(columns), 1.75 * rows + 0.4), layout="constrained")
        axes = figure.subplots(rows, len(columns), squeeze=False)
        for column, (heading, pictures) in enumerate(columns.items()):
            top = shared or (1.0 if heading == "slice" else max(float(pictures.max()), 1e-6))
            for row in range(rows):
                axis = axes[row, column]
                colour = "gray" if heading == "slice" else colours
                # First array axis runs towards R, second towards A; as on a film: R on the left, A on top.
                axis.imshow(pictures[row].T[::-1, ::-1], cmap=colour, vmin=0.0, vmax=top)
                axis.set_xticks([])
                axis.set_yticks([])
                if row == 0:
                    axis.set_title(heading, fontsize=9)
                if column == 0:
                    axis.set_ylabel(self.names[row], fontsize=9)
        figure.suptitle(title, fontsize=10)
        figure.savefig(self.folder / name, dpi=100)
