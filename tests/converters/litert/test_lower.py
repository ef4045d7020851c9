"""The TFLite file: the graph's contract, equal to eager, in int8 only where that was allowed."""

import importlib.util
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from edge_vos.bundle import (
    Manifest,
)
from edge_vos.converters.clip import load_clip
from edge_vos.converters.litert import lower as litert
from edge_vos.converters.lowering import Calibration, Lowered, Request
from edge_vos.converters.rewrites import fold_batchnorm, set_sampler
from edge_vos.errors import EngineError
from edge_vos.graph import INPUT_NAMES, OUTPUT_NAMES
from edge_vos.model.student import (
    Student,
    example_inputs,
)
from edge_vos.runtime.backends.litert import open_runner
from edge_vos.runtime.backends.runner import CallableRunner, Runner, Tensors
from edge_vos.runtime.masks import jaccard
from edge_vos.runtime.model import RunningGraph
from edge_vos.runtime.segmenter import FrameResult, Segmenter

for package in ("litert_torch", "ai_edge_litert", "ai_edge_quantizer"):
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed", allow_module_level=True)

BACKEND = "litert"
SIZE = (144, 256)
FRAMES = 24
KEPT = "decoder.block4"
PRECISIONS = ("fp32", "fp16", "int8")


@pytest.fixture(scope="module")
def student(shipped_student: Student) -> Student:
    """The one that every file is made from."""
    return shipped_student


@pytest.fixture(scope="module")
def calibration(eager: Runner, manifest: Manifest) -> Calibration:
    """The last calls of a run: the memory is full."""
    calls: list[Tensors] = []

    def record(inputs: Tensors) -> dict[str, NDArray[np.float32]]:
        calls.append({name: array.copy() for name, array in inputs.items()})
        return eager.run(inputs)

    _follow(CallableRunner(record), manifest)
    return Calibration("scene", tuple(calls[-6:]))


@pytest.fixture(scope="module")
def asked(student: Student, calibration: Calibration) -> Request:
    """The request that each precision varies."""
    examples = example_inputs(student.config.graph(SIZE))
    module = fold_batchnorm(set_sampler(student, "matmul"), examples)
    return Request(module, examples, "fp32", calibration, keep_float=(KEPT,))


@pytest.fixture(scope="module")
def lowered(asked: Request) -> dict[str, Lowered]:
    """A file of every precision; the float graph, which takes long, is converted once."""
    made = {"fp32": litert.lower(asked)}
    with _converted_before(made["fp32"]):
        for precision in PRECISIONS[1:]:
            made[precision] = litert.lower(replace(asked, precision=precision))
    return made


@pytest.fixture(scope="module")
def runners(
    lowered: dict[str, Lowered], manifest: Manifest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Runner]:
    """The files in LiteRT."""
    made = {}
    for precision, each in lowered.items():
        path = tmp_path_factory.mktemp(precision) / each.model_file
        path.write_bytes(each.files[each.model_file])
        made[precision] = open_runner(path, manifest, 1)
    return made


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-4), ("fp16", 2e-2)])
def test_float_files_agree_with_eager(
    precision: str,
    tolerance: float,
    runners: dict[str, Runner],
    eager: Runner,
    calibration: Calibration,
) -> None:
    for call in (calibration.calls[0], calibration.calls[-1]):
        expected, found = eager.run(call), runners[precision].run(call)
        for name in OUTPUT_NAMES:
            scale = 1.0 if name == "probability" else np.abs(expected[name]).max()
            error = np.abs(found[name] - expected[name]).max() / scale
            assert error <= tolerance, f"{name}: {error}"


@pytest.mark.parametrize(("precision", "least"), [("fp32", 0.999), ("fp16", 0.99), ("int8", 0.9)])
def test_masks_agree_in_a_closed_loop(
    precision: str, least: float, runners: dict[str, Runner], eager: Runner, manifest: Manifest
) -> None:
    expected, found = _follow(eager, manifest), _follow(runners[precision], manifest)
    overlaps = [
        jaccard(one.mask == state.id, other.mask == state.id)
        for one, other in zip(expected, found, strict=True)
        for state in one.objects
    ]
    assert np.mean(overlaps) >= least


