"""Cascading randomisation: from the head down, the last step has nothing trained left."""

from __future__ import annotations

import torch
from treatment_response.explain.cam import explain_all
from treatment_response.explain.controls import class_free
from treatment_response.explain.randomisation import cascade, modules_from_the_head
from treatment_response.explain.target import TargetClass
from treatment_response.networks import MaskedAutoencoderClassifier


def two_networks() -> tuple[MaskedAutoencoderClassifier, MaskedAutoencoderClassifier]:
    torch.manual_seed(0)
    trained, fresh = MaskedAutoencoderClassifier(), MaskedAutoencoderClassifier()
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    trained.norm.running_mean.uniform_(-1, 1)
    return trained.eval(), fresh.eval()


def test_modules_are_named_from_the_head_down_and_the_decoder_is_not_among_them(lesions):
    network, _ = two_networks()
    names = modules_from_the_head(network, lesions[:1].float())
    assert names == ["output", "norm", "dense", "encoder_2", "encoder_1"]


def test_each_step_replaces_one_module_more_and_the_network_stays_as_it_was(lesions):
    network, fresh = two_networks()
    x = lesions.float()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    steps = list(cascade(network, fresh, x))
    replaced = set()
    for name, after in steps:
        replaced.add(name)
        for key, value in after.state_dict().items():
            module = key.rpartition(".")[0]
            source = fresh if module in replaced else network
            torch.testing.assert_close(value, source.state_dict()[key], msg=f"{name}: {key}")
    with torch.no_grad():
        torch.testing.assert_close(steps[-1][1](x), fresh(x))
        assert not torch.allclose(steps[0][1](x), fresh(x))
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_a_class_free_map_survives_a_new_head_and_a_map_of_the_class_does_not(lesions):
    network, fresh = two_networks()
    x = lesions.float()
    _, headless = list(cascade(network, fresh, x))[2]
    torch.testing.assert_close(class_free(headless, x), class_free(network, x))
    key = ("pixelwise", TargetClass.RESPONSE)
    assert not torch.allclose(explain_all(headless, x)[key], explain_all(network, x)[key])


def test_it_works_for_networks_whose_parameters_lie_deeper(network, lesions):
    names = modules_from_the_head(network, lesions[:1])
    assert names == ["head.5", "head.3", "head.1", "body.3", "body.0"]
