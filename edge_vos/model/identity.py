"""Masks become identity embeddings, and prompts are merged with predictions.

AOT (https://arxiv.org/abs/2106.02638, eq. 4) draws one vector a patch and an id from a bank and
sums over ids. Here the bank is block-diagonal: every object passes the same patch embedding into
channels of its own. That costs no more, since the objects share one attention map, and it makes
the student *exactly* equivariant to a permutation of ids, so that no training is spent on learning
that ids are interchangeable.
"""

import torch
from torch import Tensor, nn

from edge_vos.graph import MASK_STRIDE, MEMORY_STRIDE
from edge_vos.model.config import StudentConfig

PATCH = MEMORY_STRIDE // MASK_STRIDE
SHIFT_LIMIT = 4.0
"""Bound of a change of the logarithm of the background's odds."""
LOGIT_LIMIT = 8.0
"""Bound of the logits: exp(8) times 11 channels stays within fp16."""


class IdentityEmbedding(nn.Module):
    """Embed each object's probability patch by patch."""

    def __init__(self, config: StudentConfig) -> None:
        super().__init__()
        channels = config.identity_channels
        self.embed = nn.Conv2d(1, channels, PATCH, PATCH)
        self.background = nn.Parameter(torch.zeros(1, channels, 1, 1))
        if channels == PATCH * PATCH:
            # Start as a lossless rearrangement of the patch's cells into channels.
            with torch.no_grad():
                self.embed.weight.copy_(torch.eye(channels).reshape(channels, 1, PATCH, PATCH))
                self.embed.bias.zero_()  # type: ignore[union-attr]

    def forward(self, probability: Tensor) -> Tensor:
        """Map (B, K, H/4, W/4) probabilities to the memory value (B, Cv, H/16, W/16)."""
        batch, objects, height, width = probability.shape
        embedded = self.embed(probability.reshape(batch * objects, 1, height, width))
        value = embedded.reshape(batch, -1, height // PATCH, width // PATCH)
        own = self.background.shape[1]
        return torch.cat([value[:, :own] + self.background, value[:, own:]], dim=1)


def probability_from_logits(logits: Tensor, active: Tensor) -> Tensor:
    """Normalise over the active channels.

    A softmax written with bounded logits: it needs no running maximum, no large negative constant
    and no softmax over the channel axis, which delegates refuse.

    Args:
        logits: (B, K, H/4, W/4) float32.
        active: (B, K, 1, 1) float32, 1 for an id in use.

    Returns:
        (B, K, H/4, W/4) float32 in [0, 1], summing to 1 over K, zero where not active.
    """
    odds = torch.exp(torch.tanh(logits / LOGIT_LIMIT) * LOGIT_LIMIT) * active
    return odds / odds.sum(1, keepdim=True)


def shift_background(probability: Tensor, shift: Tensor) -> Tensor:
    """Change the background's odds; the other ids share the rest as before.

    Args:
        probability: (B, K, H/4, W/4) float32, summing to 1 over K; channel 0 is the background.
        shift: (B, 1, H/4, W/4) float32, of the odds' logarithm, in units of
            ``SHIFT_LIMIT``, which bounds it.

    Returns:
        (B, K, H/4, W/4) float32, summing to 1 over K.
    """
    background = probability[:, :1]
    shifted = background * torch.exp(torch.tanh(shift) * SHIFT_LIMIT)
    total = shifted + (1 - background)
    return torch.cat([shifted, probability[:, 1:]], dim=1) / total


def merge_prompt(probability: Tensor, prompt: Tensor, prompted: Tensor) -> Tensor:
    """Let the user's masks replace the predictions of the ids that were prompted.

    What the prompts leave of a cell is shared by the other ids in proportion to their prediction.

    Args:
        probability: (B, K, H/4, W/4) float32.
        prompt: (B, K, H/4, W/4) float32, area coverage in [0, 1].
        prompted: (B, K, 1, 1) float32, 1 for an id whose mask was given.
    """
    given = prompt * prompted
    free = probability * (1 - prompted)
    room = 1 - given.sum(1, keepdim=True).clamp(0, 1)
    return given + free * (room / free.sum(1, keepdim=True).clamp(min=1e-4))
