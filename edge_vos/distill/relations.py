"""Distillation losses: what a student learns from its teacher's logits and attention maps.

The seed paper (https://arxiv.org/abs/2401.13937) distils logit relations and attention maps. The
relations are those of DIST (https://arxiv.org/abs/2205.10536), with objects for classes and
positions for samples; the maps are compared by centred kernel alignment
(https://arxiv.org/abs/1905.00414), or by their divergence for comparison.

No function takes a label. All compute in float32 under autocast, and in float64 where given it.
"""

import torch
from torch import Tensor

from edge_vos.errors import ShapeError

Size = tuple[int, int]

_VARIANCE_FLOOR = 1e-6
_PROBABILITY_FLOOR = 1e-8
_NORM_FLOOR = 1e-4  # of a map less its mean: rows that differ by a ten-thousandth are the same
_HSIC_FLOOR = 1e-6  # of a map of norm 1
_RELATED_IDS = 3


def inter_object_relation(
    student: Tensor, teacher: Tensor, active: Tensor, temperature: float = 1.0
) -> Tensor:
    """Return how the objects relate to each other at each position, as a Pearson distance.

    DIST, eqs. 6 and 9: ``mean over positions of 1 - rho(s[:, y, x], t[:, y, x])`` with
    ``s = softmax(student / temperature)`` over the active ids, and ``t`` alike.

    Two active ids, a background and one object, sum to one, so their correlation is a mere sign
    and has no gradient: clips with fewer than three active ids count 0.

    Args:
        student: (B, K, h, w) logits.
        teacher: (B, K, h, w) logits.
        active: (B, K) float32, 1 for an id in use; the others have no influence at all.
        temperature: divides the logits.

    Returns:
        A scalar in [0, 2], the mean over clips; 0 where no clip has three active ids.
    """
    s, t = (_soft(logits, active, temperature).flatten(2) for logits in (student, teacher))
    weight = active.to(s.dtype).unsqueeze(2)
    distance = 1 - _pearson(s, t, weight, dim=1).mean(1)
    related = (active.sum(1) >= _RELATED_IDS).to(s.dtype)
    return (distance * related).mean()


def intra_object_relation(
    student: Tensor, teacher: Tensor, active: Tensor, temperature: float = 1.0
) -> Tensor:
    """Return how the positions relate to each other for each object, as a Pearson distance.

    DIST, eqs. 6 and 10: ``mean over active ids, then clips, of 1 - rho(s[k, :], t[k, :])`` with
    ``s = softmax(student / temperature)`` over the active ids, and ``t`` alike.

    Takes what ``inter_object_relation`` takes.

    Returns:
        A scalar in [0, 2].
    """
    s, t = (_soft(logits, active, temperature).flatten(2) for logits in (student, teacher))
    weight = active.to(s.dtype)
    distance = 1 - _pearson(s, t, torch.ones_like(s[:1, :1]), dim=2)
    return ((distance * weight).sum(1) / weight.sum(1)).mean()


def logit_kl(student: Tensor, teacher: Tensor, active: Tensor, temperature: float = 1.0) -> Tensor:
    """Return the divergence of the student's softened probabilities from the teacher's.

    ``T^2 * mean over positions of KL(softmax(t / T) || softmax(s / T))`` over the active ids
    (Hinton et al., https://arxiv.org/abs/1503.02531, section 2).

    Args:
        student: (B, K, h, w) logits.
        teacher: (B, K, h, w) logits.
        active: (B, K) float32, 1 for an id in use; the others have no influence at all.
        temperature: T, divides the logits.
    """
    off = (active == 0)[:, :, None, None]
    log_s, log_t = (
        (_wide(logits) / temperature)
        .masked_fill(off, -torch.inf)
        .log_softmax(1)
        .masked_fill(off, 0.0)
        for logits in (student, teacher)
    )
    p_t = log_t.exp().masked_fill(off, 0.0)
    return temperature**2 * (p_t * (log_t - log_s)).sum(1).mean()