def test_inputs_and_outputs_are_float_and_named_in_every_precision(
    lowered: dict[str, Lowered], student: Student
) -> None:
    graph = student.config.graph(SIZE)
    parts = (graph.inputs, graph.outputs)
    expected = [{spec.name: (spec.shape, np.float32) for spec in part} for part in parts]
    for each in lowered.values():
        signature = _interpreter(each).get_signature_runner()
        details = (signature.get_input_details(), signature.get_output_details())
        found = [{n: (tuple(d["shape"]), d["dtype"]) for n, d in part.items()} for part in details]
        assert found == expected


def test_what_is_kept_in_float_is_float_and_the_rest_int8(lowered: dict[str, Lowered]) -> None:
    weights = _weights(lowered["int8"])
    kept = (
        ".OffsetNetwork_offsets/",
        "SeparableBlock_block4/",  # as asked
        "Student_student/edge_vos.model.encoder.ConvBatchNorm_stem/",
        "Student_student/torch.nn.modules.container.Sequential_0/",
        "Student_student/edge_vos.model.encoder.ConvBatchNorm_project/",
        ".SelfPropagation_self_propagation/",
        "Student_student/torch.nn.modules.conv.Conv2d_key;",
        "Decoder_decoder/torch.nn.modules.conv.Conv2d_logits;",  # takes in the head's division
    )
    for scope, dtype in weights.items():
        expected = np.float32 if any(part in scope for part in kept) else np.int8
        assert dtype is expected, scope
    assert sum(dtype is np.int8 for dtype in weights.values()) > 40
    for part in kept:
        assert any(part in scope for scope in weights), part


def test_every_module_finds_its_operators(lowered: dict[str, Lowered], asked: Request) -> None:
    from edge_vos.converters.litert.quantize import Rules

    rules = Rules.of(litert.Graph(asked.module), asked)
    for scope in _weights(lowered["fp32"]):
        makers = {rules.modules[part] for part in scope.split(";") if part in rules.modules}
        assert any(isinstance(asked.module.get_submodule(n), torch.nn.Conv2d) for n in makers)


def test_fp16_halves_the_weights_and_int8_quarters_them(lowered: dict[str, Lowered]) -> None:
    sizes = {name: len(each.files[each.model_file]) for name, each in lowered.items()}
    assert sizes["int8"] < sizes["fp16"] < 0.7 * sizes["fp32"]
    dtypes = Counter(_weights(lowered["fp16"]).values())
    assert dtypes[np.float16] > 40


def test_all_of_it_is_in_one_partition(lowered: dict[str, Lowered]) -> None:
    for precision, each in lowered.items():
        placement = each.placement
        assert placement is not None
        assert (placement.accelerator, placement.partitions) == ("XNNPACK", 1), precision
        assert not placement.left, precision
        assert not placement.predicted
        names = Counter(operator["op_name"] for operator in _operators(each))
        assert dict(placement.delegated) == names


def test_the_same_request_gives_the_same_bytes(
    asked: Request, lowered: dict[str, Lowered], capfd: pytest.CaptureFixture[str]
) -> None:
    with _converted_before(lowered["fp32"]), warnings.catch_warnings():
        warnings.simplefilter("error")
        for precision in PRECISIONS[1:]:
            again = litert.lower(replace(asked, precision=precision))
            assert again.files == lowered[precision].files
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


@pytest.mark.slow
def test_the_float_graph_is_converted_to_the_same_bytes(
    asked: Request, lowered: dict[str, Lowered]
) -> None:
    assert litert.lower(asked).files == lowered["fp32"].files


def test_the_rewritten_graph_equals_the_student(asked: Request) -> None:
    with torch.inference_mode():
        expected = asked.module(*asked.examples)
        found = litert.Graph(asked.module)(**dict(zip(INPUT_NAMES, asked.examples, strict=True)))
    assert list(found) == list(OUTPUT_NAMES)
    for name, tensor in zip(OUTPUT_NAMES, expected, strict=True):
        torch.testing.assert_close(found[name], tensor, atol=1e-5, rtol=1e-5)


