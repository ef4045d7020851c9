"""Gated propagation (DeAOT's GPM) over deformable attention.

Papers: https://arxiv.org/abs/2210.09782 (gated propagation, eqs. 3-5), made deformable after
https://arxiv.org/abs/2401.13937. The attention map is computed from the visual branch alone and
shared by every object; the gate ``SiLU(U) * readout`` comes from the visual branch too.
"""

from dataclasses import dataclass

from torch import Tensor, cat, nn
from torch.nn import functional as F

from edge_vos.model.config import StudentConfig
from edge_vos.model.deformable import DeformableAttention, match_batch
from edge_vos.model.encoder import ConvBatchNorm

LONG_SPREAD = 0.7
SHORT_SPREAD = 0.15
SELF_SPREAD = 0.5


@dataclass(frozen=True)
class AttentionMaps:
    """Hold the attention maps of one step, (B, h * w, keys) float32, rows summing to 1."""

    self_attention: Tensor
    long_term: Tensor
    short_term: Tensor


class SelfPropagation(nn.Module):
    """Let the visual branch attend to itself, gated, with a residual."""

    def __init__(self, config: StudentConfig) -> None:
        super().__init__()
        width = config.width
        self.key = nn.Conv2d(width, config.key_channels, 1)
        self.value = nn.Conv2d(width, width, 1)
        self.gate = nn.Conv2d(width, width, 1)
        self.attention = DeformableAttention(
            config.key_channels,
            config.self_stride,
            config.offset_range,
            config.sampler,
            SELF_SPREAD,
        )
        self.depthwise = nn.Conv2d(width, width, 5, 1, 2, groups=width, bias=False)
        self.project = ConvBatchNorm(width, width, activation=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, width, h, w) to the same shape; return the attention map too."""
        key = self.key(x)
        valid = x.new_ones(x.shape[0], 1, 1, 1)
        readout, attention = self.attention(key, key, self.value(x), valid)
        y = self.project(self.depthwise(F.silu(self.gate(x)) * readout))
        return x + y, attention


class MemoryPropagation(nn.Module):
    """Carry the identities of the memory to the current frame: long-term and short-term.

    The long-term attention reads every slot, the short-term one the previous frame (slot 1) with a
    narrow prior on displacement. Objects share all weights and lie in the batch, so the module is
    equivariant to a permutation of ids and ten objects cost one attention map.
    """

    def __init__(self, config: StudentConfig) -> None:
        super().__init__()
        self.config = config
        outputs = config.decoder_widths[0]
        both = 2 * config.identity_channels
        self.long_term = DeformableAttention(
            config.key_channels,
            config.long_stride,
            config.offset_range,
            config.sampler,
            LONG_SPREAD,
        )
        self.short_term = DeformableAttention(
            config.key_channels,
            config.short_stride,
            config.offset_range,
            config.sampler,
            SHORT_SPREAD,
        )
        self.gate = nn.Conv2d(config.width, both, 1)
        self.depthwise = nn.Conv2d(both, both, 5, 1, 2, groups=both, bias=False)
        self.project = ConvBatchNorm(both, outputs, activation=False)
        self.readout = nn.Conv2d(both, outputs, 1)

    def forward(
        self, x: Tensor, query: Tensor, keys: Tensor, values: Tensor, valid: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Read the identity embeddings of all objects for the current frame.

        Args:
            x: (B, width, h, w) float32, the visual branch.
            query: (B, Ck, h, w) float32.
            keys: (B * N, Ck, h, w) float32.
            values: (B * N, Cv, h, w) float32.
            valid: (B * N, 1, 1, 1) float32.

        Returns:
            (B * K, decoder_widths[0], h, w), and the long-term and short-term attention maps.
        """
        batch, _, height, width = x.shape
        slots = len(keys) // batch
        long, long_map = self.long_term(query, keys, values, valid)
        short, short_map = self.short_term(query, keys[1::slots], values[1::slots], valid[1::slots])
        channels = self.config.identity_channels
        objects = values.shape[1] // channels
        shape = (batch * objects, channels, height, width)
        readout = cat([long.reshape(shape), short.reshape(shape)], dim=1)
        gate = match_batch(F.silu(self.gate(x)), objects)
        gated = self.project(self.depthwise(gate * readout))
        return gated + self.readout(readout), long_map, short_map
