"""The ExecuTorch runner: a tiny program, its numbers, its refusals, and its threads."""

import importlib.util
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_vos.bundle import Manifest
from edge_vos.errors import EngineError, ShapeError
from edge_vos.runtime.backends import executorch as backend
from edge_vos.runtime.backends.runner import Runner

if not backend.ENGINE.is_available:
    pytest.skip(f"ExecuTorch is not installed: {backend.ENGINE.install}", allow_module_level=True)

Inputs = dict[str, NDArray[np.float32]]
OpenRunner = Callable[..., Runner]


@pytest.fixture(scope="module")
def manifest(tiny_manifest: Manifest) -> Manifest:
    """The tiny student's manifest, for ExecuTorch."""
    return replace(tiny_manifest, backend="executorch-xnnpack", model_file="model.pte")


@pytest.fixture(scope="module")
def program(manifest: Manifest) -> bytes:
    """A program of the graph's inputs and outputs, for XNNPACK."""
    torch = pytest.importorskip("torch")
    from edge_vos.converters.quiet import executorch_silenced

    with executorch_silenced():
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower
        from torch import Tensor

        class Tiny(torch.nn.Module):
            def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
                image, prompt, prompted, active, memory_key, memory_value, memory_valid = inputs
                pool = torch.nn.functional.avg_pool2d
                probability = torch.sigmoid(prompt * prompted + active)
                key = pool(image, 16) + memory_key[:1]
                value = pool(probability, 4) + memory_value[1:2] * memory_valid[2:3]
                return probability, key, value

        examples = tuple(torch.zeros(spec.shape) for spec in manifest.inputs)
        exported = torch.export.export(Tiny().eval(), examples, strict=False)
        edge = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()])
        return bytes(edge.to_executorch().buffer)


@pytest.fixture
def model_file(program: bytes, tmp_path: Path) -> Path:
    """The program on disk."""
    path = tmp_path / "model.pte"
    path.write_bytes(program)
    return path


@pytest.fixture
def open_runner(model_file: Path, manifest: Manifest) -> Iterator[OpenRunner]:
    """Open the program, on one thread unless another number is said."""
    opened: list[Runner] = []

    def open_one(threads: int | None = 1) -> Runner:
        opened.append(backend.open_runner(model_file, manifest, threads))
        return opened[-1]

    yield open_one
    for runner in opened:
        runner.close()


def _expected(inputs: Inputs) -> Inputs:
    probability = 1 / (1 + np.exp(-(inputs["prompt"] * inputs["prompted"] + inputs["active"])))
    written = inputs["memory_value"][1:2] * inputs["memory_valid"][2:3]
    return {
        "probability": probability,
        "key": _pool(inputs["image"], 16) + inputs["memory_key"][:1],
        "value": _pool(probability, 4) + written,
    }


