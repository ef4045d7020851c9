"""Deformable attention: queries attend to keys and values that were moved.

Reference points lie on a grid over each memory slot; an offset network moves them; keys and values
are sampled there bilinearly (Xia et al., *Vision Transformer with Deformable Attention*,
https://arxiv.org/abs/2201.00520, eqs. 5-8, as adopted by https://arxiv.org/abs/2401.13937).

Sampling points are (B, P, 2) float32, (x, y) in cells of the map, clamped to it: with
``align_corners=True`` zero padding and border padding agree, and so do all engines.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Sampler = Callable[[Tensor, Tensor], Tensor]

INVALID_SLOT_LOGIT = -100.0
"""Added to the attention logits of an empty slot: far below any real one, well within fp16."""


def sample_native(features: Tensor, points: Tensor) -> Tensor:
    """Sample by ``grid_sample``: (B, C, h, w) at (B, P, 2) cells gives (B, C, P)."""
    height, width = features.shape[-2:]
    scale = torch.tensor([2.0 / (width - 1), 2.0 / (height - 1)], dtype=points.dtype)
    grid = (points * scale.to(points.device) - 1.0).unsqueeze(1)
    sampled = F.grid_sample(features, grid, "bilinear", "border", align_corners=True)
    return sampled.squeeze(2)


def sample_gather(features: Tensor, points: Tensor) -> Tensor:
    """Sample by four gathered taps: (B, C, h, w) at (B, P, 2) cells gives (B, C, P)."""
    batch, channels, height, width = features.shape
    x = points[..., 0].clamp(0, width - 1)
    y = points[..., 1].clamp(0, height - 1)
    left = x.floor().clamp(max=max(width - 2, 0))
    top = y.floor().clamp(max=max(height - 2, 0))
    fraction_x, fraction_y = x - left, y - top
    step_x, step_y = min(1, width - 1), width * min(1, height - 1)
    first = (top * width + left).long()
    flat = features.reshape(batch, channels, height * width)

    def tap(offset: int, weight: Tensor) -> Tensor:
        index = (first + offset).unsqueeze(1).expand(batch, channels, -1)
        return flat.gather(2, index) * weight.unsqueeze(1)

    return (
        tap(0, (1 - fraction_x) * (1 - fraction_y))
        + tap(step_x, fraction_x * (1 - fraction_y))
        + tap(step_y, (1 - fraction_x) * fraction_y)
        + tap(step_x + step_y, fraction_x * fraction_y)
    )


def sample_matmul(features: Tensor, points: Tensor) -> Tensor:
    """Sample by one product with hat weights: (B, C, h, w) at (B, P, 2) cells gives (B, C, P).

    The weight of row ``j`` at coordinate ``p`` is ``relu(1 - |p - j|)``: exact, dense, and made of
    operators that every delegate takes.
    """
    batch, channels, height, width = features.shape
    weights_x = _hat_weights(points[..., 0], width)
    weights_y = _hat_weights(points[..., 1], height)
    weights = (weights_y.unsqueeze(3) * weights_x.unsqueeze(2)).reshape(batch, -1, height * width)
    flat = features.reshape(batch, channels, height * width)
    return torch.bmm(flat, weights.transpose(1, 2))


def _hat_weights(coordinate: Tensor, cells: int) -> Tensor:
    grid = torch.arange(0, cells, 1, dtype=coordinate.dtype, device=coordinate.device)
    clamped = coordinate.clamp(0, cells - 1).unsqueeze(2)
    return F.relu(1 - (clamped - grid).abs())


SAMPLER_FUNCTIONS: dict[str, Sampler] = {
    "native": sample_native,
    "gather": sample_gather,
    "matmul": sample_matmul,
}


def reference_points(height: int, width: int, stride: int) -> Tensor:
    """Return the (1, P, 2) float32 centres, in cells, of ``stride`` x ``stride`` blocks.

    P is ceil(height / stride) * ceil(width / stride), row by row.
    """
    centre = (stride - 1) / 2
    y = torch.arange(0, height, stride, dtype=torch.float32) + centre
    x = torch.arange(0, width, stride, dtype=torch.float32) + centre
    grid = torch.stack(torch.meshgrid(y, x, indexing="ij"), dim=-1)
    return grid.flip(-1).reshape(1, -1, 2)


class OffsetNetwork(nn.Module):
    """Predict how far each reference point moves: depthwise convolution, GELU, 1x1, tanh."""

    def __init__(self, channels: int, stride: int, offset_range: float) -> None:
        super().__init__()
        self.offset_range = offset_range
        self.depthwise = nn.Conv2d(channels, channels, 5, stride, 2, groups=channels, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.pointwise = nn.Conv2d(channels, 2, 1)
        nn.init.zeros_(self.pointwise.weight)
        nn.init.zeros_(self.pointwise.bias)  # type: ignore[arg-type]

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, C, h, w) features to (B, P, 2) offsets in cells, within the offset range."""
        offsets = self.pointwise(F.gelu(self.norm(self.depthwise(features))))
        return torch.tanh(offsets).flatten(2).transpose(1, 2) * self.offset_range


