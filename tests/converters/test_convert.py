"""Converting writes a bundle that passes, or nothing."""

from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from edge_vos.bundle import GOLDEN_FILE, read_bundle
from edge_vos.converters import convert as module
from edge_vos.converters.clip import Clip
from edge_vos.converters.convert import Converted, convert
from edge_vos.converters.lowering import Lowered, Placement, Request
from edge_vos.converters.recipe import choose
from edge_vos.errors import CheckpointError, GateError, SinkError
from edge_vos.model.student import Student, tensor_specs
from edge_vos.runtime.golden import Golden, check_golden, tolerance_of
from edge_vos.runtime.model import open_bundle

SIZE = (64, 96)


class Stub:
    """Give a file that was lowered before instead of lowering again."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def lower(self, request: Request) -> Lowered:
        return Lowered(
            "model.onnx",
            {"model.onnx": self.content},
            Placement("a delegate", 1, left={"Where": 1}),
        )


@pytest.fixture
def broken(onnx_bytes: bytes) -> bytes:
    """The ONNX file with its first convolution's weight changed."""
    model = onnx.load_model_from_string(onnx_bytes)
    name = next(node.input[1] for node in model.graph.node if node.op_type == "Conv")
    tensor = next(entry for entry in model.graph.initializer if entry.name == name)
    array = onnx.numpy_helper.to_array(tensor) * 1.1
    tensor.CopyFrom(onnx.numpy_helper.from_array(array, name))
    content: bytes = model.SerializeToString()
    return content


def test_the_bundle_says_what_it_is(converted: Converted, student: Student) -> None:
    manifest = converted.bundle.manifest
    inputs, outputs = tensor_specs(student.config, SIZE)
    found = [(spec.name, spec.shape, spec.description) for spec in manifest.inputs]
    assert found == inputs
    assert [spec.name for spec in manifest.outputs] == [name for name, _, _ in outputs]
    assert (manifest.backend, manifest.precision, manifest.target) == ("onnx", "fp32", "cpu")
    assert (manifest.sampler, manifest.size) == ("native", SIZE)
    assert manifest.parameters == sum(p.numel() for p in student.parameters())
    assert manifest.macs > 10_000_000
    assert manifest.gate_passed
    assert manifest.executed
    assert manifest.report["placement"] == {"left_on_cpu": []}
    assert set(manifest.files) == {"model.onnx", GOLDEN_FILE}
    assert {"edge-vos", "torch", "onnx", "onnxruntime"} <= set(manifest.tools)


def test_the_bundle_repeats_its_golden_without_torch(converted: Converted) -> None:
    bundle = read_bundle(converted.bundle.path)
    model = open_bundle(bundle.path, threads=1)
    report = check_golden(
        model.runner, bundle.manifest, Golden.load(bundle), **tolerance_of(bundle)
    )
    model.runner.close()
    assert report.passed
    assert report.frames >= 2


def test_a_golden_adds_an_object_and_fills_every_slot(converted: Converted) -> None:
    script = Golden.load(converted.bundle).script
    assert script.prompted[0].sum() == 2  # the background and the first object
    assert script.prompted[1:].sum() == 1
    assert script.active[0].sum() < script.active[-1].sum()
    assert script.writes[0].tolist() == [True, True, False, False]
    assert script.writes[:, 1].all()


def test_two_conversions_give_the_same_bytes(
    converted: Converted,
    weights: Path,
    clip: Clip,
    onnx_bytes: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stub = Stub(onnx_bytes)
    monkeypatch.setattr(module, "load_converter", lambda backend: stub)
    one, two = (
        convert(weights, choose("cpu", size=SIZE, sampler="native"), clip, tmp_path / name).bundle
        for name in ("one.bundle", "two.bundle")
    )
    assert one.manifest == two.manifest
    assert one.sha256 == two.sha256
    assert one.manifest.files == converted.bundle.manifest.files


def test_a_failing_gate_writes_nothing(
    weights: Path, clip: Clip, broken: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "load_converter", lambda backend: Stub(broken))
    recipe = choose("cpu", size=SIZE, sampler="native")
    with pytest.raises(GateError, match=r"Nothing was written: .* is off by .*--allow-failed-gate"):
        convert(weights, recipe, clip, tmp_path / "a.bundle")
    assert list(tmp_path.iterdir()) == []
    made = convert(weights, recipe, clip, tmp_path / "a.bundle", allow_failed_gate=True)
    assert not made.bundle.manifest.gate_passed
    assert made.bundle.manifest.executed
    assert made.bundle.manifest.report["failures"]
    assert made.bundle.manifest.report["placement"] == {"left_on_cpu": ["Where"]}


def test_refusals_come_before_the_work(
    converted: Converted, weights: Path, clip: Clip, tmp_path: Path
) -> None:
    steps: list[str] = []
    recipe = choose("cpu", size=SIZE, sampler="native")
    with pytest.raises(SinkError, match="exists"):
        convert(weights, recipe, clip, converted.bundle.path, progress=steps.append)
    assert steps == []
    with pytest.raises(CheckpointError, match="do not exist"):
        convert(tmp_path / "none", recipe, clip, tmp_path / "a.bundle")
    assert not (tmp_path / "a.bundle").exists()


def test_a_clip_without_truth_serves_too(
    weights: Path, clip: Clip, onnx_bytes: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "load_converter", lambda backend: Stub(onnx_bytes))
    made = convert(
        weights,
        choose("cpu", size=SIZE, sampler="native"),
        replace(clip, truth=None),
        tmp_path / "a.bundle",
        score=lambda predicted, truth: 1.0,
    )
    assert made.bundle.manifest.report["jf_drop"] is None
