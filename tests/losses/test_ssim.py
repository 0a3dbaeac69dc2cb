"""SSIM as matrix products against its definition, scikit-image and MONAI."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.metrics import SSIMMetric
from skimage.metrics import structural_similarity
from torch import Tensor
from treatment_response.losses.ssim import SSIMLoss, _window_matrix, ssim


def images(seed: int, shape: tuple[int, ...] = (3, 1, 40, 33)) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(shape, generator=generator, dtype=torch.float64)
    y = (x + 0.3 * torch.rand(shape, generator=generator, dtype=torch.float64)).clamp(0, 1)
    return x, y


def ssim_by_convolution(x: Tensor, y: Tensor, window: int = 11, sigma: float = 1.5, data_range: float = 1.0) -> Tensor:
    """Wang et al., equation 13, written down as it stands: one two-dimensional window and five convolutions."""
    offset = torch.arange(window, dtype=x.dtype) - (window - 1) / 2
    weights = torch.exp(-(offset[:, None] ** 2 + offset[None, :] ** 2) / (2 * sigma**2))
    kernel = (weights / weights.sum()).expand(x.shape[1], 1, window, window)

    def mean(image: Tensor) -> Tensor:
        return F.conv2d(image, kernel, groups=x.shape[1])

    mx, my = mean(x), mean(y)
    vx, vy, cov = mean(x * x) - mx * mx, mean(y * y) - my * my, mean(x * y) - mx * my
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    index = (2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    return index.mean(dim=(1, 2, 3))


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(11, 40), st.integers(11, 40)),
    window=st.sampled_from([3, 7, 8, 11]),
    sigma=st.sampled_from([0.5, 1.5, 4.0]),
)
def test_equals_the_definition_in_double_precision(seed, shape, window, sigma):
    x, y = images(seed, shape)
    expected = ssim_by_convolution(x, y, window, sigma)
    torch.testing.assert_close(ssim(x, y, window=window, sigma=sigma), expected, rtol=1e-11, atol=1e-12)


def test_data_range_scales_with_the_images():
    x, y = images(0)
    torch.testing.assert_close(ssim(255 * x, 255 * y, data_range=255.0), ssim(x, y), rtol=1e-11, atol=0)
    assert not torch.allclose(ssim(x, y, data_range=10.0), ssim(x, y))


def test_gradient_equals_the_definition_and_finite_differences():
    x, y = images(1, (2, 1, 12, 13))
    x.requires_grad_()
    (by_matrix,) = torch.autograd.grad(ssim(x, y).sum(), x)
    (by_convolution,) = torch.autograd.grad(ssim_by_convolution(x, y).sum(), x)
    torch.testing.assert_close(by_matrix, by_convolution, rtol=1e-9, atol=1e-13)
    assert torch.autograd.gradcheck(lambda a: ssim(a, y), x)


def test_equals_scikit_image():
    x, y = images(2)
    # Population covariance and a window cut at 3.5 sigma (11 pixels) are what Wang et al. and TensorFlow use;
    # scikit-image crops the same border before it averages.
    expected = [
        structural_similarity(
            a[0].numpy(), b[0].numpy(), data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
        for a, b in zip(x, y, strict=True)
    ]
    np.testing.assert_allclose(ssim(x, y).numpy(), expected, rtol=1e-10)


def test_equals_monai():
    x, y = images(3)
    expected = SSIMMetric(spatial_dims=2, data_range=1.0)(x, y)  # float32 inside
    np.testing.assert_allclose(ssim(x, y).numpy(), expected.flatten().numpy(), rtol=2e-5)


def test_identical_images_score_one_and_noise_scores_less_the_stronger_it_is():
    x, _ = images(4)
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(4), dtype=x.dtype)
    scores = torch.stack([ssim(x, x + level * noise).mean() for level in (0, 0.05, 0.2, 0.8)])
    assert scores[0] == pytest.approx(1, abs=1e-12)
    assert (scores.diff() < -0.01).all()


def test_symmetric_and_per_image():
    x, y = images(5)
    torch.testing.assert_close(ssim(x, y), ssim(y, x))
    torch.testing.assert_close(ssim(x, y), torch.cat([ssim(x[i : i + 1], y[i : i + 1]) for i in range(len(x))]))


def test_memory_format_does_not_matter():
    x, y = images(6, (2, 3, 20, 24))
    last = ssim(x.to(memory_format=torch.channels_last), y.to(memory_format=torch.channels_last))
    torch.testing.assert_close(last, ssim(x, y))


def test_single_precision_survives_flat_bright_images_and_autocast():
    x = 0.9 + 0.001 * images(7, (2, 1, 64, 64))[0]
    y = 0.9 + 0.001 * images(8, (2, 1, 64, 64))[0]
    exact = ssim(x, y)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        single = ssim(x.float(), y.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), exact, rtol=0, atol=1e-3)


def test_bfloat16_images_are_computed_in_single_precision():
    x, y = (image.to(torch.bfloat16) for image in images(9))
    torch.testing.assert_close(ssim(x, y), ssim(x.float(), y.float()), rtol=0, atol=0)


def test_evaluating_first_does_not_spoil_training():
    _window_matrix.cache_clear()
    x, y = (image.float() for image in images(10))
    with torch.inference_mode():
        ssim(x, y)
    x.requires_grad_()
    ssim(x, y).sum().backward()
    assert x.grad.abs().sum() > 0


def test_loss_is_one_minus_the_mean_and_gradient_descent_lowers_it():
    x, y = images(11)
    loss = SSIMLoss()
    assert loss(x, y).item() == pytest.approx(1 - ssim(x, y).mean().item(), abs=1e-14)
    assert loss(x, x).item() == pytest.approx(0, abs=1e-12)
    x.requires_grad_()
    before = loss(x, y)
    before.backward()
    assert loss((x - x.grad).detach(), y) < before


def test_loss_passes_its_settings_on():
    x, y = images(12)
    expected = 1 - ssim(x, y, data_range=2.0, window=7, sigma=1.0).mean()
    torch.testing.assert_close(SSIMLoss(data_range=2.0, window=7, sigma=1.0)(x, y), expected)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (torch.zeros(1, 1, 16, 16), torch.zeros(1, 1, 16, 17), "one shape"),
        (torch.zeros(16, 16), torch.zeros(16, 16), "one shape"),
        (torch.zeros(1, 1, 10, 64), torch.zeros(1, 1, 10, 64), "does not fit into images of 10×64"),
    ],
    ids=["unequal", "no-batch", "smaller-than-window"],
)
def test_refuses(x, y, message):
    with pytest.raises(ValueError, match=message):
        ssim(x, y)
