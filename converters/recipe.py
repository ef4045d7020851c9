"""A recipe: everything that was chosen for one bundle, and why."""

import re
from collections.abc import Collection
from dataclasses import dataclass

from edge_vos.converters.targets import BACKENDS, TARGETS
from edge_vos.errors import UsageError
from edge_vos.model.config import SAMPLERS, check_size


@dataclass(frozen=True)
class Recipe:
    """Describe one bundle to make; every field is checked.

    Args:
        target: a key of ``TARGETS``.
        backend: a key of ``BACKENDS``.
        precision: one of the backend's.
        sampler: one of ``SAMPLERS``.
        sampler_reason: why this one.
        size: (height, width) of the image, multiples of 16.

    Raises:
        UsageError: if a field names what does not exist.
        ShapeError: if the size does not suit the student.
    """

    target: str
    backend: str
    precision: str
    sampler: str
    sampler_reason: str
    size: tuple[int, int]

    def __post_init__(self) -> None:
        _one_of("target", self.target, TARGETS)
        _one_of("backend", self.backend, BACKENDS)
        _one_of("precision", self.precision, BACKENDS[self.backend].precisions)
        _one_of("sampler", self.sampler, SAMPLERS)
        check_size(self.size)

    @property
    def file_name(self) -> str:
        """Return the bundle's default name."""
        height, width = self.size
        return f"student-{height}x{width}-{self.target}-{self.precision}.bundle"


def choose(
    target: str,
    *,
    backend: str | None = None,
    precision: str | None = None,
    sampler: str = "auto",
    size: tuple[int, int] | None = None,
) -> Recipe:
    """Fill in what the user left open from the target's and the backend's row.

    Raises:
        UsageError: if a name does not exist; the message lists those that do.
        ShapeError: if the size does not suit the student.
    """
    row = TARGETS[_one_of("target", target, TARGETS)]
    engine = _one_of("backend", backend or row.backend, BACKENDS)
    auto = sampler == "auto"
    return Recipe(
        target=target,
        backend=engine,
        precision=precision or BACKENDS[engine].precisions[0],
        sampler=BACKENDS[engine].sampler if auto else sampler,
        sampler_reason=BACKENDS[engine].sampler_reason if auto else "as asked for",
        size=size or row.size,
    )


def parse_size(text: str) -> tuple[int, int]:
    """Read ``HxW``, as in 240x432.

    Raises:
        UsageError: if it is something else.
    """
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    if match is None:
        raise UsageError(f"size {text!r}", "HEIGHTxWIDTH", "Use for example --size 240x432")
    return int(match[1]), int(match[2])


def _one_of(option: str, value: str, known: Collection[str]) -> str:
    names = tuple(known)
    if value not in names:
        raise UsageError(
            f"unknown {option} {value!r}",
            f"one of {', '.join(names)}",
            f"Use for example --{option} {names[0]}",
        )
    return value
