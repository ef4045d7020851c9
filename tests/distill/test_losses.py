"""The losses against naive versions and on cases with a known answer."""

import math

import torch

from edge_vos.distill.losses import bootstrapped_cross_entropy, edge_emphasis, soft_jaccard


def maps(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 3, 4, 5, generator=generator)
    target = torch.nn.functional.one_hot(
        torch.randint(0, 3, (2, 4, 5), generator=generator), 3
    ).permute(0, 3, 1, 2)
    return logits.softmax(1), target.float()


def test_cross_entropy_keeps_the_hardest_cells() -> None:
    probability, target = maps()
    per_clip = []
    for p, t in zip(probability, target, strict=True):
        cells = sorted(
            (-math.log(float(p[:, y, x][t[:, y, x].argmax()])) for y in range(4) for x in range(5)),
            reverse=True,
        )
        per_clip.append(sum(cells[:5]) / 5)
    expected = sum(per_clip) / 2
    assert abs(float(bootstrapped_cross_entropy(probability, target, 0.25)) - expected) < 1e-5


def test_cross_entropy_of_the_truth_is_zero_however_unsure_the_truth_is() -> None:
    soft, hard = maps()
    assert float(bootstrapped_cross_entropy(hard, hard, 1.0)) == 0.0
    assert abs(float(bootstrapped_cross_entropy(soft, soft, 1.0))) < 1e-6


def test_cross_entropy_keeps_what_can_be_learned_and_not_what_is_unsure() -> None:
    target = torch.tensor([[[[0.5, 1.0]], [[0.5, 0.0]]]])
    probability = torch.tensor([[[[0.5, 0.8]], [[0.5, 0.2]]]])
    found = float(bootstrapped_cross_entropy(probability, target, 0.5))
    assert abs(found + math.log(0.8)) < 1e-6


def test_cross_entropy_leaves_out_what_is_not_trusted() -> None:
    probability, target = maps()
    trust = torch.ones(2, 4, 5)
    plain = bootstrapped_cross_entropy(probability, target, 1.0)
    assert torch.equal(bootstrapped_cross_entropy(probability, target, 1.0, trust), plain)
    trust[:, :, 1:] = 0
    others = probability.clone()
    others[:, :, :, 1:] = 1 / 3
    found = [bootstrapped_cross_entropy(p, target, 1.0, trust) for p in (probability, others)]
    assert torch.equal(*found)
    assert 0 < float(found[0]) < float(plain)


def test_jaccard_of_the_truth_is_zero_with_fractional_coverage_too() -> None:
    target = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(1))
    assert float(soft_jaccard(target, target, torch.ones(2, 3))) == 0.0


def test_jaccard_on_hard_masks_is_the_intersection_over_union() -> None:
    a, b = torch.zeros(1, 2, 10, 10), torch.zeros(1, 2, 10, 10)
    a[:, 1, :, :6] = 1
    b[:, 1, :, 3:9] = 1
    expected = 1 - (30 + 1) / (90 + 1)
    assert abs(float(soft_jaccard(a, b, torch.ones(1, 2))) - expected) < 1e-6


def test_jaccard_leaves_out_the_background_and_inactive_ids() -> None:
    probability, target = maps()
    active = torch.tensor([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    changed = probability.clone()
    changed[:, 0] = 0
    changed[:, 2] = 0
    changed[1] = 0
    assert torch.equal(
        soft_jaccard(probability, target, active), soft_jaccard(changed, target, active)
    )
    assert float(soft_jaccard(probability, target, torch.zeros(2, 3))) == 0.0


def test_jaccard_leaves_out_what_is_hidden() -> None:
    probability, target = maps()
    target[0, 0] += target[0, 1]
    target[0, 1] = 0
    loss = soft_jaccard(probability, target, torch.ones(2, 3))
    without = soft_jaccard(probability, target, torch.tensor([[1.0, 0, 1], [1, 1, 1]]))
    assert torch.equal(loss, without)
    assert loss > 0


def test_an_edge_counts_more_where_the_student_is_unsure() -> None:
    target = torch.zeros(1, 2, 5, 8)
    target[:, 0, :, :4], target[:, 1, :, 4:] = 1, 1
    sure = target.clone()
    unsure = torch.full_like(target, 0.5)
    assert torch.equal(edge_emphasis(sure, target, 3.0), torch.ones(1, 5, 8))
    weight = edge_emphasis(unsure, target, 3.0)
    assert weight[0, :, 3:5].unique().tolist() == [4.0]
    assert weight[0, :, :3].unique().tolist() == weight[0, :, 5:].unique().tolist() == [1.0]
    assert torch.equal(edge_emphasis(unsure, target, 0.0), torch.ones(1, 5, 8))
