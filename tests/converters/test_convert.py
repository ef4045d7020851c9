"""Converting writes a bundle that passes, or nothing; what nothing can run never passes."""

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import edge_vos
from edge_vos.bundle import GOLDEN_FILE, Manifest, read_bundle
from edge_vos.converters import steps as module
from edge_vos.converters.convert import Conversion, Converted, Options
from edge_vos.converters.lowering import Lowered, Placement, Request
from edge_vos.converters.onnx import lower as onnx_converter
from edge_vos.converters.recipe import choose
from edge_vos.converters.verify.evaluator import Evaluator
from edge_vos.errors import CheckpointError, EngineError, GateError, SinkError
from edge_vos.model.deformable import SAMPLER_FUNCTIONS, DeformableAttention
from edge_vos.model.student import Student, student_as_callable
from edge_vos.runtime.backends.runner import CallableRunner, Runner
from edge_vos.runtime.golden import Golden, check_golden, tolerance_of
from edge_vos.runtime.model import open_bundle

SIZE = (64, 96)
RECIPE = choose("cpu", precision="fp32", size=SIZE, sampler="native")


class Stub:
    """Give a file that was lowered before instead of lowering again."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def lower(self, request: Request) -> Lowered:
        placement = Placement("a delegate", 1, {"Conv": 40}, {"Where": 1})
        return Lowered("model.onnx", {"model.onnx": self.content}, placement)


class Defective:
    """Lower a module after breaking it: to ONNX, or to an engine that is PyTorch itself."""

    def __init__(self, defect: Callable[[Any], None], *, onnx: bool = False) -> None:
        self.defect = defect
        self.onnx = onnx
        self.modules: list[nn.Module] = []

    def lower(self, request: Request) -> Lowered:
        broken = copy.deepcopy(request.module)
        self.defect(broken)
        if self.onnx:
            return onnx_converter.lower(replace(request, module=broken))
        self.modules.append(broken)
        return Lowered("model", {"model": str(len(self.modules) - 1).encode()})

    def open_runner(self, path: Path, manifest: Manifest, threads: int | None) -> Runner:
        broken = self.modules[int(path.read_bytes())]
        return CallableRunner(student_as_callable(broken))  # type: ignore[arg-type]


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put a converter, and its engine where it has one, in the place of every backend's."""

    def put(converter: Stub | Defective, name: str = "") -> None:
        monkeypatch.setattr(module, "load_lower", lambda engine: converter.lower)
        if isinstance(converter, Defective) and not converter.onnx:
            evaluator = Evaluator(converter.open_runner, name)
            monkeypatch.setattr(module, "find_evaluator", lambda engine: evaluator)

    return put


def test_the_bundle_says_what_it_is(converted: Converted, student: Student) -> None:
    manifest = converted.bundle.manifest
    graph = student.config.graph(SIZE)
    assert (manifest.graph, manifest.inputs, manifest.outputs) == (
        graph,
        graph.inputs,
        graph.outputs,
    )
    assert (manifest.backend, manifest.precision, manifest.target) == ("onnx", "fp32", "cpu")
    assert (manifest.sampler, manifest.size) == ("native", SIZE)
    assert manifest.parameters == sum(p.numel() for p in student.parameters())
    assert manifest.macs > 10_000_000
    assert manifest.gate_passed
    assert manifest.executed
    assert manifest.verdict == "passed"
    assert manifest.report["placement"]["left_on_cpu"] == []
    assert manifest.report["recipe"]["sampler_reason"] == "as asked for"
    assert set(manifest.files) == {"model.onnx", GOLDEN_FILE}
    assert {"edge-vos", "torch", "onnx", "onnxruntime"} <= set(manifest.tools)


