"""What stays in float, which module costs most, and giving it back until the gate passes."""

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from edge_vos.bundle import Manifest
from edge_vos.converters import context, steps
from edge_vos.converters.clip import SHIPPED_CLIP, load_clip
from edge_vos.converters.convert import Conversion, Converted, Options
from edge_vos.converters.lowering import Calibration, Lowered, Request
from edge_vos.converters.quantization.calibrate import calibration_clips, run_calibration
from edge_vos.converters.quantization.quantize import Scheme, clips_range, kept_float
from edge_vos.converters.quantization.sensitivity import palettize, quantizable, rank_modules
from edge_vos.converters.recipe import choose
from edge_vos.converters.rewrites import fold_batchnorm
from edge_vos.converters.steps import GIVEN_BACK
from edge_vos.converters.verify.evaluator import Evaluator
from edge_vos.errors import GateError
from edge_vos.graph import INPUT_NAMES
from edge_vos.model.student import (
    Student,
    example_inputs,
    student_as_callable,
)
from edge_vos.runtime.backends.runner import CallableRunner, Runner, Tensors

SIZE = (64, 96)


@pytest.fixture(scope="module")
def folded(student: Student) -> nn.Module:
    return fold_batchnorm(student, example_inputs(student.config.graph(SIZE)))


@pytest.fixture(scope="module")
def calibration(student: Student, converted: Converted) -> Calibration:
    eager = CallableRunner(student_as_callable(student))
    clips = calibration_clips(load_clip(str(SHIPPED_CLIP)), objects=3)
    return run_calibration(eager, converted.bundle.manifest.graph, clips)


def test_coordinates_attention_and_head_stay_float(student: Student) -> None:
    kept = {name for name, _ in student.named_modules() if kept_float(name)}
    assert "" in kept
    assert {"self_propagation.attention.offsets.pointwise", "memory_propagation.long_term"} <= kept
    assert not kept & {"encoder.stem.0", "self_propagation.value", "decoder.logits", "key"}


def test_what_is_asked_for_stays_float_with_everything_inside() -> None:
    asked = ("encoder.stages.1", "decoder.block4")
    assert kept_float("encoder.stages.1", asked)
    assert kept_float("encoder.stages.1.0.expand.0", asked)
    assert not kept_float("encoder.stages.10", asked)
    assert not kept_float("encoder.stages.1.0.expand.0")
    assert not kept_float("decoder", asked)


def test_what_goes_to_memory_is_never_clipped(student: Student) -> None:
    unclipped = {name for name, _ in student.named_modules() if not clips_range(name)}
    assert unclipped == {"key", "identity", "identity.embed"}


def test_blocks_hold_every_convolution_once(folded: nn.Module) -> None:
    blocks = quantizable(folded)
    assert {"encoder.stem", "encoder.stages.2", "key", "decoder.block4"} <= set(blocks)
    for name, child in folded.named_modules():
        if isinstance(child, nn.Conv2d):
            holding = [block for block in blocks if f"{name}.".startswith(f"{block}.")]
            assert len(holding) == (0 if kept_float(name) else 1), name


def test_the_ranking_is_what_rounding_each_block_costs(
    folded: nn.Module, calibration: Calibration
) -> None:
    exact = {name: p.detach().clone() for name, p in folded.named_parameters()}
    one = replace(calibration, calls=calibration.calls[:1])
    ranked = rank_modules(folded, one, Scheme(4, activations=False))
    errors = [each.error for each in ranked]
    assert errors == sorted(errors, reverse=True)
    assert {each.module for each in ranked} == set(quantizable(folded))

    rounded = copy.deepcopy(folded)
    weight = rounded.get_parameter("decoder.logits.weight").data
    scale = weight.abs().max() / 7
    weight.copy_(torch.round(weight / scale) * scale)
    inputs = [torch.from_numpy(one.calls[0][name]) for name in INPUT_NAMES]
    with torch.inference_mode():
        difference = (rounded(*inputs)[0] - folded(*inputs)[0]).abs().mean()
    found = {each.module: each.error for each in ranked}["decoder.logits"]
    assert found >= float(difference) * 0.999

    for name, parameter in folded.named_parameters():
        torch.testing.assert_close(parameter, exact[name], rtol=0, atol=0, msg=name)
    assert not any(child._forward_pre_hooks for child in folded.modules())


def test_fewer_bits_and_activations_cost_more(folded: nn.Module, calibration: Calibration) -> None:
    one = replace(calibration, calls=calibration.calls[:1])

    def total(bits: int, activations: bool) -> float:
        ranked = rank_modules(folded, one, Scheme(bits, activations=activations))
        return sum(each.error for each in ranked)

    assert 0 < total(8, False) < total(4, False)
    assert total(8, False) < total(8, True)


