"""Weights on disk: safetensors with the student's config in the header."""

import hashlib
import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from edge_vos.errors import CheckpointError
from edge_vos.model.config import StudentConfig
from edge_vos.model.student import Student

FORMAT = "edge-vos/student/1"


def default_weights_path() -> Path:
    """Return the path of the shipped student's weights."""
    return Path(__file__).parent.parent / "weights" / "student.safetensors"


def weights_sha256(path: Path) -> str:
    """Return the digest of a weights file.

    Raises:
        CheckpointError: if there is none.
    """
    if not path.is_file():
        raise CheckpointError(f"weights {path} do not exist", "a safetensors file")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def average_students(first: Student, second: Student, share: float) -> Student:
    """Return a student whose weights lie between those of two.

    Between a student and what further training made of it lies one that keeps what the first knew
    and has most of what the second learned (https://arxiv.org/abs/2109.01903).

    Args:
        first: any student.
        second: one of the same shape.
        share: of the second, in [0, 1].

    Raises:
        CheckpointError: if their shapes differ.
    """
    if first.config != second.config:
        raise CheckpointError(
            "the students have different shapes", "two of one shape, one trained on from the other"
        )
    mean = Student(first.config)
    ours, theirs = first.state_dict(), second.state_dict()
    mean.load_state_dict(
        {
            name: torch.lerp(ours[name], theirs[name], share)
            if ours[name].is_floating_point()
            else ours[name]
            for name in ours
        }
    )
    return mean.eval()


def save_student(
    student: Student,
    path: Path,
    metadata: dict[str, str] | None = None,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write the weights and the config, beside the path first and then renamed.

    Args:
        student: the module to save.
        path: file to write or replace.
        metadata: further strings for the header (steps, data, figures).
        dtype: floating type on disk; ``load_student`` always gives float32.
    """
    tensors = {
        name: (tensor.to(dtype) if tensor.is_floating_point() else tensor).contiguous()
        for name, tensor in student.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    header = {"format": FORMAT, "config": json.dumps(student.config.to_dict()), **(metadata or {})}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_bytes(save(tensors, header))
    os.replace(temporary, path)


def read_tensors(
    path: Path, wanted: str, expected: str, hint: str
) -> tuple[dict[str, str], dict[str, torch.Tensor]]:
    """Read a safetensors file: its header and its tensors, floating-point ones in float32.

    Args:
        path: the file.
        wanted: the header's ``format``.
        expected: what the file should be, for an error.
        hint: what to do next, for an error.

    Raises:
        CheckpointError: if the file is missing, damaged, or of another format.
    """
    if not path.is_file():
        raise CheckpointError(f"weights {path} do not exist", expected, hint)
    try:
        with safe_open(str(path), framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"weights {path} cannot be read: {error}", expected, hint) from error
    if header.get("format") != wanted:
        raise CheckpointError(
            f"weights {path} have format {header.get('format')!r}", repr(wanted), hint
        )
    floats = {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}
    return header, floats


def load_student(path: Path | str, sampler: str | None = None) -> Student:
    """Read a student in evaluation mode, in float32.

    Args:
        path: a file written by ``save_student``.
        sampler: replaces the config's sampler; all give the same result.

    Raises:
        CheckpointError: if the file is missing, damaged, or of another architecture.
    """
    path = Path(path)
    expected = "a safetensors file written by edge-vos train"
    hint = "Leave --weights out to use the shipped student"
    header, floats = read_tensors(path, FORMAT, expected, hint)
    values = json.loads(header["config"])
    config = StudentConfig.from_dict({**values, "sampler": sampler or values["sampler"]})
    student = Student(config)
    missing, unexpected = (
        student.load_state_dict(floats, strict=False)
        if _fits(student, floats)
        else ([], ["a tensor of another shape"])
    )
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    if missing or unexpected:
        raise CheckpointError(
            f"weights {path} are of another architecture "
            f"({len(missing)} tensors missing, unexpected: {unexpected[:3]})",
            f"the tensors of preset {config.name!r}",
            hint,
        )
    return student.eval()


def _fits(student: Student, tensors: dict[str, torch.Tensor]) -> bool:
    own = student.state_dict()
    return all(own[name].shape == t.shape for name, t in tensors.items() if name in own)
