"""Losses on probability maps, each a plain function on tensors."""

import torch
from torch import Tensor
from torch.nn import functional as F


def bootstrapped_cross_entropy(
    probability: Tensor, target: Tensor, keep: float, trust: Tensor | None = None
) -> Tensor:
    """Average the cross-entropy, less the target's own entropy, over the hardest cells of each map.

    ``mean over the top share of w * sum_k t_k log(t_k / p_k)``; bootstrapping as in
    https://arxiv.org/abs/1605.06885, used for video objects by STM and AOT. Without its own entropy
    a soft target costs nothing where it is met, so that the cells kept are those where something
    is left to learn, and not those of which a teacher is unsure.

    Args:
        probability: (B, K, h, w) float32, summing to 1 over K.
        target: (B, K, h, w) float32 area coverage, summing to 1 over K.
        keep: share of the cells kept, in (0, 1].
        trust: (B, h, w) float32, the weight of each cell, not negative; ``None`` is 1.
    """
    divergence = torch.xlogy(target, target) - target * probability.clamp(min=1e-6).log()
    cost = divergence.sum(1)
    if trust is not None:
        cost = cost * trust
    kept = max(1, round(cost[0].numel() * keep))
    return cost.flatten(1).topk(kept, dim=1, sorted=False).values.mean()


def soft_jaccard(probability: Tensor, target: Tensor, active: Tensor) -> Tensor:
    """Return one minus the soft intersection over union, averaged over objects, then over clips.

    ``1 - sum(min(p, t)) / sum(max(p, t))`` over the cells (Ruzicka similarity, which is 1 exactly
    where both agree, fractional coverage included). The background is left out, and so are objects
    that fill less than a cell: against next to nothing, one cell weighs as much as a whole object
    does otherwise, and the student would learn to see nothing. Cross-entropy takes care of those.

    Args:
        probability: (B, K, h, w) float32.
        target: (B, K, h, w) float32 area coverage.
        active: (B, K) float32, 1 for an id in use.
    """
    intersection = torch.minimum(probability, target).sum((2, 3))
    union = torch.maximum(probability, target).sum((2, 3))
    counted = active * (target.sum((2, 3)) >= 1)
    loss = (1 - (intersection + 1) / (union + 1)) * counted
    return (loss[:, 1:].sum(1) / counted[:, 1:].sum(1).clamp(min=1)).mean()


def edge_emphasis(probability: Tensor, target: Tensor, weight: float) -> Tensor:
    """Weigh cells more where the target has an edge and the prediction is unsure.

    ``1 + weight * edge * uncertainty``: the edge is the largest change of coverage among a cell and
    its eight neighbours, the uncertainty is one minus the lead of the likeliest id over the next.
    No gradient flows through it.

    Args:
        probability: (B, K, h, w) float32.
        target: (B, K, h, w) float32 area coverage.
        weight: what a certain edge of which the prediction knows nothing counts beyond 1.

    Returns:
        (B, h, w) float32, 1 to ``1 + weight``.
    """
    with torch.no_grad():
        highest = F.max_pool2d(target, 3, 1, 1)
        lowest = -F.max_pool2d(-target, 3, 1, 1)
        edge = (highest - lowest).amax(1)
        first, second = probability.topk(2, dim=1).values.unbind(1)
        return 1 + weight * edge * (1 - (first - second))
