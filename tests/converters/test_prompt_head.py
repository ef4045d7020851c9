"""The prompt head as a second graph: converted and verified with the step, in every engine."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from edge_vos.bundle import PROMPT_GOLDEN_FILE, Bundle
from edge_vos.cli import app
from edge_vos.converters import convert as module
from edge_vos.converters.clip import Clip
from edge_vos.converters.convert import Conversion, Converted, Options, prompt_head_beside
from edge_vos.converters.lowering import PROMPT_HEAD, Calibration, Request, load_lower
from edge_vos.converters.prompt_cases import (
    PromptCase,
    calibration_of,
    record,
    split_cases,
)
from edge_vos.converters.quantization.quantize import scheme_of
from edge_vos.converters.quantization.sensitivity import rank_modules
from edge_vos.converters.recipe import choose
from edge_vos.converters.report import ConversionSummary
from edge_vos.converters.rewrites import fold_batchnorm
from edge_vos.converters.steps import Artifact
from edge_vos.converters.verify.evaluator import find_evaluator
from edge_vos.engines import ENGINES
from edge_vos.errors import EngineError, GateError
from edge_vos.graph import PromptGraphSpec
from edge_vos.manifest import ModelTensors
from edge_vos.model.prompt_checkpoint import load_prompt_network, save_prompt_network
from edge_vos.model.prompt_head import PromptHead, PromptNetwork, prompt_network_as_callable
from edge_vos.model.student import Student
from edge_vos.runtime.backends.runner import CallableRunner, Tensors
from edge_vos.runtime.model import open_bundle

SIZE = (64, 96)
RECIPE = choose("cpu", precision="fp32", size=SIZE, sampler="native")


@pytest.fixture(scope="module")
def head_path(student: Student, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A head with random weights, and the student's encoder."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        head = PromptHead(student.encoder.tap_channels)
    with torch.no_grad():
        head.logits.weight.mul_(8)  # without training every cell would be about as likely
    path = tmp_path_factory.mktemp("weights") / "prompt-head.safetensors"
    save_prompt_network(PromptNetwork(student.encoder, head), path)
    return path


@pytest.fixture(scope="module")
def network(head_path: Path) -> PromptNetwork:
    return load_prompt_network(head_path)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give prompt heads the step's size."""
    monkeypatch.setattr(PromptGraphSpec, "beside", classmethod(lambda cls, size: cls(size)))


@pytest.fixture(scope="module")
def calls(network: PromptNetwork, clip: Clip) -> tuple[Tensors, ...]:
    """The inputs of real calls."""
    assert clip.truth is not None
    _, cases = split_cases(clip.frames, clip.truth)
    eager = CallableRunner(prompt_network_as_callable(network))
    return tuple(calibration_of("clip", record(eager, SIZE, cases)).calls)


def test_prompts_are_as_people_give_them(clip: Clip) -> None:
    assert clip.truth is not None
    to_verify, to_calibrate = split_cases(clip.frames, clip.truth)
    assert len(to_verify) == len(to_calibrate) == 16
    for cases in (to_verify, to_calibrate):
        kinds = {(bool(c.box_xywh), len(c.points), c.mask is not None) for c in cases}
        assert {(True, 0, False), (False, 1, False), (False, 2, True), (True, 1, False)} <= kinds
        for case in cases:
            truth = _truth_of(case, clip)
            for (x, y), label in zip(case.points, case.labels, strict=True):
                assert truth[y, x] == label
            if case.box_xywh:
                x, y, width, height = case.box_xywh
                rows, columns = np.nonzero(truth)
                assert x <= columns.min() <= columns.max() < x + width
                assert y <= rows.min() <= rows.max() < y + height
            if case.mask is not None:
                assert 0.3 < (case.mask & truth).sum() / (case.mask | truth).sum() < 1


def _truth_of(case: PromptCase, clip: Clip) -> np.ndarray:
    """Find the object that a prompt means: the one that its click or its box is about."""
    assert clip.truth is not None
    at = next(i for i, frame in enumerate(clip.frames) if frame is case.frame)
    labels = clip.truth[at]
    if 1 in case.labels:
        x, y = case.points[case.labels.index(1)]
        return (labels == labels[y, x]).astype(np.uint8)
    assert case.box_xywh is not None
    x, y, width, height = case.box_xywh
    inside = labels[y : y + height, x : x + width]
    ids, counts = np.unique(inside[inside > 0], return_counts=True)
    for i in ids[np.argsort(-counts)]:
        whole = labels == i
        if whole.sum() == (inside == i).sum():
            return whole.astype(np.uint8)
    raise AssertionError("the box holds no object")


def test_a_clip_without_objects_gives_no_prompts(clip: Clip) -> None:
    assert split_cases(clip.frames, [np.zeros(SIZE, np.uint8)] * len(clip.frames)) == ((), ())


@pytest.fixture(scope="module")
def converted(
    options: Options, head_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Converted:
    folder = tmp_path_factory.mktemp("prompted")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PromptGraphSpec, "beside", classmethod(lambda cls, size: cls(size)))
        conversion = Conversion(replace(options, prompt_head=head_path))
        return conversion.convert(RECIPE, folder / "a.bundle")