def _pool(array: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    batch, channels, height, width = array.shape
    blocks = array.reshape(batch, channels, height // side, side, width // side, side)
    return np.asarray(blocks.mean(axis=(3, 5)), np.float32)


def test_tensors_are_taken_and_given_in_the_manifests_order(
    open_runner: OpenRunner, tiny_inputs: Inputs, manifest: Manifest
) -> None:
    backwards = dict(reversed(tiny_inputs.items()))
    expected, found = _expected(tiny_inputs), open_runner().run(backwards)
    assert list(found) == [spec.name for spec in manifest.outputs]
    for name, array in found.items():
        assert array.dtype == np.float32
        np.testing.assert_allclose(array, expected[name], rtol=1e-5, err_msg=name)


def test_strided_inputs_are_read_rightly(open_runner: OpenRunner, tiny_inputs: Inputs) -> None:
    runner = open_runner()
    expected = runner.run(tiny_inputs)
    image = tiny_inputs["image"]
    strided = np.ascontiguousarray(image.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    assert not strided.flags["C_CONTIGUOUS"]
    for name, array in runner.run({**tiny_inputs, "image": strided}).items():
        np.testing.assert_array_equal(array, expected[name], err_msg=name)


def test_outputs_belong_to_the_caller(open_runner: OpenRunner, tiny_inputs: Inputs) -> None:
    runner = open_runner()
    first = runner.run(tiny_inputs)
    kept = {name: array.copy() for name, array in first.items()}
    runner.run({name: array * 0.5 for name, array in tiny_inputs.items()})
    runner.close()
    for name, array in first.items():
        np.testing.assert_array_equal(array, kept[name], err_msg=name)


def test_a_closed_runner_says_so(open_runner: OpenRunner, tiny_inputs: Inputs) -> None:
    runner = open_runner()
    runner.close()
    runner.close()
    with pytest.raises(EngineError, match="executorch engine was closed"):
        runner.run(tiny_inputs)


def test_a_wrong_input_is_refused_by_name(open_runner: OpenRunner, tiny_inputs: Inputs) -> None:
    with pytest.raises(ShapeError, match="'active'"):
        open_runner().run({**tiny_inputs, "active": tiny_inputs["active"][..., 0]})


@pytest.mark.parametrize("kept", [0, 8, 0.5])
def test_what_is_no_program_is_refused(
    model_file: Path, manifest: Manifest, program: bytes, kept: float
) -> None:
    model_file.write_bytes(program[: int(kept * len(program)) if kept < 1 else int(kept)])
    with pytest.raises(EngineError, match=r"refuses model\.pte"):
        backend.open_runner(model_file, manifest, 1)


def test_a_missing_file_is_refused(tmp_path: Path, manifest: Manifest) -> None:
    with pytest.raises(EngineError, match=r"refuses none\.pte"):
        backend.open_runner(tmp_path / "none.pte", manifest, 1)


@pytest.mark.parametrize("part", ["inputs", "outputs"])
def test_tensors_that_are_not_the_manifests_are_refused(
    model_file: Path, manifest: Manifest, part: str
) -> None:
    specs = getattr(manifest, part)
    other = replace(specs[1], shape=(*specs[1].shape[:-1], 7))
    with pytest.raises(ShapeError, match=f"'{other.name}'"):
        backend.open_runner(
            model_file, replace(manifest, **{part: (specs[0], other, *specs[2:])}), 1
        )
    with pytest.raises(ShapeError, match=f"has {len(specs)} {part}"):
        backend.open_runner(model_file, replace(manifest, **{part: specs[:-1]}), 1)


@pytest.mark.parametrize(
    ("name", "delegate"),
    [("executorch-coreml", "CoreMLBackend"), ("executorch-vulkan", "VulkanBackend")],
)
def test_a_delegate_that_this_machine_lacks_is_named(
    model_file: Path, manifest: Manifest, name: str, delegate: str
) -> None:
    with pytest.raises(EngineError, match=rf"refuses model\.pte: .* no {delegate}"):
        backend.open_runner(model_file, replace(manifest, backend=name), 1)


def test_open_programs_share_one_number_of_threads(
    open_runner: OpenRunner, tiny_inputs: Inputs
) -> None:
    first = open_runner(1)
    expected = first.run(tiny_inputs)["probability"]
    with pytest.raises(EngineError, match="2 threads, while a program is open with 1"):
        open_runner(2)
    np.testing.assert_array_equal(open_runner(None).run(tiny_inputs)["probability"], expected)


def test_another_number_of_threads_is_taken_once_all_are_closed(
    model_file: Path, manifest: Manifest, tiny_inputs: Inputs
) -> None:
    found = []
    for threads in (1, 2, 1):
        runner = backend.open_runner(model_file, manifest, threads)
        found.append(runner.run(tiny_inputs)["probability"])
        runner.close()
    np.testing.assert_allclose(found[1], found[0], atol=1e-6)
    np.testing.assert_array_equal(found[2], found[0])


def test_nothing_is_printed(
    open_runner: OpenRunner, tiny_inputs: Inputs, capfd: pytest.CaptureFixture[str]
) -> None:
    open_runner().run(tiny_inputs)
    assert capfd.readouterr() == ("", "")


def test_the_module_imports_neither_torch_nor_the_engine() -> None:
    code = (
        "import sys, edge_vos.runtime.backends.executorch as backend\n"
        "assert backend.ENGINE.is_available and backend.ENGINE.version\n"
        "assert not {'torch', 'executorch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd="/")


def test_a_missing_engine_is_named_with_what_installs_it(
    model_file: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert not backend.ENGINE.is_available
    with pytest.raises(EngineError, match=r"edge-vos\[executorch\]"):
        backend.open_runner(model_file, manifest, 1)