def test_the_bundle_repeats_its_golden_without_torch(converted: Converted) -> None:
    bundle = read_bundle(converted.bundle.path)
    model = open_bundle(bundle.path, threads=1)
    report = check_golden(model.runner, model.graph, Golden.load(bundle), **tolerance_of(bundle))
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
    options: Options,
    onnx_bytes: bytes,
    use: Callable[..., None],
    tmp_path: Path,
) -> None:
    use(Stub(onnx_bytes))
    one, two = (
        Conversion(options).convert(RECIPE, tmp_path / name).bundle
        for name in ("one.bundle", "two.bundle")
    )
    assert one.manifest == two.manifest
    assert one.sha256 == two.sha256
    assert one.manifest.files == converted.bundle.manifest.files


def test_targets_of_one_call_share_what_they_can(
    options: Options, onnx_bytes: bytes, use: Callable[..., None], tmp_path: Path
) -> None:
    use(Stub(onnx_bytes))
    steps: list[str] = []
    conversion = Conversion(options, progress=steps.append)
    bundles = [
        conversion.convert(replace(RECIPE, target=name), tmp_path / f"{name}.bundle").bundle
        for name in ("cpu", "web")
    ]
    assert [bundle.manifest.target for bundle in bundles] == ["cpu", "web"]
    assert bundles[0].manifest.files == bundles[1].manifest.files
    firsts = [step.split()[0] for step in steps]
    assert firsts == ["loading", "rewriting:", "lowering", "running", "verifying"] + 2 * ["writing"]


def _scale(name: str) -> Callable[[nn.Module], None]:
    def defect(student: nn.Module) -> None:
        student.get_parameter(name).data *= 1.1

    return defect


def _nearest(student: nn.Module) -> None:
    for child in student.modules():
        if isinstance(child, DeformableAttention):
            child.sampler = "nearest"


def _bgr(student: nn.Module) -> None:
    weight = student.get_parameter("encoder.stem.0.weight")
    weight.data = weight.data.flip(1)


