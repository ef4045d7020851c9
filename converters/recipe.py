"""A recipe: everything that was chosen for one bundle, and why."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from edge_vos.converters.targets import TARGETS
from edge_vos.engines import ENGINES
from edge_vos.errors import UsageError
from edge_vos.model.config import SAMPLERS, check_size

ALL = "all"
AS_ASKED = "as asked for"


@dataclass(frozen=True)
class Recipe:
    """Describe one bundle to make; every field is checked.

    Args:
        target: a key of ``TARGETS``.
        backend: a key of ``edge_vos.engines.ENGINES``.
        precision: one of the backend's.
        reason: why this backend and precision.
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
    reason: str
    sampler: str
    sampler_reason: str
    size: tuple[int, int]

    def __post_init__(self) -> None:
        _one_of("target", self.target, TARGETS)
        _one_of("backend", self.backend, ENGINES)
        _one_of("precision", self.precision, ENGINES[self.backend].precisions, self.backend)
        _one_of("sampler", self.sampler, SAMPLERS)
        check_size(self.size)

    @property
    def file_name(self) -> str:
        """Return the bundle's default name; a backend is named where it is not the target's."""
        height, width = self.size
        own = TARGETS[self.target].backend == self.backend
        engine = self.target if own else f"{self.target}-{self.backend}"
        return f"student-{height}x{width}-{engine}-{self.precision}.bundle"


def choose(
    target: str | None = None,
    *,
    backend: str | None = None,
    precision: str | None = None,
    sampler: str = "auto",
    size: tuple[int, int] | None = None,
) -> Recipe:
    """Fill in what the user left open from the target's and the backend's row.

    Raises:
        UsageError: if a name does not exist, or there is neither a target nor a backend; the
            message lists those that do.
        ShapeError: if the size does not suit the student.
    """
    if target is None and backend is None:
        raise UsageError(
            "Nothing says what to convert for",
            f"--target with one of {', '.join(TARGETS)}, or --backend",
            "Use for example --target cpu",
        )
    if target is None:
        target = ENGINES[_one_of("backend", str(backend), ENGINES)].target
    row = TARGETS[_one_of("target", target, TARGETS)]
    engine = _one_of("backend", backend or row.backend, ENGINES)
    own = engine == row.backend
    usual = row.precision if own else ENGINES[engine].precisions[0]
    auto = sampler == "auto"
    return Recipe(
        target=target,
        backend=engine,
        precision=precision or usual,
        reason=row.reason if own and precision in (None, row.precision) else AS_ASKED,
        sampler=ENGINES[engine].sampler if auto else sampler,
        sampler_reason=ENGINES[engine].sampler_reason if auto else AS_ASKED,
        size=size or row.size,
    )


def choose_all(
    targets: Sequence[str],
    backends: Sequence[str] = (),
    precisions: Sequence[str] = (),
    *,
    sampler: str = "auto",
    size: tuple[int, int] | None = None,
) -> list[Recipe]:
    """Make a recipe of every combination; "all" stands for every name that there is.

    Args:
        targets: may be empty where there are backends.
        backends: by default each target's own.
        precisions: by default the target's or the backend's; "all" are those of each backend.
        sampler: as ``choose`` takes it.
        size: as ``choose`` takes it.

    Raises:
        UsageError: if a name does not exist, or there is neither a target nor a backend.
        ShapeError: if the size does not suit the student.
    """
    wanted_targets: list[str | None] = list(TARGETS if ALL in targets else targets)
    wanted_backends: list[str | None] = list(ENGINES if ALL in backends else backends)
    recipes: list[Recipe] = []
    for target in wanted_targets or [None]:
        for backend in wanted_backends or [None]:
            first = choose(target, backend=backend, sampler=sampler, size=size)
            if not precisions:
                recipes.append(first)
                continue
            names = ENGINES[first.backend].precisions if ALL in precisions else precisions
            recipes += [
                choose(target, backend=backend, precision=name, sampler=sampler, size=size)
                for name in names
            ]
    return list(dict.fromkeys(recipes))


def parse_size(text: str) -> tuple[int, int]:
    """Read ``HxW``, as in 240x432.

    Raises:
        UsageError: if it is something else.
    """
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    if match is None:
        raise UsageError(f"size {text!r}", "HEIGHTxWIDTH", "Use for example --size 240x432")
    return int(match[1]), int(match[2])


def _one_of(option: str, value: str, known: Collection[str], where: str = "") -> str:
    names = tuple(known)
    if value not in names:
        raise UsageError(
            f"unknown {option} {value!r}" + (f" for {where}" if where else ""),
            f"one of {', '.join(names)}",
            f"Use for example --{option} {names[0]}",
        )
    return value