def test_the_bundle_says_what_its_prompt_head_is(
    converted: Converted, network: PromptNetwork
) -> None:
    manifest = converted.bundle.manifest
    entry = manifest.prompt_head
    assert entry is not None
    assert entry.size == SIZE
    assert entry.precision == "fp32"
    assert entry.parameters == sum(p.numel() for p in network.parameters())
    assert entry.macs > 1_000_000
    assert entry.verdict == manifest.verdict == "passed"
    assert entry.report["mask_iou"] > 0.999
    assert entry.report["prompts"] == 16
    assert entry.report["golden"]["passed"] is True
    assert {"prompt/model.onnx", PROMPT_GOLDEN_FILE} <= set(manifest.files)
    summary = ConversionSummary.from_json(json.loads(json.dumps(converted.summary.to_json())))
    assert summary == converted.summary
    assert summary.prompt_head is not None
    assert summary.prompt_head.verdict == "passed"
    assert summary.prompt_head.model_bytes == converted.bundle.prompt_head_bytes > 0


def test_the_bundle_is_verified_and_inspected(converted: Converted) -> None:
    path = str(converted.bundle.path)
    verified = CliRunner().invoke(app, ["verify", path, "--threads", "1", "--json"])
    assert verified.exit_code == 0, verified.output
    assert json.loads(verified.stdout)["prompt_head"]["prompts"] == 4
    inspected = CliRunner().invoke(app, ["inspect", path, "--json"])
    assert json.loads(inspected.stdout)["prompt_head"]["verdict"] == "passed"
    assert "prompt head" in CliRunner().invoke(app, ["inspect", path]).stdout


def test_the_bundle_finds_what_pytorch_finds(converted: Converted, network: PromptNetwork) -> None:
    head = open_bundle(converted.bundle.path, threads=1).prompt_head
    assert head is not None
    graph = PromptGraphSpec(head.size)
    rng = np.random.default_rng(0)
    inputs = {spec.name: rng.random(spec.shape, np.float32) for spec in graph.inputs}
    expected = prompt_network_as_callable(network)(inputs)["probability"]
    np.testing.assert_allclose(head.runner.run(inputs)["probability"], expected, atol=1e-4)


def test_a_head_that_is_off_is_not_written(
    options: Options,
    head_path: Path,
    small: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(artifact: Artifact, context: object) -> Artifact:
        checked = verify_artifact(artifact, context)  # type: ignore[arg-type]
        if not artifact.prepared.title or checked.verification is None:
            return checked
        worse = replace(checked.verification, mask_iou=0.5)
        return replace(checked, verification=worse)

    verify_artifact = module.verify_artifact
    monkeypatch.setattr(module, "verify_artifact", broken)
    path = tmp_path / "a.bundle"
    with pytest.raises(GateError, match=r"the prompt head: masks overlap by 0\.50") as refused:
        Conversion(replace(options, prompt_head=head_path)).convert(RECIPE, path)
    assert "--without-prompt-head" in refused.value.next_step
    assert not path.exists()
    kept = replace(options, prompt_head=head_path, allow_failed_gate=True)
    made: Bundle = Conversion(kept).convert(RECIPE, path).bundle
    assert made.manifest.verdict == "FAILED"
    assert made.manifest.report["passed"] is True


def test_the_head_beside_the_weights_is_taken(head_path: Path, tmp_path: Path) -> None:
    assert prompt_head_beside(head_path.with_name("student.safetensors")) == head_path
    assert prompt_head_beside(tmp_path / "student.safetensors") is None


ENGINES_AND_PRECISIONS = [
    ("onnx", "fp32", 1e-4),
    ("onnx", "fp16", 0.01),
    ("onnx", "int8", 0.05),
    ("tensorrt", "fp16", 0.01),
    ("litert", "fp32", 1e-4),
    ("litert", "int8", 0.05),
    ("executorch-xnnpack", "fp32", 1e-4),
    ("executorch-xnnpack", "int8", 0.05),
    ("coreml", "fp16", 0.01),
]


@pytest.mark.parametrize(("backend", "precision", "allowed"), ENGINES_AND_PRECISIONS)
def test_every_engine_computes_what_pytorch_does(
    network: PromptNetwork,
    calls: tuple[Tensors, ...],
    backend: str,
    precision: str,
    allowed: float,
) -> None:
    """The mean error of a call, with weights that nobody trained."""
    engine = ENGINES[backend]
    try:
        engine.require_packages()
    except EngineError as error:
        pytest.skip(str(error))
    graph, evaluator = PromptGraphSpec(SIZE), find_evaluator(engine)
    assert evaluator is not None
    examples = tuple(torch.from_numpy(calls[0][spec.name]) for spec in graph.inputs)
    lowered = load_lower(engine)(
        Request(
            fold_batchnorm(network, examples),
            examples,
            precision,
            Calibration("clip", calls) if scheme_of(engine, precision) else None,
            names=PROMPT_HEAD,
        )
    )
    tensors = ModelTensors(backend, precision, graph.inputs, graph.outputs)
    eager = prompt_network_as_callable(network)
    with evaluator.opened(lowered, tensors) as runner:
        for call in calls[:4]:
            found, expected = runner.run(call)["probability"], eager(call)["probability"]
            assert np.abs(found - expected).mean() < allowed
    if engine.executes and lowered.placement is not None:
        assert lowered.left_on_cpu == ()


def test_its_modules_are_ranked(network: PromptNetwork, calls: tuple[Tensors, ...]) -> None:
    scheme = scheme_of(ENGINES["onnx"], "int8")
    assert scheme is not None
    examples = tuple(torch.from_numpy(calls[0][name]) for name in PROMPT_HEAD.inputs)
    module = fold_batchnorm(network, examples)
    ranked = rank_modules(module, Calibration("clip", calls[:4]), scheme, PROMPT_HEAD)
    names = [found.module for found in ranked]
    assert {"encoder.stem", "encoder.stages.4", "head.block32", "head.logits"} <= set(names)
    assert ranked[0].error >= ranked[-1].error > 0
