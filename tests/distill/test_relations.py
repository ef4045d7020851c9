"""The distillation losses against naive loops, on known cases, and under what they ignore."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from edge_vos.distill import relations
from edge_vos.errors import ShapeError

LogitLoss = Callable[[Tensor, Tensor, Tensor, float], Tensor]
LOGIT_LOSSES = [
    relations.inter_object_relation,
    relations.intra_object_relation,
    relations.logit_kl,
]
ACTIVE = torch.tensor([[1.0, 1, 1, 1, 0], [1, 1, 0, 1, 0], [1, 0, 0, 1, 0]])
TEMPERATURE = 2.0


def _logits(seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.randn(3, 5, 4, 6, generator=generator, dtype=dtype)


def _map(seed: int, queries: int = 9, keys: int = 7, batch: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(batch, queries, keys, generator=generator, dtype=torch.float64)
    return logits.softmax(2)


def _rotation(keys: int) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.linalg.qr(torch.randn(keys, keys, generator=generator, dtype=torch.float64))[0]


def _probability(logits: Tensor, clip: int, y: int, x: int) -> list[float]:
    ids = [k for k in range(5) if ACTIVE[clip, k]]
    odds = [math.exp(float(logits[clip, k, y, x]) / TEMPERATURE) for k in ids]
    return [value / sum(odds) for value in odds]


def _naive_inter(student: Tensor, teacher: Tensor) -> float:
    clips = []
    for clip in (0, 1):  # the third has two ids only, and counts 0
        cells = [
            1 - np.corrcoef(_probability(student, clip, y, x), _probability(teacher, clip, y, x))
            for y in range(4)
            for x in range(6)
        ]
        clips.append(np.mean(cells, axis=0)[0, 1])
    return sum(clips) / 3


def _naive_intra(student: Tensor, teacher: Tensor) -> float:
    clips = []
    for clip in range(3):
        maps = [
            np.array([_probability(z, clip, y, x) for y in range(4) for x in range(6)])
            for z in (student, teacher)
        ]
        ids = range(maps[0].shape[1])
        clips.append(np.mean([1 - np.corrcoef(maps[0][:, k], maps[1][:, k])[0, 1] for k in ids]))
    return float(np.mean(clips))


def _naive_kl(student: Tensor, teacher: Tensor) -> float:
    cells = [
        sum(
            t * math.log(t / s)
            for s, t in zip(
                _probability(student, clip, y, x), _probability(teacher, clip, y, x), strict=True
            )
        )
        for clip in range(3)
        for y in range(4)
        for x in range(6)
    ]
    return TEMPERATURE**2 * float(np.mean(cells))


@pytest.mark.parametrize(
    ("loss", "naive"),
    [
        (relations.inter_object_relation, _naive_inter),
        (relations.intra_object_relation, _naive_intra),
        (relations.logit_kl, _naive_kl),
    ],
)
def test_logit_losses_agree_with_a_naive_loop(
    loss: LogitLoss, naive: Callable[[Tensor, Tensor], float]
) -> None:
    student, teacher = _logits(0), _logits(1)
    value = float(loss(student, teacher, ACTIVE, TEMPERATURE))
    assert value == pytest.approx(naive(student, teacher), rel=2e-3)


@pytest.mark.parametrize("loss", LOGIT_LOSSES)
def test_logit_losses_of_the_teacher_itself_are_zero(loss: LogitLoss) -> None:
    assert abs(float(loss(_logits(0), _logits(0), ACTIVE, TEMPERATURE))) < 1e-12


@pytest.mark.parametrize("loss", LOGIT_LOSSES)
def test_inactive_ids_have_no_influence(loss: LogitLoss) -> None:
    student, teacher = _logits(0), _logits(1)
    changed_student, changed_teacher = student.clone(), teacher.clone()
    off = (ACTIVE == 0)[:, :, None, None].expand_as(student)
    changed_student[off], changed_teacher[off] = 1e4, torch.nan
    changed_student.requires_grad_()
    value = loss(changed_student, changed_teacher, ACTIVE, TEMPERATURE)
    assert torch.equal(value, loss(student, teacher, ACTIVE, TEMPERATURE))
    value.backward()
    assert changed_student.grad is not None
    assert not changed_student.grad[off].any()
    assert torch.isfinite(changed_student.grad).all()


@pytest.mark.parametrize("loss", LOGIT_LOSSES)
def test_logit_losses_pass_gradcheck(loss: LogitLoss) -> None:
    student = _logits(0).requires_grad_()
    assert torch.autograd.gradcheck(lambda z: loss(z, _logits(1), ACTIVE, TEMPERATURE), student)


@pytest.mark.parametrize("loss", LOGIT_LOSSES)
def test_logit_losses_survive_saturated_logits(loss: LogitLoss) -> None:
    student = (1e4 * _logits(0, torch.float32)).requires_grad_()
    value = loss(student, 1e4 * _logits(1, torch.float32), ACTIVE, TEMPERATURE)
    value.backward()
    assert student.grad is not None
    assert torch.isfinite(value)
    assert torch.isfinite(student.grad).all()


def test_relations_do_not_change_with_an_affine_change_of_the_probabilities() -> None:
    # Two ids: p and 1 - p. Halving the contrast of p is an affine change of both.
    p = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    softer = 0.25 + 0.5 * p
    pair, softer_pair = (torch.cat([1 - q, q], 1).log() for q in (p, softer))
    assert float(relations.intra_object_relation(pair, softer_pair, torch.ones(1, 2))) < 1e-4
    three = _logits(0)[:1, :3].softmax(1)
    mixed = (0.3 * three + 0.7 / 3).log()
    assert float(relations.inter_object_relation(three.log(), mixed, torch.ones(1, 3))) < 1e-3


def test_relations_of_independent_logits_are_near_one_and_of_opposites_above() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(4, 6, 32, 32, generator=generator) for _ in range(2))
    active = torch.ones(4, 6)
    for loss in (relations.inter_object_relation, relations.intra_object_relation):
        assert float(loss(a, b, active)) == pytest.approx(1, abs=0.03)
        assert float(loss(a, -a, active)) > 1.5


def test_two_ids_have_no_relation_between_objects() -> None:
    one_object = torch.tensor([[1.0, 1, 0, 0, 0]] * 3)
    assert float(relations.inter_object_relation(_logits(0), _logits(1), one_object)) == 0
    assert float(relations.intra_object_relation(_logits(0), _logits(1), one_object)) > 0.5


def _naive_hsic(k: Tensor, l: Tensor, unbiased: bool) -> float:  # noqa: E741
    n = len(k)
    if not unbiased:
        h = torch.eye(n, dtype=torch.float64) - 1 / n
        return float(torch.trace(k @ h @ l @ h))
    k, l = k - torch.diag(torch.diag(k)), l - torch.diag(torch.diag(l))  # noqa: E741
    trace = sum(float(k[i, j] * l[j, i]) for i in range(n) for j in range(n))
    sums = float(k.sum() * l.sum()) / ((n - 1) * (n - 2))
    mixed = sum(float(k[:, i].sum() * l[i].sum()) for i in range(n))
    return (trace + sums - 2 / (n - 2) * mixed) / (n * (n - 3))


@pytest.mark.parametrize("keys", [3, 40])  # by cross-covariance, by Gram matrices
def test_cka_agrees_with_its_definition(keys: int) -> None:
    student, teacher = _map(0, keys=keys), _map(1, keys=keys + 2)
    grams = [(a @ a.T, b @ b.T) for a, b in zip(student, teacher, strict=True)]
    biased = [
        _naive_hsic(k, l, False) / math.sqrt(_naive_hsic(k, k, False) * _naive_hsic(l, l, False))
        for k, l in grams  # noqa: E741
    ]
    assert float(relations.cka(student, teacher)) == pytest.approx(1 - np.mean(biased), rel=1e-9)
    # HSIC_1 scales with its maps, and the batch is averaged before the ratio: one scale for all.
    first, second = (m[:1] for m in (student, teacher))
    k, l = grams[0]  # noqa: E741
    ratio = _naive_hsic(k, l, True) / math.sqrt(_naive_hsic(k, k, True) * _naive_hsic(l, l, True))
    assert float(relations.cka(first, second, unbiased=True)) == pytest.approx(1 - ratio, rel=1e-9)


@pytest.mark.parametrize("unbiased", [False, True])
def test_cka_ignores_rotation_scale_and_the_order_of_keys(unbiased: bool) -> None:
    student, teacher = _map(0, keys=7), _map(1, keys=5)
    expected = float(relations.cka(student, teacher, unbiased))
    assert 0.1 < expected < 1.3
    order = torch.randperm(7, generator=torch.Generator().manual_seed(3))
    for changed in (3 * student @ _rotation(7), student[:, :, order], student + 0.2):
        assert float(relations.cka(changed, teacher, unbiased)) == pytest.approx(expected, rel=1e-9)
    shuffled_queries = student[:, torch.arange(8, -1, -1)]
    assert float(relations.cka(shuffled_queries, teacher, unbiased)) != pytest.approx(
        expected, rel=1e-3
    )


def test_cka_of_equal_maps_is_zero_and_of_independent_ones_near_one() -> None:
    assert abs(float(relations.cka(_map(0), _map(0)))) < 1e-12
    assert abs(float(relations.cka(_map(0), _map(0), unbiased=True))) < 1e-12
    wide = _map(0, 200, 40), _map(1, 200, 30)
    assert float(relations.cka(*wide, unbiased=True)) == pytest.approx(1, abs=0.03)
    assert float(relations.cka(*wide)) == pytest.approx(0.85, abs=0.1)  # what the bias is


def test_few_queries_estimate_the_unbiased_form_but_not_the_biased_one() -> None:
    shared = torch.randn(240, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    maps = [
        (shared @ torch.randn(6, keys, generator=torch.Generator().manual_seed(keys)).double()
         + torch.randn(240, keys, generator=torch.Generator().manual_seed(99 + keys)).double())
        .softmax(1).unsqueeze(0)
        for keys in (12, 20)
    ]  # fmt: skip
    whole = [float(relations.cka(*maps, unbiased=unbiased)) for unbiased in (False, True)]
    parts = [m.reshape(24, 10, -1) for m in maps]
    split = [float(relations.cka(*parts, unbiased=unbiased)) for unbiased in (False, True)]
    assert abs(split[1] - whole[1]) < 0.05
    assert abs(split[0] - whole[0]) > 2 * abs(split[1] - whole[1])


def test_a_map_that_ignores_the_query_aligns_with_nothing() -> None:
    flat = torch.full((2, 9, 7), 1 / 7, requires_grad=True)
    loss = relations.cka(flat, _map(0).float())
    loss.backward()
    assert float(loss.detach()) == pytest.approx(1)
    assert flat.grad is not None
    assert torch.isfinite(flat.grad).all()


@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize("keys", [3, 12])
def test_cka_passes_gradcheck(unbiased: bool, keys: int) -> None:
    student, teacher = _map(0, 5, keys).requires_grad_(), _map(1, 5, keys)
    assert torch.autograd.gradcheck(lambda m: relations.cka(m, teacher, unbiased), student)


def test_cka_keeps_float32_under_autocast() -> None:
    student, teacher = _map(0, 64, 32).float(), _map(1, 64, 24).float()
    with torch.autocast("cpu", torch.bfloat16):
        inside = relations.cka(student, teacher)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, relations.cka(student, teacher))


def test_attention_kl_agrees_with_a_naive_loop_and_is_zero_for_equal_maps() -> None:
    student, teacher = _map(0), _map(1)
    rows = [
        sum(float(t) * math.log(float(t) / float(s)) for s, t in zip(*pair, strict=True))
        for clip in range(2)
        for pair in zip(student[clip], teacher[clip], strict=True)
    ]
    assert float(relations.attention_kl(student, teacher)) == pytest.approx(np.mean(rows), rel=1e-5)
    assert float(relations.attention_kl(student, student)) == 0
    empty_slot = torch.cat([student, torch.zeros_like(student)], 2).requires_grad_()
    relations.attention_kl(
        empty_slot, torch.cat([teacher, torch.zeros_like(teacher)], 2)
    ).backward()
    assert empty_slot.grad is not None
    assert torch.isfinite(empty_slot.grad).all()
    assert torch.autograd.gradcheck(
        lambda m: relations.attention_kl(m, teacher), student.requires_grad_()
    )


def test_pooling_averages_queries_and_sums_keys() -> None:
    attention = _map(0, queries=4 * 6, keys=2 * 4 * 6)
    coarse = relations.pool_queries(attention, (4, 6), (2, 3))
    top_left = attention[:, [0, 1, 6, 7]].mean(1)
    assert torch.allclose(coarse[:, 0], top_left)
    fewer = relations.pool_keys(attention, 2, (4, 6), (2, 3))
    assert fewer.shape == (2, 24, 12)
    assert torch.allclose(fewer[:, :, 6], attention[:, :, [24, 25, 30, 31]].sum(2))


@pytest.mark.parametrize("to", [(3, 4), (5, 7), (4, 6)])
def test_pooled_rows_sum_to_one_on_grids_that_do_not_divide(to: tuple[int, int]) -> None:
    attention = _map(0, queries=4 * 6, keys=2 * 4 * 6)
    for pooled in (
        relations.pool_queries(attention, (4, 6), to),
        relations.pool_keys(attention, 2, (4, 6), to),
    ):
        assert torch.allclose(pooled.sum(2), torch.ones((), dtype=torch.float64))
    assert relations.pool_queries(attention, (4, 6), to).shape[1] == to[0] * to[1]


def test_maps_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ShapeError, match="pool_queries"):
        relations.cka(_map(0), _map(0, queries=8))
    with pytest.raises(ShapeError, match="3 queries"):
        relations.cka(_map(0, queries=3), _map(0, queries=3), unbiased=True)
    with pytest.raises(ShapeError, match="pool_keys"):
        relations.attention_kl(_map(0), _map(0, keys=8))
    with pytest.raises(ShapeError, match="9 queries"):
        relations.pool_queries(_map(0), (2, 4), (1, 2))
    with pytest.raises(ShapeError, match="7 keys"):
        relations.pool_keys(_map(0), 2, (2, 2), (1, 1))
