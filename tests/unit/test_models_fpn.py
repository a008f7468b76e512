"""The pyramid: what reaches the mask, and how wide everything is."""

import pytest
import torch
from torch import nn

from foldbelt import models
from foldbelt.models import fpn


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def test_the_mask_is_read_from_every_level_of_the_pyramid():
    branch = fpn.MaskBranch(4, 8, False, "batch")
    pyramid = [torch.randn(2, 8, side, side).requires_grad_() for side in (4, 7, 13, 26)]
    mask = branch(pyramid)
    assert mask.shape == (2, 8, 26, 26)
    mask.square().sum().backward()
    assert all(each.grad is not None and each.grad.any() for each in pyramid)


def test_deeper_levels_pass_through_the_pyramid_to_all_shallower_ones_and_not_back():
    pyramid = fpn.Pyramid([3, 4, 5], 8)
    features = [torch.randn(1, 3, 12, 12), torch.randn(1, 4, 6, 6), torch.randn(1, 5, 3, 3)]
    features = [each.requires_grad_() for each in features]
    maps = pyramid(features)
    assert [each.shape[1:] for each in maps] == [(8, 3, 3), (8, 6, 6), (8, 12, 12)]
    for level, each in enumerate(maps):
        grads = torch.autograd.grad(each.sum(), features, retain_graph=True, allow_unused=True)
        assert [grad is not None for grad in reversed(grads)] == [
            deeper <= level for deeper in range(3)
        ]


def test_a_mask_path_doubles_as_often_as_its_level_is_deep():
    branch = fpn.MaskBranch(4, 8, False, "group")
    assert [len(path) for path in branch.paths] == [3, 2, 1, 1]


def test_pyramid_channels_are_the_width_of_everything():
    model = models.build({"name": "fpn", "encoder": "test_resnet", "pyramid_channels": 24}, 1, 1, 0)
    convs = [
        part
        for top in (model.pyramid, model.branch)
        for part in top.modules()
        if isinstance(part, nn.Conv2d)
    ]
    assert {conv.out_channels for conv in convs} == {24}
