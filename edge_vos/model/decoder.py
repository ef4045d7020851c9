"""Two feature pyramids to stride 4: a wide one of the image that all objects share, and a narrow
one of each object that takes the image's features at every scale.

Paper: https://arxiv.org/abs/1612.03144 (FPN), depthwise-separable as in MobileNet.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from edge_vos.model.config import StudentConfig
from edge_vos.model.deformable import match_batch
from edge_vos.model.encoder import ConvBatchNorm


class SeparableBlock(nn.Module):
    """Filter each channel, mix them, and add the input."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.depthwise = ConvBatchNorm(channels, channels, kernel, groups=channels)
        self.pointwise = ConvBatchNorm(channels, channels, activation=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) float32 to the same shape."""
        y: Tensor = self.pointwise(self.depthwise(x))
        return F.relu6(x + y)


class ImagePyramid(nn.Module):
    """Bring what the image shows at stride 16 down to strides 8 and 4, once for all objects."""

    def __init__(self, config: StudentConfig, taps: tuple[int, int, int]) -> None:
        super().__init__()
        width8, width4 = config.pyramid_widths
        self.lateral8 = ConvBatchNorm(taps[1], width8, activation=False)
        self.lateral4 = ConvBatchNorm(taps[0], width4, activation=False)
        self.reduce16 = nn.Conv2d(config.width, width8, 1)
        self.reduce8 = nn.Conv2d(width8, width4, 1)
        self.block8 = SeparableBlock(width8, 3)
        self.block4 = SeparableBlock(width4, 3)

    def forward(self, x: Tensor, stride8: Tensor, stride4: Tensor) -> tuple[Tensor, Tensor]:
        """Return (B, pyramid_widths[0], H/8, W/8) and (B, pyramid_widths[1], H/4, W/4)."""
        y8 = self.block8(F.relu6(_upsample(self.reduce16(x)) + self.lateral8(stride8)))
        y4 = self.block4(F.relu6(_upsample(self.reduce8(y8)) + self.lateral4(stride4)))
        return y8, y4


class Decoder(nn.Module):
    """Turn each object's readout into logits, guided by the image's features.

    Args:
        config: the student's shape.
        taps: channels of the encoder's taps at strides 4, 8 and 16.
    """

    def __init__(self, config: StudentConfig, taps: tuple[int, int, int]) -> None:
        super().__init__()
        stride4, stride8, _ = taps
        self.pyramid = ImagePyramid(config, taps) if config.pyramid_widths else None
        if config.pyramid_widths:
            stride8, stride4 = config.pyramid_widths
        width16, width8, width4 = config.decoder_widths
        self.skip16 = ConvBatchNorm(config.width, width16, activation=False)
        self.skip8 = ConvBatchNorm(stride8, width8, activation=False)
        self.skip4 = ConvBatchNorm(stride4, width4, activation=False)
        self.block16 = SeparableBlock(width16, 5)
        self.reduce16 = nn.Conv2d(width16, width8, 1)
        self.block8 = SeparableBlock(width8, 3)
        self.reduce8 = nn.Conv2d(width8, width4, 1)
        self.block4 = SeparableBlock(width4, 3)
        self.logits = nn.Conv2d(width4, 1, 1)

    def forward(self, readout: Tensor, x: Tensor, stride8: Tensor, stride4: Tensor) -> Tensor:
        """Return (B, K, H/4, W/4) float32 logits.

        Args:
            readout: (B * K, decoder_widths[0], h, w) float32.
            x: (B, width, h, w) float32, the visual branch.
            stride8: (B, C, H/8, W/8) float32, the encoder's tap.
            stride4: (B, C, H/4, W/4) float32, the encoder's tap.
        """
        if self.pyramid is not None:
            stride8, stride4 = self.pyramid(x, stride8, stride4)
        batch = x.shape[0]
        objects = readout.shape[0] // batch
        y = self.block16(F.relu6(readout + match_batch(self.skip16(x), objects)))
        y = _upsample(self.reduce16(y)) + match_batch(self.skip8(stride8), objects)
        y = self.block8(F.relu6(y))
        y = _upsample(self.reduce8(y)) + match_batch(self.skip4(stride4), objects)
        logits: Tensor = self.logits(self.block4(F.relu6(y)))
        return logits.reshape(batch, objects, logits.shape[2], logits.shape[3])


def _upsample(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
