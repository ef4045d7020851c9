"""A prompt head and its encoder on disk: they come back as they were."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from edge_vos.errors import CheckpointError
from edge_vos.graph import PromptGraphSpec
from edge_vos.model.encoder import Encoder
from edge_vos.model.prompt_checkpoint import FORMAT, load_prompt_network, save_prompt_network
from edge_vos.model.prompt_head import PromptHead, PromptNetwork

GRAPH = PromptGraphSpec((64, 96))


@pytest.fixture
def network() -> PromptNetwork:
    torch.manual_seed(1)
    encoder = Encoder()
    return PromptNetwork(encoder, PromptHead(encoder.tap_channels)).eval()


@pytest.fixture
def path(network: PromptNetwork, tmp_path: Path) -> Path:
    path = tmp_path / "prompt-head.safetensors"
    save_prompt_network(network, path, {"steps": "7"})
    return path


def test_a_head_comes_back_with_its_encoder(network: PromptNetwork, path: Path) -> None:
    loaded = load_prompt_network(path)
    inputs = [torch.rand(spec.shape) for spec in GRAPH.inputs]
    with torch.inference_mode():
        found, expected = loaded(*inputs), network.half().float()(*inputs)
    assert found.shape == GRAPH.outputs[0].shape
    torch.testing.assert_close(found, expected)
    assert not loaded.training


def test_the_file_is_in_float16(path: Path) -> None:
    tensors = load_file(path)
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}
    assert {name.split(".")[0] for name in tensors} == {"encoder", "head"}


def test_files_that_hold_no_head_are_refused(path: Path) -> None:
    tensors = load_file(path)
    header = {"format": FORMAT, "encoder": "lite0"}
    few = {name: tensor for name, tensor in tensors.items() if "block32" not in name}
    odd = {**tensors, "head.logits.weight": torch.zeros(2, 32, 1, 1)}
    flat = {**tensors, "head.lateral8.0.weight": torch.zeros(4)}
    for content, changed, told in (
        (tensors, {**header, "format": "edge-vos/student/1"}, "have format"),
        (tensors, {"format": FORMAT}, "name the encoder"),
        (few, header, "another architecture"),
        (odd, header, "head.logits.weight"),
        (flat, header, "another architecture"),
        ({"a": torch.zeros(1)}, header, "another architecture"),
    ):
        save_file(content, path, changed)
        with pytest.raises(CheckpointError, match=told):
            load_prompt_network(path)
    path.write_bytes(b"no weights")
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_prompt_network(path)
    path.unlink()
    with pytest.raises(CheckpointError, match="do not exist"):
        load_prompt_network(path)
