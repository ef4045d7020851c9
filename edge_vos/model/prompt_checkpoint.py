"""The prompt network on disk: safetensors with the head and the encoder it was trained with."""

import os
from pathlib import Path

from safetensors.torch import save

from edge_vos.errors import CheckpointError
from edge_vos.model.checkpoint import read_tensors
from edge_vos.model.encoder import ENCODERS, Encoder
from edge_vos.model.prompt_head import PromptHead, PromptNetwork

FORMAT = "edge-vos/prompt-head/2"

_TRAIN = "Leave it out to use the shipped one, or train one: edge-vos train prompts"


def default_prompt_head_path() -> Path:
    """Return the path of the shipped prompt head's weights, whether they are there or not."""
    return Path(__file__).parent.parent / "weights" / "prompt-head.safetensors"


def save_prompt_network(
    network: PromptNetwork, path: Path, metadata: dict[str, str] | None = None
) -> None:
    """Write a prompt network in float16, beside the path first and then renamed.

    Args:
        network: the module to save.
        path: file to write or replace.
        metadata: further strings for the header (steps, data, figures).
    """
    tensors = {
        name: tensor.detach().cpu().half().contiguous()
        for name, tensor in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    header = {"format": FORMAT, "encoder": network.encoder.name, **(metadata or {})}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_bytes(save(tensors, header))
    os.replace(temporary, path)


def load_prompt_network(path: Path | str) -> PromptNetwork:
    """Read a prompt network in evaluation mode, in float32.

    Raises:
        CheckpointError: if the file is missing, damaged, or of another architecture.
    """
    path = Path(path)
    header, tensors = read_tensors(path, FORMAT, "a safetensors file with a prompt head", _TRAIN)
    if (name := header.get("encoder", "")) not in ENCODERS:
        raise CheckpointError(
            f"weights {path} name the encoder {name!r:.80}", f"one of {', '.join(ENCODERS)}", _TRAIN
        )
    encoder = Encoder(name)
    network = PromptNetwork(encoder, PromptHead(encoder.tap_channels))
    own = {k: v for k, v in network.state_dict().items() if not k.endswith("num_batches_tracked")}
    wrong = sorted(
        name
        for name in {*own, *tensors}
        if name not in own or name not in tensors or own[name].shape != tensors[name].shape
    )
    if wrong:
        raise CheckpointError(
            f"weights {path} are of another architecture: {len(wrong)} tensors do not fit: "
            f"{wrong[:3]}",
            "the tensors of a prompt head and its encoder",
            _TRAIN,
        )
    network.load_state_dict(tensors, strict=False)
    return network.eval()