class DeformableAttention(nn.Module):
    """Attend from every cell of a query map to moved points of N memory slots.

    The logit of query q at position p_q and a key k sampled at p_k is
    ``-s |q - k|^2 - g |p_q - p_k|^2`` with learned s and g (the squared distance of STCN,
    https://arxiv.org/abs/2106.05210 eq. 4, plus a Gaussian prior on displacement). Terms that are
    equal for all keys are left out, and what remains is one matrix product of augmented vectors.
    Positions are measured in heights of the map, so the prior does not depend on the resolution.

    Args:
        key_channels: Ck.
        stride: cells between reference points.
        offset_range: largest offset, in cells; 0 leaves the points where they are.
        sampler: name in ``SAMPLER_FUNCTIONS``.
        spread: initial standard deviation of the displacement prior, in map heights.
    """

    def __init__(
        self, key_channels: int, stride: int, offset_range: float, sampler: str, spread: float
    ) -> None:
        super().__init__()
        self.stride = stride
        self.sampler = sampler
        self.offsets = (
            OffsetNetwork(2 * key_channels, stride, offset_range) if offset_range else None
        )
        self.log_scale = nn.Parameter(torch.tensor(float(key_channels) ** -0.5).log())
        self.log_position_scale = nn.Parameter(torch.tensor(0.5 * spread**-2).log())

    def forward(
        self, query: Tensor, keys: Tensor, values: Tensor, valid: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Read ``values`` at the moved points of every slot.

        Args:
            query: (B, Ck, h, w) float32.
            keys: (B * N, Ck, h, w) float32.
            values: (B * N, C, h, w) float32.
            valid: (B * N, 1, 1, 1) float32, 0 for an empty slot.

        Returns:
            The readout (B, C, h, w), and the attention map (B, h * w, N * P), rows summing to 1.
        """
        batch, key_channels, height, width = query.shape
        slots = keys.shape[0] // batch
        points = self.sampling_points(repeat_batch(query, slots), keys)
        memory = torch.cat([keys, values], dim=1)
        dense = self.offsets is None and self.stride == 1
        sampled = memory.flatten(2) if dense else SAMPLER_FUNCTIONS[self.sampler](memory, points)
        key, value = sampled[:, :key_channels], sampled[:, key_channels:]

        scale, position_scale = self.log_scale.exp(), self.log_position_scale.exp()
        key_xy = ((points - _centre(height, width, query)) / height).transpose(1, 2)
        key_bias = (
            -scale * (key * key).sum(1, keepdim=True)
            - position_scale * (key_xy * key_xy).sum(1, keepdim=True)
            + (1 - valid.flatten(1).unsqueeze(2)) * INVALID_SLOT_LOGIT
        )
        keys_augmented = torch.cat([key, key_xy, key_bias], dim=1)
        query_xy = (reference_points(height, width, 1).to(query.device)
                    - _centre(height, width, query)) / height  # fmt: skip
        query_xy = query_xy.transpose(1, 2) * (2 * position_scale)
        queries_augmented = torch.cat(
            [
                query.flatten(2) * (2 * scale),
                query_xy.expand(batch, -1, -1),
                torch.ones_like(query.flatten(2)[:, :1]),
            ],
            dim=1,
        )
        logits = torch.bmm(queries_augmented.transpose(1, 2), _join_slots(keys_augmented, slots))
        attention = torch.softmax(logits, dim=-1)
        readout = torch.bmm(_join_slots(value, slots), attention.transpose(1, 2))
        return readout.reshape(batch, -1, height, width), attention

    def sampling_points(self, query: Tensor, keys: Tensor) -> Tensor:
        """Return the (B, P, 2) cells to sample for (B, Ck, h, w) queries and keys."""
        height, width = keys.shape[-2:]
        points = reference_points(height, width, self.stride).to(keys.device)
        if self.offsets is not None:
            points = points + self.offsets(torch.cat([query, keys], dim=1))
        x, y = points[..., 0:1].clamp(0, width - 1), points[..., 1:2].clamp(0, height - 1)
        return torch.cat([x, y], dim=2).expand(keys.shape[0], -1, -1)


def repeat_batch(x: Tensor, times: int) -> Tensor:
    """Repeat each element of the batch: (B, C, h, w) gives (B * times, C, h, w)."""
    if x.shape[0] == 1:
        return x.expand(times, -1, -1, -1)
    return x.repeat_interleave(times, dim=0)


def match_batch(x: Tensor, times: int) -> Tensor:
    """Let (B, C, h, w) combine with (B * times, C, h, w); a batch of one broadcasts by itself."""
    return x if x.shape[0] == 1 else x.repeat_interleave(times, dim=0)


def _centre(height: int, width: int, like: Tensor) -> Tensor:
    return torch.tensor([(width - 1) / 2, (height - 1) / 2], device=like.device)


def _join_slots(x: Tensor, slots: int) -> Tensor:
    """Turn (B * N, C, P) into (B, C, N * P)."""
    if slots == 1:
        return x
    batch, channels, points = x.shape[0] // slots, x.shape[1], x.shape[2]
    return x.reshape(batch, slots, channels, points).transpose(1, 2).reshape(batch, channels, -1)
