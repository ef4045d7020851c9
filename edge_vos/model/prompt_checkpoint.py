"""The prompt head's weights on disk: safetensors that name the encoder they were trained on.

The file holds the head alone. Its header has a digest of the encoder, so that a head is never put
on another encoder than its own.
"""

import copy
import hashlib
import os
import re
from pathlib import Path

import torch
from safetensors.torch import save
from torch import nn

from edge_vos.errors import CheckpointError
from edge_vos.model.checkpoint import read_tensors
from edge_vos.model.encoder import Encoder
from edge_vos.model.prompt_head import PromptHead, PromptNetwork
from edge_vos.model.student import Student

FORMAT = "edge-vos/prompt-head/1"

_DIGEST = "encoder_sha256"
_TRAIN = "Train one on this student: edge-vos train prompts"
_SHA256 = re.compile(r"[0-9a-f]{64}")


def default_prompt_head_path() -> Path:
    """Return the path of the shipped prompt head's weights, whether they are there or not."""
    return Path(__file__).parent.parent / "weights" / "prompt-head.safetensors"


def encoder_sha256(encoder: nn.Module) -> str:
    """Return the digest of an encoder: of its tensors' names, shapes and values in float16.

    Weights are kept in float16, so a student has the same digest before and after it was saved.
    """
    found = hashlib.sha256()
    for name, tensor in sorted(_saved(encoder).items()):
        found.update(f"{name} {tuple(tensor.shape)}\n".encode())
        found.update(tensor.numpy().tobytes())
    return found.hexdigest()


def save_prompt_head(
    head: PromptHead, encoder: nn.Module, path: Path, metadata: dict[str, str] | None = None
) -> None:
    """Write a head in float16, beside the path first and then renamed.

    Args:
        head: the module to save.
        encoder: that it was trained on.
        path: file to write or replace.
        metadata: further strings for the header (steps, data, figures).
    """
    header = {"format": FORMAT, _DIGEST: encoder_sha256(encoder), **(metadata or {})}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_bytes(save(_saved(head), header))
    os.replace(temporary, path)


def load_prompt_head(path: Path | str) -> tuple[PromptHead, str]:
    """Read a head in evaluation mode, in float32, and the digest of the encoder it belongs to.

    Raises:
        CheckpointError: if the file is missing, damaged, or of another architecture.
    """
    path = Path(path)
    header, tensors = read_tensors(path, FORMAT, "a safetensors file with a prompt head", _TRAIN)
    digest = header.get(_DIGEST, "")
    if not _SHA256.fullmatch(digest):
        raise CheckpointError(
            f"weights {path} name the encoder {digest!r:.80}", "a sha256 as encoder_sha256", _TRAIN
        )
    laterals = [tensors.get(f"lateral{stride}.0.weight") for stride in (4, 8, 16)]
    taps = [lateral.shape[1] for lateral in laterals if lateral is not None and lateral.dim() == 4]
    if len(taps) != len(laterals):
        raise _another_architecture(path, "its laterals are not there")
    head = PromptHead((taps[0], taps[1], taps[2]))
    own = _saved(head)
    wrong = sorted(
        name
        for name in {*own, *tensors}
        if name not in own or name not in tensors or own[name].shape != tensors[name].shape
    )
    if wrong:
        raise _another_architecture(path, f"{len(wrong)} tensors do not fit: {wrong[:3]}")
    head.load_state_dict(tensors, strict=False)
    return head.eval(), digest


def load_prompt_network(student: Student, path: Path | str) -> PromptNetwork:
    """Put a head on a copy of a student's encoder: the graph that is exported, in evaluation mode.

    Args:
        student: whose encoder the head was trained on.
        path: the head's weights.

    Raises:
        CheckpointError: if the file cannot be used, or the head belongs to another encoder.
    """
    head, digest = load_prompt_head(path)
    own = encoder_sha256(student.encoder)
    if digest != own:
        raise CheckpointError(
            f"the prompt head {path} belongs to the encoder {digest[:12]}, "
            f"and the student {student.config.name!r} has the encoder {own[:12]}",
            "a prompt head that was trained on this student's encoder",
            _TRAIN,
        )
    encoder: Encoder = copy.deepcopy(student.encoder)
    return PromptNetwork(encoder, head).eval()


def _saved(module: nn.Module) -> dict[str, torch.Tensor]:
    """Return what of a module is kept on disk, in float16."""
    return {
        name: tensor.detach().cpu().half().contiguous()
        for name, tensor in module.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }


def _another_architecture(path: Path, why: str) -> CheckpointError:
    return CheckpointError(
        f"weights {path} are of another architecture: {why}", "the tensors of a prompt head", _TRAIN
    )
