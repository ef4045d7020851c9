"""ExecuTorch programs: whole in XNNPACK, equal to eager, in int8 only where that was allowed."""

import copy
import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, fx, nn

from edge_vos.bundle import (
    Manifest,
)
from edge_vos.converters.clip import Clip, load_clip
from edge_vos.converters.lowering import Calibration, Lowered, Request
from edge_vos.converters.quantization.calibrate import run_calibration
from edge_vos.converters.quantization.quantize import kept_float
from edge_vos.converters.rewrites import fold_batchnorm, set_sampler
from edge_vos.errors import EngineError
from edge_vos.graph import INPUT_NAMES, OUTPUT_NAMES, TensorSpec
from edge_vos.model.identity import merge_prompt, probability_from_logits
from edge_vos.model.student import (
    Student,
    example_inputs,
)
from edge_vos.runtime.backends.executorch import open_runner
from edge_vos.runtime.backends.runner import Runner
from edge_vos.runtime.masks import jaccard
from edge_vos.runtime.model import RunningGraph
from edge_vos.runtime.segmenter import FrameResult, Segmenter

for package in ("executorch", "torchao"):
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed", allow_module_level=True)

from edge_vos.converters.executorch import graph as executorch_graph  # noqa: E402
from edge_vos.converters.executorch import lower as executorch  # noqa: E402
from edge_vos.converters.graphs import pt2e as executorch_int8  # noqa: E402
from edge_vos.converters.quiet import executorch_silenced  # noqa: E402

BACKEND = "executorch-xnnpack"
SIZE = (144, 256)
FRAMES = 16
KEPT = "decoder.block4"


@pytest.fixture(scope="module")
def student(shipped_student: Student) -> Student:
    """The one that every file is made from."""
    return shipped_student


@pytest.fixture(scope="module")
def scene() -> Clip:
    """A generated scene with exact masks."""
    uri = f"synthetic://?size={SIZE[0]}x{SIZE[1]}&objects=2&frames={FRAMES}&seed=3"
    return load_clip(uri, FRAMES)


@pytest.fixture(scope="module")
def calibration(eager: Runner, manifest: Manifest, scene: Clip) -> Calibration:
    """Calls of a run with a full memory."""
    return run_calibration(eager, manifest.graph, [scene])


@pytest.fixture(scope="module")
def asked(student: Student, calibration: Calibration) -> Request:
    """The request that each precision varies."""
    examples = example_inputs(student.config.graph(SIZE))
    module = fold_batchnorm(set_sampler(student, "matmul"), examples)
    return Request(module, examples, "fp32", calibration, keep_float=(KEPT,))


@pytest.fixture(scope="module")
def graph(asked: Request) -> fx.GraphModule:
    """The rewritten graph, which both precisions start from."""
    return executorch_graph.export_graph(asked.module, asked.examples)


