"""The loss of the masks that a user sees: outlines after the guided filter, pixel by pixel.

The runtime enlarges what the network says with a guided filter. Here the same filter is part of the
loss, as in https://arxiv.org/abs/1803.05619, so that the network learns what gives the best outline
after it.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from edge_vos.graph import MASK_STRIDE
from edge_vos.runtime.guided_filter import FLAT, RADIUS, solve
from edge_vos.runtime.labels import LEAST_PROBABILITY

_REACH = 4  # pixels to each side of a true outline that count in full
_UNSURE = 2.0  # so do those whose odds' logarithm is less
_ELSEWHERE = 0.1  # what all others count
_MOST = 5.0  # cost of a pixel: where all is lost, the outline has nothing to learn
_LEAST_PIXELS = 50


def outline_loss(probability: Tensor, guide: Tensor, truth: Tensor) -> Tensor:
    """Compare what the user sees as any object with the truth, most of all near the outline.

    Cross-entropy, and half of one minus the soft intersection over union.

    Args:
        probability: (B, K, H/4, W/4) float32 in [0, 1]; channel 0 is the background.
        guide: (B, 3, H, W) float32 in [0, 255].
        truth: (B, 1, H, W) float32, 1 where any object is.
    """
    chance = probability.clamp(min=LEAST_PROBABILITY)
    logits = guided_filter((chance[:, 1:].amax(1, keepdim=True) / chance[:, :1]).log(), guide)
    with torch.no_grad():
        side = 2 * _REACH + 1
        near = F.max_pool2d(truth, side, 1, _REACH) + F.max_pool2d(-truth, side, 1, _REACH)
        weight = _ELSEWHERE + torch.maximum(near, (logits.abs() < _UNSURE).float())
    cost = F.binary_cross_entropy_with_logits(logits, truth, reduction="none").clamp(max=_MOST)
    found = logits.sigmoid()
    both = (found * truth).sum((1, 2, 3))
    either = (found + truth - found * truth).sum((1, 2, 3))
    counted = (truth.sum((1, 2, 3)) >= _LEAST_PIXELS).float()
    missed = ((1 - both / either.clamp(min=1)) * counted).sum() / counted.sum().clamp(min=1)
    return (cost * weight).sum() / weight.sum() + 0.5 * missed


def guided_filter(source: Tensor, guide: Tensor) -> Tensor:
    """Enlarge a map of cells as ``edge_vos.runtime.guided_filter`` does, with gradients.

    At the border of the picture, windows are smaller here and mirrored there.

    Args:
        source: (B, 1, h, w) float32.
        guide: (B, 3, 4 * h, 4 * w) float32 in [0, 255].

    Returns:
        (B, 1, 4 * h, 4 * w) float32.
    """
    colours = F.avg_pool2d(guide, MASK_STRIDE)
    means, level = _mean(colours), _mean(source)
    products = [[_mean(colours[:, i] * colours[:, j]) - means[:, i] * means[:, j]
                 for j in range(i + 1)] for i in range(3)]  # fmt: skip
    mixed = _mean(colours * source) - means * level
    slopes = torch.stack(solve(products, mixed.unbind(1)), dim=1)
    level = level - (slopes * means).sum(1, keepdim=True)
    fitted = _enlarge(_mean(level)) + (_enlarge(_mean(slopes)) * guide).sum(1, keepdim=True)
    total = (products[0][0] + products[1][1] + products[2][2])[:, None]
    trust = _enlarge(_mean(total / (total + FLAT)))
    return torch.lerp(_enlarge(source), fitted, trust)


def _mean(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 2 * RADIUS + 1, 1, RADIUS, count_include_pad=False)


def _enlarge(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=float(MASK_STRIDE), mode="bilinear", align_corners=False)
