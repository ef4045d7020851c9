"""A feature pyramid to stride 4: image features are shared, every object has its own narrow path.

Paper: https://arxiv.org/abs/1612.03144 (FPN), depthwise-separable as in MobileNet.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from edge_vos.model.config import StudentConfig
from edge_vos.model.deformable import match_batch
from edge_vos.model.encoder import TAP_CHANNELS, ConvBatchNorm


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


class Decoder(nn.Module):
    """Turn each object's readout into logits, guided by the image's features."""

    def __init__(self, config: StudentConfig) -> None:
        super().__init__()
        stride4, stride8, _ = TAP_CHANNELS
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
            stride8: (B, 40, H/8, W/8) float32.
            stride4: (B, 24, H/4, W/4) float32.
        """
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