@pytest.fixture
def samplers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Add a sampler that takes the nearest cell."""

    def sample(features: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        return SAMPLER_FUNCTIONS["native"](features, points.round())

    monkeypatch.setitem(SAMPLER_FUNCTIONS, "nearest", sample)


@pytest.mark.parametrize(
    ("defect", "first", "onnx"),
    [
        (_scale("memory_propagation.readout.weight"), "memory_propagation.readout", True),
        (_scale("decoder.skip8.0.weight"), "decoder.skip8", False),
        (_nearest, "self_propagation.attention", False),
        (_bgr, "encoder.stem", False),
    ],
    ids=["weight", "side branch", "sampler", "channels"],
)
@pytest.mark.usefixtures("samplers")
def test_a_defect_is_caught_and_its_module_named(
    options: Options,
    use: Callable[..., None],
    defect: Callable[[nn.Module], None],
    first: str,
    onnx: bool,
    tmp_path: Path,
) -> None:
    use(Defective(defect, onnx=onnx))
    with pytest.raises(GateError, match=rf"first module to diverge is {first} ") as caught:
        Conversion(options).convert(RECIPE, tmp_path / "a.bundle")
    assert "Nothing was written" in str(caught.value)
    assert " is off by " in str(caught.value)
    assert " in frame " in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_gate_can_be_written_and_says_so(
    options: Options, use: Callable[..., None], tmp_path: Path
) -> None:
    use(Defective(_scale("decoder.block4.pointwise.0.weight")))
    conversion = Conversion(replace(options, allow_failed_gate=True))
    manifest = conversion.convert(RECIPE, tmp_path / "a.bundle").bundle.manifest
    assert manifest.executed
    assert not manifest.gate_passed
    assert manifest.verdict == "FAILED"
    assert manifest.report["failures"]
    assert manifest.report["first_divergence"]["module"].startswith("decoder.block4")


def test_an_engine_without_inner_results_blames_no_module(
    options: Options, use: Callable[..., None], tmp_path: Path
) -> None:
    class Closed(Defective):
        """Refuse to lower a second time."""

        def lower(self, request: Request) -> Lowered:
            if self.modules:
                raise EngineError("too many outputs")
            return super().lower(request)

    use(Closed(_bgr))
    with pytest.raises(GateError, match=r"no module can be named: .*too many outputs"):
        Conversion(options).convert(RECIPE, tmp_path / "a.bundle")


def test_what_nothing_can_run_is_written_but_has_not_passed(
    options: Options, onnx_bytes: bytes, use: Callable[..., None], tmp_path: Path
) -> None:
    use(Stub(onnx_bytes))
    steps: list[str] = []
    recipe = choose(backend="executorch-vulkan", size=SIZE)
    made = Conversion(options, progress=steps.append).convert(recipe, tmp_path / "a.bundle")
    manifest = read_bundle(tmp_path / "a.bundle").manifest
    assert made.report.verification is None
    assert (manifest.executed, manifest.gate_passed, manifest.gate_failed) == (False, False, False)
    assert manifest.verdict == "NOT EXECUTED"
    assert manifest.report["mask_iou"] is None
    assert manifest.report["placement"]["left_on_cpu"] == ["Where"]
    assert manifest.report["placement"]["delegated"] == {"Conv": 40}
    assert any("NOT EXECUTED" in step for step in steps)


def test_what_a_stand_in_agrees_with_has_not_passed_either(
    options: Options, onnx_bytes: bytes, use: Callable[..., None], tmp_path: Path
) -> None:
    use(Stub(onnx_bytes))
    recipe = choose("jetson", precision="fp32", size=SIZE)
    manifest = Conversion(options).convert(recipe, tmp_path / "a.bundle").bundle.manifest
    assert manifest.verdict == "NOT EXECUTED"
    assert manifest.report["evaluated_by"] == "ONNX Runtime"
    assert manifest.report["failures"] == []
    assert manifest.report["mask_iou"] >= 0.999
    assert manifest.report["passed"] is manifest.report["executed"] is False


def test_a_stand_in_that_disagrees_fails_the_gate(
    options: Options, use: Callable[..., None], tmp_path: Path
) -> None:
    use(Defective(_bgr), name="an evaluator")
    recipe = choose("jetson", precision="fp32", size=SIZE)
    with pytest.raises(GateError, match=r"encoder\.stem"):
        Conversion(options).convert(recipe, tmp_path / "a.bundle")


def test_refusals_come_before_the_work(
    converted: Converted, options: Options, tmp_path: Path
) -> None:
    steps: list[str] = []
    conversion = Conversion(options, progress=steps.append)
    with pytest.raises(SinkError, match="exists"):
        conversion.convert(RECIPE, converted.bundle.path)
    with pytest.raises(EngineError, match=r"known to go wrong.*GATHER_ND.*--sampler matmul"):
        conversion.convert(
            choose(backend="litert", sampler="native", size=SIZE), tmp_path / "a.bundle"
        )
    assert steps == []
    with pytest.raises(CheckpointError, match="do not exist"):
        Conversion(Options(tmp_path / "none")).convert(RECIPE, tmp_path / "a.bundle")
    assert not (tmp_path / "a.bundle").exists()


def test_the_public_names_convert_and_verify(weights: Path, tmp_path: Path) -> None:
    steps: list[str] = []
    made = edge_vos.convert(
        output=tmp_path, size=SIZE, sampler="native", precision="fp32",
        weights=weights, progress=steps.append,
        calibrate="synthetic://?size=64x96&objects=2&frames=8&seed=1",
    )  # fmt: skip
    assert Path(made.path) == tmp_path / "student-64x96-cpu-fp32.bundle"
    assert (made.verdict, made.passed, made.jf is not None) == ("passed", True, True)
    assert steps[-1] == f"writing {made.path}"
    assert edge_vos.verify(made.path).verdict == "passed"
    with pytest.raises(SinkError, match="exists"):
        edge_vos.convert(output=made.path, size=SIZE, weights=weights)