def cka(student_map: Tensor, teacher_map: Tensor, unbiased: bool = False) -> Tensor:
    """Return one minus the linear centred kernel alignment of two attention maps.

    ``1 - HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L))`` with the Gram matrices ``K = S S'`` and
    ``L = T T'`` over the Q query positions, which is why the maps may attend to different numbers
    of keys (Kornblith et al., https://arxiv.org/abs/1905.00414, eqs. 1-3). A map that is the same
    for all queries aligns with nothing.

    Biased, HSIC is ``tr(K H L H)`` and the alignment of each clip counts alike. The unbiased form
    takes ``HSIC_1`` of Song et al., averaged over the batch before the ratio, so that few queries
    at a time estimate what all would give (Nguyen et al., https://arxiv.org/abs/2010.15327,
    eqs. 2 and 3).

    Args:
        student_map: (B, Q, keys) in [0, 1], rows summing to 1.
        teacher_map: (B, Q, other keys), for the same queries; see ``pool_queries``.
        unbiased: use ``HSIC_1``; it needs four queries.

    Returns:
        A scalar: in [0, 1], but for the unbiased form, which chance may take above.

    Raises:
        ShapeError: if batch or queries disagree, or there are too few queries.
    """
    if student_map.shape[:2] != teacher_map.shape[:2]:
        raise ShapeError(
            f"attention maps of {tuple(student_map.shape)} and {tuple(teacher_map.shape)}",
            "the same batch and the same queries",
            "Bring both to one grid with pool_queries",
        )
    if student_map.shape[1] < (4 if unbiased else 2):
        raise ShapeError(
            f"attention maps of {student_map.shape[1]} queries", "at least 4 (2 when biased)"
        )
    with torch.autocast(student_map.device.type, enabled=False):
        s, t = _centred(_wide(student_map)), _centred(_wide(teacher_map))
        hsic = _unbiased_hsic if unbiased else _squared_covariance
        cross, own_s, own_t = hsic(s, t), hsic(s, s), hsic(t, t)
        if unbiased:
            cross, own_s, own_t = cross.mean(), own_s.mean(), own_t.mean()
        scale = (own_s.clamp(min=_HSIC_FLOOR) * own_t.clamp(min=_HSIC_FLOOR)).sqrt()
        return 1 - (cross / scale).mean()


def attention_kl(student_map: Tensor, teacher_map: Tensor) -> Tensor:
    """Return the divergence of the student's attention from the teacher's.

    ``mean over queries of KL(t || s)``; both maps have the same queries and keys, so maps on
    other grids go through ``pool_queries`` and ``pool_keys`` first.

    Args:
        student_map: (B, Q, keys) in [0, 1], rows summing to 1.
        teacher_map: (B, Q, keys), likewise.

    Raises:
        ShapeError: if the shapes differ.
    """
    if student_map.shape != teacher_map.shape:
        raise ShapeError(
            f"attention maps of {tuple(student_map.shape)} and {tuple(teacher_map.shape)}",
            "two maps of one shape",
            "Bring both to one grid with pool_queries and pool_keys",
        )
    s, t = (_wide(m) + _PROBABILITY_FLOOR for m in (student_map, teacher_map))
    return (t * (t.log() - s.log())).sum(2).mean()


def pool_queries(attention: Tensor, grid: Size, to: Size) -> Tensor:
    """Average a map over queries by area, so that it lies on another grid of queries.

    Args:
        attention: (B, h * w, keys) in [0, 1], rows summing to 1.
        grid: (h, w) of the queries.
        to: (height, width) wanted.

    Returns:
        (B, height * width, keys), rows summing to 1.

    Raises:
        ShapeError: if there are not h * w queries.
    """
    if attention.shape[1] != grid[0] * grid[1]:
        raise ShapeError(f"{attention.shape[1]} queries", f"{grid[0]} x {grid[1]} of them")
    if grid == to:
        return attention
    moved = attention.transpose(1, 2).reshape(len(attention), -1, *grid)
    share = to[0] * to[1] / (grid[0] * grid[1])
    return _by_area(moved, to).flatten(2).transpose(1, 2) * share