@pytest.fixture(scope="module")
def lowered(asked: Request, graph: fx.GraphModule) -> Lowered:
    """The whole student in int8, much of which is float; exported once for all tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(executorch, "export_graph", lambda *_: copy.deepcopy(graph))
        return executorch.lower(replace(asked, precision="int8"))


@pytest.fixture(scope="module")
def runner(
    lowered: Lowered, manifest: Manifest, tmp_path_factory: pytest.TempPathFactory
) -> Runner:
    """The int8 program in ExecuTorch."""
    return _open(lowered, manifest, tmp_path_factory.mktemp("int8"))


def _open(lowered: Lowered, manifest: Manifest, folder: Path) -> Runner:
    path = folder / lowered.model_file
    path.write_bytes(lowered.files[lowered.model_file])
    return open_runner(path, manifest, None)


def _follow(runner: Runner, manifest: Manifest, scene: Clip) -> list[FrameResult]:
    segmenter = Segmenter(RunningGraph(runner, manifest.graph))
    segmenter.prompt(scene.mask(0))
    return [segmenter.step(frame) for frame in scene.frames]


def test_the_rewritten_graph_is_the_student(
    asked: Request, graph: fx.GraphModule, calibration: Calibration
) -> None:
    inputs = tuple(torch.from_numpy(calibration.calls[0][name]) for name in INPUT_NAMES)
    with torch.inference_mode():
        for name, a, b in zip(OUTPUT_NAMES, asked.module(*inputs), graph(*inputs), strict=True):
            torch.testing.assert_close(b, a, atol=1e-4, rtol=1e-4, msg=name)


class _Tail(nn.Module):
    """Attention, decoder and probability head: most kinds of operator, a third of the work."""

    def __init__(self, student: Student) -> None:
        super().__init__()
        self.self_propagation = student.self_propagation
        self.decoder = student.decoder
        self.identity = student.identity

    def forward(
        self,
        x: Tensor,
        readout: Tensor,
        stride8: Tensor,
        stride4: Tensor,
        prompt: Tensor,
        prompted: Tensor,
        active: Tensor,
    ) -> tuple[Tensor, Tensor]:
        x, _ = self.self_propagation(x)
        logits = self.decoder(readout, x, stride8, stride4)
        probability = merge_prompt(probability_from_logits(logits, active), prompt, prompted)
        return probability, self.identity(probability)


def test_fp32_agrees_with_eager(
    asked: Request, student: Student, manifest: Manifest, tmp_path: Path
) -> None:
    assert isinstance(asked.module, Student)
    generator = torch.Generator().manual_seed(1)
    config, (height, width) = student.config, (SIZE[0] // 16, SIZE[1] // 16)
    shapes = (
        (1, config.width, height, width),
        (config.channels, config.decoder_widths[0], height, width),
        (1, student.decoder.skip8[0].in_channels, 2 * height, 2 * width),
        (1, student.decoder.skip4[0].in_channels, 4 * height, 4 * width),
        *(manifest.shape(name) for name in ("prompt", "prompted", "active")),
    )
    examples = tuple(torch.rand(shape, generator=generator) for shape in shapes)
    part = _Tail(asked.module).eval()
    made = executorch.lower(Request(part, examples, "fp32"))
    assert made.placement is not None
    assert (made.placement.partitions, dict(made.placement.left)) == (1, {})

    with torch.inference_mode():
        expected = part(*examples)
    specs = [
        tuple(
            TensorSpec(f"{kind}{i}", tuple(x.shape), "float32", "") for i, x in enumerate(tensors)
        )
        for kind, tensors in (("input", examples), ("output", expected))
    ]
    opened = _open(made, replace(manifest, inputs=specs[0], outputs=specs[1]), tmp_path)
    pairs = zip(specs[0], examples, strict=True)
    found = opened.run({spec.name: x.numpy() for spec, x in pairs})
    for spec, x in zip(specs[1], expected, strict=True):
        np.testing.assert_allclose(found[spec.name], x.numpy(), atol=1e-4, err_msg=spec.name)


def test_xnnpack_takes_the_whole_network_in_one_piece(lowered: Lowered) -> None:
    placement = lowered.placement
    assert placement is not None
    assert placement.accelerator == "XNNPACK"
    assert dict(placement.left) == dict.fromkeys(executorch.LEFT) == {}
    assert placement.partitions == 1
    assert placement.delegated["aten.convolution"] == 76
    assert placement.delegated["aten._softmax"] == 3


def test_int8_keeps_the_masks_in_a_closed_loop(
    runner: Runner, eager: Runner, manifest: Manifest, scene: Clip
) -> None:
    pairs = zip(_follow(eager, manifest, scene), _follow(runner, manifest, scene), strict=True)
    overlaps = [
        jaccard(a.mask == state.id, b.mask == state.id) for a, b in pairs for state in a.objects
    ]
    assert np.mean(overlaps) >= 0.97


def test_int8_is_small(lowered: Lowered, student: Student) -> None:
    parameters = sum(parameter.numel() for parameter in student.parameters())
    assert len(lowered.files[lowered.model_file]) < 1.6 * parameters


def test_what_stays_in_float_has_no_quantized_operator(
    graph: fx.GraphModule, calibration: Calibration
) -> None:
    kept = (KEPT, *executorch_int8.LEFT_FLOAT)
    with executorch_silenced():
        annotated = executorch_int8.StudentQuantizer((KEPT,)).annotate(copy.deepcopy(graph))
        quantized = executorch_int8.quantize(copy.deepcopy(graph), calibration, (KEPT,))
    operators = [node for node in annotated.graph.nodes if node.op == "call_function"]
    key = executorch_int8.Q_ANNOTATION_KEY
    for node in operators:
        if kept_float(executorch_int8.module_of(node), kept):
            assert not node.meta[key].input_qspec_map, node.name
            assert node.meta[key].output_qspec is None, node.name

    convolutions = {
        executorch_int8.module_of(node): "dequantize_per_channel" in str(node.args[1].target)
        for node in quantized.graph.nodes
        if node.target is torch.ops.aten.conv2d.default
    }
    assert len(convolutions) == 76
    assert f"{KEPT}.depthwise.0" in convolutions
    for module, is_quantized in convolutions.items():
        assert is_quantized != kept_float(module, kept), module


class _Branching(nn.Module):
    """A convolution whose output has two users, a BatchNorm being one."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 3, 1)
        self.norm = nn.BatchNorm2d(3)
        nn.init.constant_(self.norm.weight, 3.0)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        raw = self.convolution(x)
        return self.norm(raw), raw, raw


