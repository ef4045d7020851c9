"""A small student that no layer leaves cold, exported once for all tests of this folder."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from edge_vos.bundle import Manifest
from edge_vos.converters.clip import Clip, load_clip
from edge_vos.converters.convert import Conversion, Converted, Options
from edge_vos.converters.recipe import choose
from edge_vos.engines import ENGINES
from edge_vos.model.checkpoint import default_weights_path, load_student, save_student
from edge_vos.model.config import PRESETS
from edge_vos.model.student import Student, student_as_callable
from edge_vos.runtime.backends import load_opener
from edge_vos.runtime.backends.runner import CallableRunner, Runner

SIZE = (64, 96)
CLIP = f"synthetic://?size={SIZE[0]}x{SIZE[1]}&objects=2&frames=8&seed=1"

OpenOnnx = Callable[[bytes], "Runner"]


@pytest.fixture(scope="session")
def student() -> Student:
    """The smallest preset with every part: random weights, BatchNorm statistics and offsets."""
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = Student(replace(PRESETS["nano"], outline_width=16))
    for name, tensor in made.state_dict().items():
        if name.endswith("running_mean"):
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.1)
        elif name.endswith("running_var"):
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
        elif "offsets.pointwise" in name:
            tensor.copy_(torch.randn(tensor.shape, generator=generator))
        elif name == "outline.shift.weight":
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.1)
        elif name == "decoder.logits.weight":
            tensor.mul_(50.0)  # without training all objects would be about equally likely
    return made.eval()


@pytest.fixture(scope="session")
def shipped_student() -> Student:
    """The student that ships: on random weights a closed loop in int8 says nothing."""
    return load_student(default_weights_path())


@pytest.fixture(scope="module")
def eager(student: Student) -> CallableRunner:
    """The student that every file is compared with."""
    return CallableRunner(student_as_callable(student))


@pytest.fixture(scope="module")
def manifest(request: pytest.FixtureRequest, student: Student, tiny_manifest: Manifest) -> Manifest:
    """What the student's file for a module's BACKEND and SIZE has to offer."""
    size = request.module.SIZE
    graph = student.config.graph(size)
    return replace(
        tiny_manifest,
        backend=request.module.BACKEND,
        size=size,
        inputs=graph.inputs,
        outputs=graph.outputs,
    )


@pytest.fixture(scope="session")
def weights(student: Student, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The student's weights on disk."""
    path = tmp_path_factory.mktemp("weights") / "nano.safetensors"
    save_student(student, path)
    return path


@pytest.fixture(scope="session")
def clip() -> Clip:
    """A short scene with two objects and exact masks."""
    return load_clip(CLIP, frames=8)


@pytest.fixture(scope="session")
def options(weights: Path) -> Options:
    """Verify on the short scene."""
    return Options(weights, calibrate=CLIP, frames=8)


@pytest.fixture(scope="session")
def conversion(options: Options) -> Conversion:
    """What all conversions of the student share; eager PyTorch runs once."""
    return Conversion(options, score=lambda predicted, truth: float((predicted == truth).mean()))


@pytest.fixture(scope="session")
def converted(conversion: Conversion, tmp_path_factory: pytest.TempPathFactory) -> Converted:
    """The student, converted for a CPU."""
    recipe = choose("cpu", precision="fp32", size=SIZE, sampler="native")
    return conversion.convert(recipe, tmp_path_factory.mktemp("bundles") / recipe.file_name)


@pytest.fixture(scope="session")
def onnx_bytes(converted: Converted) -> bytes:
    """The converted student's ONNX file."""
    return converted.bundle.file("model.onnx").read_bytes()


@pytest.fixture
def open_onnx(converted: Converted, tmp_path: Path) -> Iterator[OpenOnnx]:
    """Open ONNX bytes as the converted student's engine would."""
    opened: list[Runner] = []

    def open_bytes(content: bytes) -> Runner:
        path = tmp_path / f"{len(opened)}.onnx"
        path.write_bytes(content)
        opened.append(load_opener(ENGINES["onnx"].runner)(path, converted.bundle.manifest, 1))
        return opened[-1]

    yield open_bytes
    for runner in opened:
        runner.close()