class Outside(torch.nn.Module):
    """What the student does that XNNPACK does not take as it is."""

    def __init__(self, rewritten: bool) -> None:
        super().__init__()
        self.rewritten = rewritten

    def forward(self, a: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, ...]:
        with litert.DelegatedOperators() if self.rewritten else torch.no_grad():
            product = torch.bmm(torch.tanh(a), torch.tanh(b).transpose(1, 2))
            repeated = torch.cat([torch.tanh(c[:1]).expand(4, -1, -1, -1), c], dim=1)
            return product, torch.tanh(c[1::4]), repeated, (c * 0.5).clamp(0, 1) + 1


def test_operators_are_rewritten_as_long_as_xnnpack_refuses_them() -> None:
    examples = (torch.randn(1, 6, 9), torch.randn(1, 7, 9), torch.randn(4, 3, 5, 5))
    left = {}
    with litert.quiet_engines():
        import litert_torch
    for rewritten in (False, True):
        module = Outside(rewritten).eval()
        with litert.quiet_engines():
            content = litert_torch.convert(module, examples).model_content()
            left[rewritten] = set(litert.place(bytes(content)).left)
    expected, found = Outside(False)(*examples), Outside(True)(*examples)
    for one, other in zip(expected, found, strict=True):
        torch.testing.assert_close(other, one, atol=1e-6, rtol=1e-6)
    assert left[False] == {"FULLY_CONNECTED", "STRIDED_SLICE", "BROADCAST_TO", "RELU_0_TO_1"}
    assert left[True] == set()


def test_int8_without_a_calibration_is_refused(asked: Request) -> None:
    for calibration in (None, Calibration("nothing", ())):
        with pytest.raises(EngineError, match="int8 without a calibration"):
            litert.lower(replace(asked, precision="int8", calibration=calibration))


def test_what_litert_cannot_express_is_a_named_error(
    asked: Request, capfd: pytest.CaptureFixture[str]
) -> None:
    class Dynamic(torch.nn.Module):
        def forward(self, image: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
            return (image.nonzero(), *rest[:2]) if float(image.sum()) > 0 else (image, *rest[:2])

    with pytest.raises(EngineError, match="cannot be converted to LiteRT"):
        litert.lower(replace(asked, module=Dynamic().eval()))
    assert capfd.readouterr().out == ""


@contextmanager
def _converted_before(float_file: Lowered) -> Iterator[None]:
    content = float_file.files[float_file.model_file]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(litert, "_convert", lambda graph, request: content)
        yield


def _follow(runner: Runner, manifest: Manifest) -> list[FrameResult]:
    clip = load_clip(
        f"synthetic://?size={SIZE[0]}x{SIZE[1]}&objects=2&frames={FRAMES}&seed=1", FRAMES
    )
    segmenter = Segmenter(RunningGraph(runner, manifest.graph))
    segmenter.prompt(clip.mask(0))
    return [segmenter.step(frame) for frame in clip.frames]


def _interpreter(lowered: Lowered) -> Any:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_content=lowered.files[lowered.model_file],
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    return interpreter


def _operators(lowered: Lowered) -> list[dict[str, Any]]:
    return list(_interpreter(lowered)._get_ops_details())


def _weights(lowered: Lowered) -> dict[str, Any]:
    """Return the type of every convolution's weights by the scope of its output.

    Weights in float16 come by way of a DEQUANTIZE.
    """
    interpreter = _interpreter(lowered)
    details = {each["index"]: each for each in interpreter.get_tensor_details()}
    operators = interpreter._get_ops_details()
    sources = {
        each["outputs"][0]: each["inputs"][0]
        for each in operators
        if each["op_name"] == "DEQUANTIZE"
    }
    found = {}
    for each in operators:
        if each["op_name"] in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            weight = each["inputs"][1]
            found[details[each["outputs"][0]]["name"]] = details[sources.get(weight, weight)][
                "dtype"
            ]
    return found
