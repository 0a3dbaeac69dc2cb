"""Agreement with captum, pytorch-grad-cam and MONAI where their definitions are the paper's, and where they are not."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam, LayerGradientXActivation
from monai.visualize.class_activation_maps import GradCAM as MonaiGradCAM
from monai.visualize.class_activation_maps import GradCAMpp as MonaiGradCAMpp
from treatment_response.explain.cam import explain_all
from treatment_response.explain.target import TargetClass

BOTH = list(TargetClass)


@pytest.fixture(scope="module")
def pytorch_grad_cam():
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "reference_grad_cam.py"
    spec = importlib.util.spec_from_file_location("reference_grad_cam", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.load()


@pytest.fixture
def steep(network):
    """The network with a steep last layer: pytorch-grad-cam's Grad-CAM++ adds 1e-6 to a denominator of size g²."""
    with torch.no_grad():
        network.head[5].weight *= 1e5
    return network.eval()


class Signed(torch.nn.Module):
    """The network whose one output is the class's score."""

    def __init__(self, network: torch.nn.Module, target: TargetClass) -> None:
        super().__init__()
        self.network, self.target = network, target

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.target(self.network(x))[:, None]


@pytest.mark.parametrize("target", BOTH, ids=lambda t: t.label)
@pytest.mark.parametrize(
    ("ours", "theirs"), [("gradcam", "GradCAM"), ("gradcampp", "GradCAMPlusPlus"), ("pixelwise", "HiResCAM")]
)
def test_pytorch_grad_cam(pytorch_grad_cam, steep, lesions, ours, theirs, target):
    with getattr(pytorch_grad_cam, theirs)(Signed(steep, target), [steep.body]) as cam:
        targets = [lambda output: output[0]] * len(lesions)
        cam(lesions, targets)
        # Its call rescales every map by its own maximum and resizes it: compare what it computes before that.
        recorded = cam.activations_and_grads
        activations, gradients = recorded.activations[0].numpy(), recorded.gradients[0].numpy()
        raw = cam.get_cam_image(lesions, steep.body, targets, activations, gradients, eigen_smooth=False)
    expected = np.maximum(raw, 0) * steep.cell_mask(lesions)[:, 0].numpy()
    mine = explain_all(steep, lesions)[ours, target].numpy()
    np.testing.assert_allclose(mine, expected, rtol=1e-4, atol=1e-6 * mine.max() if mine.any() else 0)


def test_the_references_are_not_all_zero(steep, lesions):
    maps = explain_all(steep, lesions)
    for variant in ("gradcam", "gradcampp", "pixelwise"):
        assert any(maps[variant, target].any() for target in BOTH)


@pytest.mark.parametrize("target", BOTH, ids=lambda t: t.label)
def test_captum(network, lesions, target):
    network.eval()
    signed, mask, maps = Signed(network, target), network.cell_mask(lesions), explain_all(network, lesions)
    gradcam = LayerGradCam(signed, network.body).attribute(lesions, target=0, relu_attributions=True)
    torch.testing.assert_close(maps["gradcam", target], (gradcam * mask)[:, 0].detach())
    product = LayerGradientXActivation(signed, network.body).attribute(lesions, target=0)
    pixelwise = torch.relu(product.sum(1)) * mask[:, 0]
    torch.testing.assert_close(maps["pixelwise", target], pixelwise.detach())


def test_monai_gradcam_agrees_before_its_postprocessing_and_is_inverted_after(network, lesions):
    signed = Signed(network, TargetClass.RESPONSE)
    monai = MonaiGradCAM(signed, target_layers="network.body")
    raw = monai.compute_map(lesions, class_idx=0).detach()[:, 0]
    mine = explain_all(network, lesions)["gradcam", TargetClass.RESPONSE]
    torch.testing.assert_close(raw * network.cell_mask(lesions)[:, 0], mine)
    case = int(mine.amax((1, 2)).argmax())
    shown = monai(lesions[case : case + 1], class_idx=0)
    upsampled = torch.nn.functional.interpolate(raw[case : case + 1, None], (64, 64), mode="bilinear").flatten()
    assert upsampled.max() > 0
    assert shown.flatten()[upsampled.argmax()] == shown.min()


def test_monai_gradcampp_is_another_formula(network, lesions):
    # It sums A g^3 over the cells where the paper has g_ij^3 times the sum of A, and multiplies by exp(y).
    # One case, because it cannot take a batch: it multiplies (B, 1) scores by (B, K, H, W) gradients.
    with torch.no_grad():
        network.head[5].weight *= 30
    case, mask = lesions[:1], network.cell_mask(lesions[:1])[:, 0]
    monai = MonaiGradCAMpp(Signed(network, TargetClass.RESPONSE), target_layers="network.body")
    raw = monai.compute_map(case, class_idx=0).detach()[:, 0] * mask
    mine = explain_all(network, case)["gradcampp", TargetClass.RESPONSE]
    cells = mine > 0
    assert cells.any()
    ratio = raw[cells] / mine[cells]
    assert ratio.max() / ratio.min() > 1.01
