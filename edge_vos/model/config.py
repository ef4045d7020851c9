"""The student's shape as data."""

from dataclasses import asdict, dataclass, fields
from typing import Any

from edge_vos.errors import CheckpointError, ShapeError
from edge_vos.graph import MEMORY_STRIDE, GraphSpec

SAMPLERS = ("native", "gather", "matmul")


@dataclass(frozen=True)
class StudentConfig:
    """Describe one student completely: two equal configs build interchangeable modules.

    Args:
        name: preset that this config started from.
        encoder: key of ``edge_vos.model.encoder.ENCODERS``.
        layers: propagation layers; the key of a memory entry holds one key for each.
        objects: object ids beside the background; the graph has ``objects + 1`` channels.
        slots: memory slots N.
        width: channels of the visual branch at stride 16.
        key_channels: channels of the key of one layer; Ck is ``layers`` times this.
        identity_channels: channels of one object's identity embedding; Cv is K times this.
        decoder_widths: channels of one object at strides 16, 8 and 4.
        pyramid_widths: channels of the image's own pyramid at strides 8 and 4, which all objects
            share; empty for none.
        outline_width: channels of the head that corrects outlines, which all objects share; 0 for
            none.
        long_stride: cells between the reference points of the long-term attention.
        short_stride: the same for the short-term attention.
        self_stride: the same for the self attention.
        offset_range: largest offset of a sampling point, in cells; 0 is attention without offsets,
            and dense where the stride is 1.
        sampler: one of ``SAMPLERS``; all give the same result.
    """

    name: str = "small"
    encoder: str = "lite0"
    layers: int = 1
    objects: int = 10
    slots: int = 4
    width: int = 128
    key_channels: int = 64
    identity_channels: int = 16
    decoder_widths: tuple[int, int, int] = (48, 32, 16)
    pyramid_widths: tuple[int, ...] = ()
    outline_width: int = 0
    long_stride: int = 2
    short_stride: int = 2
    self_stride: int = 2
    offset_range: float = 3.0
    sampler: str = "matmul"

    def __post_init__(self) -> None:
        if self.sampler not in SAMPLERS:
            raise ShapeError(f"sampler {self.sampler!r} does not exist", f"one of {SAMPLERS}")
        if self.objects < 1 or self.slots < 2 or self.layers < 1:
            raise ShapeError(
                f"objects={self.objects}, slots={self.slots}, layers={self.layers}",
                "at least one object, two slots and one layer",
            )
        if len(self.pyramid_widths) not in (0, 2):
            raise ShapeError(f"pyramid_widths={self.pyramid_widths}", "none or two widths")

    @property
    def channels(self) -> int:
        """Count the probability channels K: the background and every object."""
        return self.objects + 1

    @property
    def memory_key_channels(self) -> int:
        """Count the channels Ck of a memory key."""
        return self.layers * self.key_channels

    @property
    def value_channels(self) -> int:
        """Count the channels Cv of a memory value."""
        return self.channels * self.identity_channels

    def graph(self, size: tuple[int, int]) -> GraphSpec:
        """Return the graph that a student is exported as.

        Args:
            size: (height, width) of the image in pixels.

        Raises:
            ShapeError: if the size does not suit the student.
        """
        check_size(size)
        return GraphSpec(
            size, self.channels, self.slots, self.memory_key_channels, self.value_channels
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "StudentConfig":
        """Build a config from ``to_dict``'s result.

        A field that is missing is younger than the file and has its default, which is what the
        student had before there was a choice.

        Raises:
            CheckpointError: if a field is unknown.
        """
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise CheckpointError(
                f"student config has unknown fields {unknown}",
                f"{sorted(field.name for field in fields(cls))}",
                "These weights come from another version; train again or use the shipped ones",
            )
        lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
        return cls(**{**values, **lists})


PRESETS: dict[str, StudentConfig] = {
    "small": StudentConfig(),
    "nano": StudentConfig(name="nano", width=64, key_channels=32, decoder_widths=(32, 24, 16)),
    "teacher": StudentConfig(
        name="teacher",
        encoder="lite2",
        layers=2,
        width=192,
        decoder_widths=(96, 64, 32),
        pyramid_widths=(64, 48),
        long_stride=1,
        short_stride=1,
    ),
}
"""The teacher has the student's interface: a wider and deeper student is all that it is."""


def check_size(size: tuple[int, int]) -> None:
    """Raise ShapeError unless ``size`` (height, width) in pixels suits the student."""
    height, width = size
    least = 4 * MEMORY_STRIDE
    if height % MEMORY_STRIDE or width % MEMORY_STRIDE or min(size) < least:
        raise ShapeError(
            f"image size {height}x{width} does not fit the student",
            f"height and width as multiples of {MEMORY_STRIDE}, at least {least}",
            "Use for example --size 240x432",
        )
