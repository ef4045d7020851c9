"""The student's shape as data."""

from dataclasses import asdict, dataclass, fields
from typing import Any

from edge_vos.errors import CheckpointError, ShapeError

STRIDE = 16
"""Pixels of the image per cell of the propagation's feature map."""

PROBABILITY_STRIDE = 4
"""Pixels of the image per cell of the probability map."""

SAMPLERS = ("native", "gather", "matmul")


@dataclass(frozen=True)
class StudentConfig:
    """Describe one student completely: two equal configs build interchangeable modules.

    Args:
        name: preset that this config started from.
        objects: object ids beside the background; the graph has ``objects + 1`` channels.
        slots: memory slots N.
        width: channels of the visual branch at stride 16.
        key_channels: channels Ck of a memory key.
        identity_channels: channels of one object's identity embedding; Cv is K times this.
        decoder_widths: channels of one object at strides 16, 8 and 4.
        long_stride: cells between the reference points of the long-term attention.
        short_stride: the same for the short-term attention.
        self_stride: the same for the self attention.
        offset_range: largest offset of a sampling point, in cells.
        sampler: one of ``SAMPLERS``; all give the same result.
    """

    name: str = "small"
    objects: int = 10
    slots: int = 4
    width: int = 128
    key_channels: int = 64
    identity_channels: int = 16
    decoder_widths: tuple[int, int, int] = (48, 32, 16)
    long_stride: int = 2
    short_stride: int = 2
    self_stride: int = 2
    offset_range: float = 3.0
    sampler: str = "matmul"

    def __post_init__(self) -> None:
        if self.sampler not in SAMPLERS:
            raise ShapeError(f"sampler {self.sampler!r} does not exist", f"one of {SAMPLERS}")
        if self.objects < 1 or self.slots < 2:
            raise ShapeError(
                f"objects={self.objects}, slots={self.slots}", "objects >= 1 and slots >= 2"
            )

    @property
    def channels(self) -> int:
        """Count the probability channels K: the background and every object."""
        return self.objects + 1

    @property
    def value_channels(self) -> int:
        """Count the channels Cv of a memory value."""
        return self.channels * self.identity_channels

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "StudentConfig":
        """Build a config from ``to_dict``'s result.

        Raises:
            CheckpointError: if a field is missing or unknown.
        """
        names = {field.name for field in fields(cls)}
        if set(values) != names:
            raise CheckpointError(
                f"student config has fields {sorted(values)}",
                f"{sorted(names)}",
                "These weights come from another version; train again or use the shipped ones",
            )
        return cls(**{**values, "decoder_widths": tuple(values["decoder_widths"])})


PRESETS: dict[str, StudentConfig] = {
    "small": StudentConfig(),
    "nano": StudentConfig(name="nano", width=64, key_channels=32, decoder_widths=(32, 24, 16)),
}


def check_size(size: tuple[int, int]) -> None:
    """Raise ShapeError unless ``size`` (height, width) in pixels suits the student."""
    height, width = size
    if height % STRIDE or width % STRIDE or min(height, width) < 4 * STRIDE:
        raise ShapeError(
            f"image size {height}x{width} does not fit the student",
            f"height and width as multiples of {STRIDE}, at least {4 * STRIDE}",
            "Use for example --size 240x432",
        )