def _exported(module: nn.Module, x: Tensor) -> fx.GraphModule:
    with executorch_silenced():
        found = torch.export.export(module, (x,), strict=False).module()
    assert isinstance(found, fx.GraphModule)
    return found


def test_a_prepared_graph_that_changed_is_refused() -> None:
    x = torch.randn((1, 3, 4, 4), generator=torch.Generator().manual_seed(0))
    module = _Branching().eval()
    with executorch_silenced(), torch.no_grad():
        prepared = executorch_int8.prepare_pt2e(
            _exported(module, x), executorch_int8.StudentQuantizer()
        )
        expected, found = module(x), prepared(x)
    changed = max(float((a - b).abs().max()) for a, b in zip(expected, found, strict=True))
    assert changed > 0.1, "torchao folds rightly now: the check can go"
    with pytest.raises(EngineError, match="torchao changed the student"):
        executorch_int8.check_prepared(expected, found)


class _Activated(nn.Module):
    """A convolution and its ReLU6."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU6())

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.layer(x)
        return found


def _annotated(quantizer: Any) -> dict[str, Any]:
    graph = _exported(_Activated().eval(), torch.zeros(1, 3, 4, 4))
    quantizer.annotate(graph)
    key = executorch_int8.Q_ANNOTATION_KEY
    return {
        node.target.__name__: node.meta[key]
        for node in graph.graph.nodes
        if node.op == "call_function" and key in node.meta
    }


def test_the_engines_quantizer_quantizes_no_module_by_name_and_fuses_no_relu6() -> None:
    configuration = executorch_int8.get_symmetric_quantization_config(is_per_channel=True)
    by_name = executorch_int8.XNNPACKQuantizer().set_module_name("layer", configuration)
    assert not _annotated(by_name), "set_module_name works now"
    whole = executorch_int8.XNNPACKQuantizer().set_global(configuration)
    assert _annotated(whole)["conv2d.default"].output_qspec is not None, "ReLU6 is fused now"
    ours = _annotated(executorch_int8.StudentQuantizer())
    assert ours["conv2d.default"].output_qspec is None
    assert ours["hardtanh.default"].output_qspec is not None


def test_a_percentile_leaves_out_outliers() -> None:
    values = torch.linspace(-1, 1, 100_000)
    values[0], values[-1] = -500.0, 900.0
    clipped, whole = executorch_int8.PercentileObserver(), executorch_int8.MinMaxObserver()
    for observer in (clipped, whole):
        observer(values)
    assert float(whole.max_val) == 900.0
    assert 0.99 < float(clipped.max_val) < 1.0
    assert -1.0 < float(clipped.min_val) < -0.99


def test_int8_without_a_calibration_is_refused(asked: Request) -> None:
    for calibration in (None, Calibration("nothing", ())):
        with pytest.raises(EngineError, match="int8 without a calibration"):
            executorch.lower(replace(asked, precision="int8", calibration=calibration))


def test_what_cannot_be_exported_is_a_named_error() -> None:
    class Dynamic(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.nonzero() if float(x.sum()) > 0 else x

    with pytest.raises(EngineError, match="cannot be lowered to XNNPACK"):
        executorch.lower(Request(Dynamic().eval(), (torch.zeros(1),), "fp32"))
