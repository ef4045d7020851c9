"""The prompt head: a box or clicks, and the mask so far, to a mask of one object.

It has an encoder of its own, which starts as the student's. A picture goes in with four maps of
what the user showed, as in RITM (https://arxiv.org/abs/2102.06583), where the mask so far is what
lets a click correct it.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from edge_vos.graph import PROMPT_INPUT_NAMES, PROMPT_OUTPUT_NAMES
from edge_vos.model.as_callable import Arrays, as_callable
from edge_vos.model.decoder import SeparableBlock
from edge_vos.model.encoder import ConvBatchNorm, Encoder

PROMPT_CHANNELS = 4
_WIDTH32, _WIDTH16, _WIDTH8, _WIDTH4 = 160, 112, 48, 32
_PROMPT4, _PROMPT8, _PROMPT16 = 16, 32, 64


class PromptHead(nn.Module):
    """Find one object from an encoder's taps and the maps of what the user showed.

    Args:
        taps: channels of the encoder's taps at strides 4, 8 and 16.
    """

    def __init__(self, taps: tuple[int, int, int]) -> None:
        super().__init__()
        self.prompt4 = ConvBatchNorm(PROMPT_CHANNELS, _PROMPT4, 3)
        self.prompt8 = ConvBatchNorm(_PROMPT4, _PROMPT8, 3, 2)
        self.prompt16 = ConvBatchNorm(_PROMPT8, _PROMPT16, 3, 2)
        self.join4 = ConvBatchNorm(_PROMPT4, _WIDTH4, activation=False)
        self.join8 = ConvBatchNorm(_PROMPT8, _WIDTH8, activation=False)
        self.join16 = ConvBatchNorm(_PROMPT16, _WIDTH16, activation=False)
        self.lateral4 = ConvBatchNorm(taps[0], _WIDTH4, activation=False)
        self.lateral8 = ConvBatchNorm(taps[1], _WIDTH8, activation=False)
        self.lateral16 = ConvBatchNorm(taps[2], _WIDTH16, activation=False)
        self.block16 = nn.Sequential(*(SeparableBlock(_WIDTH16, 5) for _ in range(3)))
        self.down32 = nn.Sequential(
            ConvBatchNorm(_WIDTH16, _WIDTH16, 3, 2, groups=_WIDTH16),
            ConvBatchNorm(_WIDTH16, _WIDTH32),
        )
        self.block32 = nn.Sequential(*(SeparableBlock(_WIDTH32, 5) for _ in range(3)))
        self.reduce32 = nn.Conv2d(_WIDTH32, _WIDTH16, 1)
        self.merge16 = SeparableBlock(_WIDTH16, 5)
        self.reduce16 = nn.Conv2d(_WIDTH16, _WIDTH8, 1)
        self.merge8 = nn.Sequential(*(SeparableBlock(_WIDTH8, 3) for _ in range(2)))
        self.reduce8 = nn.Conv2d(_WIDTH8, _WIDTH4, 1)
        self.merge4 = nn.Sequential(*(SeparableBlock(_WIDTH4, 3) for _ in range(2)))
        self.logits = nn.Conv2d(_WIDTH4, 1, 1)

    def forward(self, stride4: Tensor, stride8: Tensor, stride16: Tensor, prompt: Tensor) -> Tensor:
        """Return (B, 1, H/4, W/4) float32 logits.

        Args:
            stride4: (B, C, H/4, W/4) float32, the encoder's tap; H and W are multiples of 32.
            stride8: (B, C, H/8, W/8) float32.
            stride16: (B, C, H/16, W/16) float32.
            prompt: (B, 4, H/4, W/4) float32 in [0, 1]; see ``edge_vos.graph``.
        """
        shown4 = self.prompt4(prompt)
        shown8 = self.prompt8(shown4)
        shown16 = self.prompt16(shown8)
        x16 = self.block16(F.relu6(self.lateral16(stride16) + self.join16(shown16)))
        x32 = self.block32(self.down32(x16))
        x16 = self.merge16(F.relu6(_upsample(self.reduce32(x32)) + x16))
        x8 = _upsample(self.reduce16(x16)) + self.lateral8(stride8) + self.join8(shown8)
        x8 = self.merge8(F.relu6(x8))
        x4 = _upsample(self.reduce8(x8)) + self.lateral4(stride4) + self.join4(shown4)
        logits: Tensor = self.logits(self.merge4(F.relu6(x4)))
        return logits


class PromptNetwork(nn.Module):
    """The graph that is exported: an encoder and the head that was trained with it.

    Args:
        encoder: begins as the student's.
        head: trained on the taps of that encoder.
    """

    def __init__(self, encoder: Encoder, head: PromptHead) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head

    def forward(self, image: Tensor, prompt: Tensor) -> Tensor:
        """Find one object in a picture.

        Args:
            image: (1, 3, H, W) float32 in [0, 255], RGB; H and W are multiples of 32.
            prompt: (1, 4, H/4, W/4) float32 in [0, 1]: clicks on the object, clicks beside it, its
                box, its mask so far.

        Returns:
            (1, 1, H/4, W/4) float32, the object's probability.
        """
        probability: Tensor = self.head(*self.encoder(image), prompt).sigmoid()
        return probability


def prompt_network_as_callable(
    network: PromptNetwork,
) -> Callable[[Arrays], dict[str, NDArray[np.float32]]]:
    """Wrap an eager network as named arrays in, named arrays out, for the runtime."""
    return as_callable(network, PROMPT_INPUT_NAMES, PROMPT_OUTPUT_NAMES)


def _upsample(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