def pool_keys(attention: Tensor, slots: int, grid: Size, to: Size) -> Tensor:
    """Sum a map over keys by area, so that every slot has the keys of another grid.

    A deformable key counts for the cell of its reference point.

    Args:
        attention: (B, Q, slots * h * w) in [0, 1], rows summing to 1.
        slots: memory slots that the keys come from; 1 for short-term and self-attention.
        grid: (h, w) of the keys of a slot.
        to: (height, width) wanted, of the keys of a slot.

    Returns:
        (B, Q, slots * height * width), rows summing to 1.

    Raises:
        ShapeError: if there are not slots * h * w keys.
    """
    if attention.shape[2] != slots * grid[0] * grid[1]:
        raise ShapeError(
            f"{attention.shape[2]} keys", f"{slots} slots of {grid[0]} x {grid[1]} keys"
        )
    if grid == to:
        return attention
    batch, queries, _ = attention.shape
    return _by_area(attention.reshape(batch, queries, slots, *grid), to).flatten(2)


def _wide(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


def _soft(logits: Tensor, active: Tensor, temperature: float) -> Tensor:
    """Return the softmax over the active ids; the others are 0 and pass no gradient."""
    off = (active == 0)[:, :, None, None]
    return (_wide(logits) / temperature).masked_fill(off, -torch.inf).softmax(1)


def _pearson(a: Tensor, b: Tensor, weight: Tensor, dim: int) -> Tensor:
    """Correlate along an axis with weights of 0 and 1.

    The floor acts as one more coordinate, equal in both: two constants agree, and a correlation
    stays in [-1, 1] with a finite gradient.
    """
    count = weight.expand_as(a).sum(dim, keepdim=True)

    def mean(x: Tensor) -> Tensor:
        return (x * weight).sum(dim, keepdim=True) / count

    a, b = a - mean(a), b - mean(b)
    variance_a, variance_b = mean(a * a) + _VARIANCE_FLOOR, mean(b * b) + _VARIANCE_FLOOR
    covariance = mean(a * b) + _VARIANCE_FLOOR
    return (covariance * (variance_a * variance_b).rsqrt()).squeeze(dim)


def _centred(x: Tensor) -> Tensor:
    """Subtract each key's mean over the queries, and scale the clip's map to a norm of one."""
    x = x - x.mean(1, keepdim=True)
    norm: Tensor = torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True)
    return x / norm.clamp(min=_NORM_FLOOR)


def _squared_covariance(a: Tensor, b: Tensor) -> Tensor:
    """Return ``tr(A A' B B')`` of centred (B, Q, keys) maps, by the smaller of two products."""
    queries, keys_a, keys_b = a.shape[1], a.shape[2], b.shape[2]
    if queries * (keys_a + keys_b) < keys_a * keys_b:
        gram_a, gram_b = a @ a.transpose(1, 2), b @ b.transpose(1, 2)
        return (gram_a * gram_b).sum((1, 2))
    return (a.transpose(1, 2) @ b).square().sum((1, 2))


def _unbiased_hsic(a: Tensor, b: Tensor) -> Tensor:
    """Return ``n (n - 3) HSIC_1`` of (B, Q, keys) maps (Song et al., JMLR 13, 2012, eq. 4).

    The factor cancels in the ratio. HSIC_1 does not change when the maps are centred, and then the
    rows of the Gram matrices sum to zero: every sum over the matrices without their diagonals is
    one over the diagonals.
    """
    n = a.shape[1]
    diagonal_a, diagonal_b = a.square().sum(2), b.square().sum(2)
    trace = _squared_covariance(a, b) - n / (n - 2) * (diagonal_a * diagonal_b).sum(1)
    rest = diagonal_a.sum(1) * diagonal_b.sum(1) / ((n - 1) * (n - 2))
    return trace + rest


def _by_area(x: Tensor, to: Size) -> Tensor:
    """Spread (…, h, w) over (…, height, width) by overlapping areas, keeping the sum."""
    rows = _overlap(x.shape[-2], to[0], x)
    columns = _overlap(x.shape[-1], to[1], x)
    return rows @ x @ columns.transpose(0, 1)


def _overlap(cells: int, to: int, like: Tensor) -> Tensor:
    """Return (to, cells): the share of each cell that falls into each of ``to`` equal parts."""
    edges = torch.arange(cells, dtype=torch.float64) * (to / cells)
    parts = torch.arange(to, dtype=torch.float64).unsqueeze(1)
    low = torch.maximum(edges, parts)
    high = torch.minimum(edges + to / cells, parts + 1)
    return ((high - low).clamp(min=0) * (cells / to)).to(like.device, like.dtype)