def test_a_palette_holds_few_values_and_the_best_ones() -> None:
    weight = torch.randn(8, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    found = palettize(weight, 4)
    assert len(found.unique()) <= 16
    assert found.shape == weight.shape
    grid = torch.linspace(float(weight.min()), float(weight.max()), 16)
    evenly = grid[(weight.reshape(-1, 1) - grid).abs().argmin(1)].reshape(weight.shape)
    assert (found - weight).square().mean() < (evenly - weight).square().mean()
    exact = torch.tensor([-1.0, 0.0, 2.0]).repeat(4).reshape(3, 4, 1, 1)
    torch.testing.assert_close(palettize(exact, 4), exact)


class Coarse:
    """An engine that rounds the weights of what it may quantize to so few levels that it fails."""

    def __init__(self, blocks: tuple[str, ...], levels: float = 2.0) -> None:
        self.blocks = blocks
        self.levels = levels
        self.asked: list[tuple[str, ...]] = []
        self.module: nn.Module | None = None

    def lower(self, request: Request) -> Lowered:
        self.asked.append(request.keep_float)
        self.module = request.module
        self.kept = request.keep_float
        return Lowered("model", {"model": b"coarse"})

    def open_runner(self, path: Path, manifest: Manifest, threads: int | None) -> Runner:
        module, bad = self.module, [b for b in self.blocks if not kept_float(b, self.kept)]
        assert module is not None
        eager = student_as_callable(module)  # type: ignore[arg-type]

        def run(inputs: Tensors) -> dict[str, np.ndarray]:  # type: ignore[type-arg]
            outputs = eager(inputs)
            noise = 0.5 * len(bad)
            return {name: array + np.float32(noise) for name, array in outputs.items()}

        return CallableRunner(run)


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch, calibration: Calibration) -> Callable[[Coarse], None]:
    def put(engine: Coarse) -> None:
        monkeypatch.setattr(context, "run_calibration", lambda *_: calibration)
        monkeypatch.setattr(steps, "load_lower", lambda row: engine.lower)
        monkeypatch.setattr(steps, "find_evaluator", lambda row: Evaluator(engine.open_runner))

    return put


def _ranked(conversion: Conversion, names: tuple[str, ...]) -> None:
    conversion._context.ranking = lambda *_: names  # type: ignore[assignment,misc]


def test_modules_go_back_to_float_worst_first_until_it_passes(
    options: Options, use: Callable[[Coarse], None], tmp_path: Path
) -> None:
    engine = Coarse(("encoder.stem", "key"))
    use(engine)
    steps: list[str] = []
    conversion = Conversion(options, progress=steps.append)
    order = ("encoder.stem", "decoder.logits", "key", "project", "decoder.block4")
    _ranked(conversion, order)
    made = conversion.convert(choose("cpu", precision="int8", size=SIZE), tmp_path / "a.bundle")
    assert engine.asked == [(), order[:1], order[:2], order[:4]]
    assert made.summary.kept_float == order[:4]
    report = made.bundle.manifest.report["quantization"]
    assert report["kept_float"] == list(order[:4])
    assert report["tries"] == 4
    assert report["calls"] >= 16
    assert made.bundle.manifest.gate_passed
    assert sum("missed: " in step for step in steps) == 3


def test_when_the_budget_ends_nothing_is_written(
    options: Options, use: Callable[[Coarse], None], tmp_path: Path
) -> None:
    engine = Coarse(("identity",))
    use(engine)
    conversion = Conversion(options)
    _ranked(conversion, ("encoder.stem",))
    with pytest.raises(GateError, match="Nothing was written"):
        conversion.convert(choose("cpu", precision="int8", size=SIZE), tmp_path / "a.bundle")
    assert engine.asked[: len(GIVEN_BACK)] == [(), *[("encoder.stem",)] * (len(GIVEN_BACK) - 1)]
    assert list(tmp_path.iterdir()) == []


def test_a_float_precision_gives_nothing_back(
    options: Options, use: Callable[[Coarse], None], tmp_path: Path
) -> None:
    engine = Coarse(("identity",))
    use(engine)
    with pytest.raises(GateError):
        Conversion(options).convert(
            choose("cpu", precision="fp32", size=SIZE), tmp_path / "a.bundle"
        )
    assert set(engine.asked) == {()}


def test_max_drop_sets_the_gate(
    options: Options, use: Callable[[Coarse], None], tmp_path: Path
) -> None:
    use(Coarse(()))
    score = iter([1.0] * 16 + [0.99] * 16).__next__
    recipe = choose("cpu", precision="fp16", size=SIZE)
    with pytest.raises(GateError, match=r"J&F falls by 1\.00 points.*at most 0\.2"):
        Conversion(replace(options, max_drop=0.2), score=lambda a, b: score()).convert(
            recipe, tmp_path / "a.bundle"
        )
