"""A prompt head on disk: it comes back as it was, and never onto another encoder."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from edge_vos.errors import CheckpointError
from edge_vos.graph import PromptGraphSpec
from edge_vos.model.checkpoint import load_student, save_student
from edge_vos.model.config import StudentConfig
from edge_vos.model.prompt_checkpoint import (
    FORMAT,
    encoder_sha256,
    load_prompt_head,
    load_prompt_network,
    save_prompt_head,
)
from edge_vos.model.prompt_head import PromptHead, PromptNetwork
from edge_vos.model.student import Student

GRAPH = PromptGraphSpec((64, 96))


@pytest.fixture(scope="module")
def student() -> Student:
    torch.manual_seed(0)
    return Student(StudentConfig(objects=3)).eval()


@pytest.fixture
def path(student: Student, tmp_path: Path) -> Path:
    torch.manual_seed(1)
    path = tmp_path / "prompt-head.safetensors"
    save_prompt_head(
        PromptHead(student.encoder.tap_channels), student.encoder, path, {"steps": "7"}
    )
    return path


def test_a_head_comes_back_with_its_encoder(student: Student, path: Path) -> None:
    torch.manual_seed(1)
    saved = PromptHead(student.encoder.tap_channels).half().float().eval()
    network = load_prompt_network(student, path)
    inputs = [torch.rand(spec.shape) for spec in GRAPH.inputs]
    with torch.inference_mode():
        found = network(*inputs)
        expected = PromptNetwork(student.encoder, saved)(*inputs)
    assert found.shape == GRAPH.outputs[0].shape
    torch.testing.assert_close(found, expected)
    assert not network.training


def test_the_network_has_an_encoder_of_its_own(student: Student, path: Path) -> None:
    network = load_prompt_network(student, path)
    before = encoder_sha256(student.encoder)
    with torch.no_grad():
        next(network.encoder.parameters()).add_(1.0)
    assert encoder_sha256(student.encoder) == before


def test_the_file_holds_the_head_alone_in_float16(path: Path) -> None:
    tensors = load_file(path)
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}
    assert not any(name.startswith("encoder") for name in tensors)


def test_an_encoder_has_one_digest_before_and_after_it_is_saved(
    student: Student, tmp_path: Path
) -> None:
    save_student(student, tmp_path / "half.safetensors", dtype=torch.float16)
    saved = load_student(tmp_path / "half.safetensors")
    assert encoder_sha256(saved.encoder) == encoder_sha256(student.encoder)


@pytest.mark.parametrize("name", ["stem.0.weight", "stages.4.2.project.1.running_var"])
def test_any_tensor_of_the_encoder_changes_its_digest(name: str) -> None:
    encoder = Student(StudentConfig()).encoder
    before = encoder_sha256(encoder)
    encoder.state_dict()[name].view(-1)[0] += 0.5
    assert encoder_sha256(encoder) != before


def test_a_head_of_another_encoder_is_refused_by_name(path: Path) -> None:
    torch.manual_seed(5)
    other = Student(StudentConfig(objects=3)).eval()
    with pytest.raises(CheckpointError, match="belongs to the encoder") as refused:
        load_prompt_network(other, path)
    assert str(path) in refused.value.what
    assert "edge-vos train prompts" in refused.value.next_step


def test_files_that_hold_no_head_are_refused(student: Student, path: Path) -> None:
    tensors = load_file(path)
    digest = {"format": FORMAT, "encoder_sha256": encoder_sha256(student.encoder)}
    few = {name: tensor for name, tensor in tensors.items() if "block32" not in name}
    odd = {**tensors, "logits.weight": torch.zeros(2, 32, 1, 1)}
    flat = {**tensors, "lateral8.0.weight": torch.zeros(4)}
    for content, header, told in (
        (tensors, {**digest, "format": "edge-vos/student/1"}, "have format"),
        (tensors, {"format": FORMAT}, "name the encoder"),
        (few, digest, "another architecture"),
        (odd, digest, "logits.weight"),
        (flat, digest, "another architecture"),
        ({"a": torch.zeros(1)}, digest, "another architecture"),
    ):
        save_file(content, path, header)
        with pytest.raises(CheckpointError, match=told):
            load_prompt_head(path)
    path.write_bytes(b"no weights")
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_prompt_head(path)
    path.unlink()
    with pytest.raises(CheckpointError, match="do not exist"):
        load_prompt_head(path)
