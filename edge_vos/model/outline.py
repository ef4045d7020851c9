"""Correct where objects end, once for all of them, from what the encoder sees between the cells.

The decoder has few channels for each object, for it runs once an object. What is background is
decided here again by a wider stack that all objects share; which object the rest is stays as it
was.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from edge_vos.model.decoder import SeparableBlock
from edge_vos.model.encoder import ConvBatchNorm

BLOCKS = 4


class OutlineHead(nn.Module):
    """Say where the background is more or less likely than it was decoded; a new one says nothing.

    Args:
        width: channels.
        taps: channels of the encoder's taps at strides 2, 4 and 8.
    """

    def __init__(self, width: int, taps: tuple[int, int, int]) -> None:
        super().__init__()
        self.lateral2 = ConvBatchNorm(taps[0], width, 3, 2, activation=False)
        self.lateral4 = ConvBatchNorm(taps[1], width, activation=False)
        self.lateral8 = ConvBatchNorm(taps[2], width, activation=False)
        self.shown = ConvBatchNorm(1, width, 3, activation=False)
        self.blocks = nn.Sequential(*(SeparableBlock(width, 5) for _ in range(BLOCKS)))
        self.shift = nn.Conv2d(width, 1, 1)
        nn.init.zeros_(self.shift.weight)
        nn.init.zeros_(self.shift.bias)  # type: ignore[arg-type]

    def forward(self, background: Tensor, stride2: Tensor, stride4: Tensor, stride8: Tensor
                ) -> Tensor:  # fmt: skip
        """Return (B, 1, H/4, W/4) float32: the change for ``identity.shift_background``.

        Args:
            background: (B, 1, H/4, W/4) float32 in [0, 1], the background's probability.
            stride2: (B, C, H/2, W/2) float32, the encoder's tap.
            stride4: (B, C, H/4, W/4) float32.
            stride8: (B, C, H/8, W/8) float32.
        """
        x = self.lateral2(stride2) + self.lateral4(stride4) + self.shown(background)
        x = x + F.interpolate(
            self.lateral8(stride8), scale_factor=2.0, mode="bilinear", align_corners=False
        )
        shift: Tensor = self.shift(self.blocks(F.relu6(x)))
        return shift
