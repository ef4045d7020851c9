"""Samplers against a naive reference, and the attention built on them."""

import math

import pytest
import torch
from torch import Tensor

from edge_vos.model.deformable import (
    SAMPLER_FUNCTIONS,
    DeformableAttention,
    Sampler,
    reference_points,
)

SAMPLERS = pytest.mark.parametrize("sampler", SAMPLER_FUNCTIONS.values(), ids=SAMPLER_FUNCTIONS)


def naive(features: Tensor, points: Tensor) -> Tensor:
    batch, channels, height, width = features.shape
    result = torch.zeros(batch, channels, points.shape[1], dtype=features.dtype)
    for b in range(batch):
        for p in range(points.shape[1]):
            x = min(max(float(points[b, p, 0]), 0.0), width - 1.0)
            y = min(max(float(points[b, p, 1]), 0.0), height - 1.0)
            for row in {math.floor(y), math.ceil(y)}:
                for column in {math.floor(x), math.ceil(x)}:
                    weight = (1 - abs(x - column)) * (1 - abs(y - row))
                    result[b, :, p] += features[b, :, row, column] * weight
    return result


POINTS = {
    "inside": [[1.3, 2.6], [0.5, 0.5], [3.99, 2.01]],
    "on cells": [[0.0, 0.0], [2.0, 1.0], [3.0, 3.0]],
    "borders": [[0.0, 1.5], [4.0, 1.5], [1.5, 0.0], [1.5, 3.0], [4.0, 3.0]],
    "off the map": [[-0.7, 1.2], [9.0, 1.2], [1.2, -3.0], [1.2, 30.0], [-5.0, 50.0]],
}


@SAMPLERS
@pytest.mark.parametrize("where", POINTS)
def test_equals_the_naive_reference(sampler: Sampler, where: str) -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(2, 3, 4, 5, generator=generator)
    points = torch.tensor([POINTS[where]] * 2)
    torch.testing.assert_close(
        sampler(features, points), naive(features, points), atol=1e-5, rtol=1e-5
    )


@SAMPLERS
def test_gradients_are_exact(sampler: Sampler) -> None:
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(1, 2, 4, 5, dtype=torch.float64, generator=generator)
    points = torch.tensor([[[1.3, 2.6], [0.4, 0.7], [3.2, 1.9]]], dtype=torch.float64)
    assert torch.autograd.gradcheck(
        sampler, (features.requires_grad_(), points.requires_grad_()), atol=1e-5
    )


@SAMPLERS
def test_exports_as_one_graph(sampler: Sampler) -> None:
    class Module(torch.nn.Module):
        def forward(self, features: Tensor, points: Tensor) -> Tensor:
            return sampler(features, points)

    generator = torch.Generator().manual_seed(2)
    features = torch.randn(1, 3, 4, 5, generator=generator)
    points = torch.rand(1, 7, 2, generator=generator) * 6 - 1
    program = torch.export.export(Module(), (features, points))
    torch.testing.assert_close(program.module()(features, points), sampler(features, points))


def test_reference_points_are_block_centres() -> None:
    assert reference_points(2, 3, 1)[0].tolist() == [
        [0.0, 0.0],
        [1.0, 0.0],
        [2.0, 0.0],
        [0.0, 1.0],
        [1.0, 1.0],
        [2.0, 1.0],
    ]
    assert reference_points(3, 4, 2)[0].tolist() == [[0.5, 0.5], [2.5, 0.5], [0.5, 2.5], [2.5, 2.5]]


def attention(stride: int = 1) -> DeformableAttention:
    return DeformableAttention(8, stride, 2.0, "matmul", spread=0.5).eval()


def test_an_untrained_attention_stands_still_and_finds_itself() -> None:
    """Offsets start at zero, so that a cell with a distinctive key reads its own value."""
    generator = torch.Generator().manual_seed(3)
    key = 20 * torch.randn(1, 8, 4, 5, generator=generator)
    value = torch.randn(1, 6, 4, 5, generator=generator)
    readout, weights = attention()(key, key, value, torch.ones(1, 1, 1, 1))
    torch.testing.assert_close(readout, value, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(weights.sum(-1), torch.ones(1, 20))


def test_an_empty_slot_is_not_read() -> None:
    generator = torch.Generator().manual_seed(4)
    query = torch.randn(1, 8, 4, 5, generator=generator)
    keys = torch.randn(2, 8, 4, 5, generator=generator)
    values = torch.randn(2, 6, 4, 5, generator=generator)
    module = attention(stride=2)
    both = torch.tensor([1.0, 0.0]).reshape(2, 1, 1, 1)
    with_empty, weights = module(query, keys, values, both)
    alone, _ = module(query, keys[:1], values[:1], both[:1])
    torch.testing.assert_close(with_empty, alone)
    assert float(weights[..., weights.shape[-1] // 2 :].detach().max()) < 1e-30


def test_a_batch_of_clips_equals_one_clip_at_a_time() -> None:
    generator = torch.Generator().manual_seed(5)
    query = torch.randn(3, 8, 4, 5, generator=generator)
    keys = torch.randn(6, 8, 4, 5, generator=generator)
    values = torch.randn(6, 4, 4, 5, generator=generator)
    valid = torch.ones(6, 1, 1, 1)
    module = attention()
    torch.nn.init.normal_(module.offsets.pointwise.weight)
    together, _ = module(query, keys, values, valid)
    for i in range(3):
        pair = slice(2 * i, 2 * i + 2)
        alone, _ = module(query[i : i + 1], keys[pair], values[pair], valid[pair])
        torch.testing.assert_close(together[i : i + 1], alone, atol=1e-5, rtol=1e-4)


def test_offsets_stay_within_their_range() -> None:
    module = attention()
    torch.nn.init.normal_(module.offsets.pointwise.weight, std=100.0)
    offsets = module.offsets(torch.randn(1, 16, 4, 5))
    assert offsets.shape == (1, 20, 2)
    assert float(offsets.detach().abs().max()) <= 2.0
