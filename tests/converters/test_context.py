"""What the conversions of one call share is made once: calibration, rankings, prompts."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from edge_vos.converters import context as module
from edge_vos.converters.clip import Clip
from edge_vos.converters.context import ConversionContext
from edge_vos.converters.prompt_cases import split_cases
from edge_vos.converters.quantization.quantize import scheme_of
from edge_vos.converters.quantization.sensitivity import quantizable
from edge_vos.engines import ENGINES
from edge_vos.errors import GateError
from edge_vos.graph import PromptGraphSpec
from edge_vos.model.prompt_checkpoint import save_prompt_network
from edge_vos.model.prompt_head import PromptHead, PromptNetwork
from edge_vos.model.student import Student
from tests.converters.conftest import CLIP, SIZE


@pytest.fixture(scope="module")
def head(student: Student, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prompt head with random weights on disk."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = PromptHead(student.encoder.tap_channels)
    path = tmp_path_factory.mktemp("weights") / "prompt-head.safetensors"
    save_prompt_network(PromptNetwork(student.encoder, made), path)
    return path


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def context(
    weights: Path, head: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> ConversionContext:
    """A context whose prompt heads have the step's size."""
    monkeypatch.setattr(PromptGraphSpec, "beside", classmethod(lambda cls, size: cls(size)))
    return ConversionContext(weights, CLIP, 4, said.append, head)


def test_modules_are_ranked_once_for_the_step(context: ConversionContext, said: list[str]) -> None:
    scheme = scheme_of(ENGINES["onnx"], "int8")
    assert scheme is not None
    ranked = context.ranking(SIZE, "native", replace(scheme, activations=False))
    assert sorted(ranked) == sorted(quantizable(context.module(SIZE, "native")))
    steps = len(said)
    assert "ranking the modules by what quantizing each of them costs" in said
    assert context.ranking(SIZE, "native", replace(scheme, activations=False)) is ranked
    assert len(said) == steps


def test_the_prompt_head_has_prompts_to_calibrate_with_and_others_to_verify(
    context: ConversionContext, said: list[str]
) -> None:
    clip = context.reference(SIZE).clip
    assert clip.truth is not None
    to_verify, to_calibrate = split_cases(clip.frames, clip.truth)
    calibration = context.prompt_calibration(SIZE)
    assert calibration is context.prompt_calibration(SIZE)
    assert f"calibrating the prompt head: {len(to_calibrate)} prompts" in said
    assert len(calibration.calls) >= len(to_calibrate)
    verified = context.prompt_reference(SIZE)
    for recorded, case in zip(verified.recorded, to_verify, strict=True):
        assert (recorded.case.box_xywh, recorded.case.points) == (case.box_xywh, case.points)
        assert recorded.mask.shape == clip.frames[0].shape[:2]
    assert all(call["prompt"].any() for call in calibration.calls)
    assert verified.clip == clip.name


def test_the_prompt_heads_modules_are_ranked(context: ConversionContext, said: list[str]) -> None:
    scheme = scheme_of(ENGINES["onnx"], "int8")
    assert scheme is not None
    ranked = context.prompt_ranking(SIZE, replace(scheme, activations=False))
    assert sorted(ranked) == sorted(quantizable(context.prompt_module(SIZE)))
    assert any("ranking the prompt head's modules" in line for line in said)


def test_objects_too_small_to_prompt_are_told(
    context: ConversionContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = module.load_clip

    def tiny(source: str, frames: int | None = None) -> Clip:
        clip = load(source, frames) if frames is not None else load(source)
        assert clip.truth is not None
        masks = [np.zeros_like(mask) for mask in clip.truth]
        for mask in masks:
            mask[4:7, 4:7] = 1
        return replace(clip, truth=masks)

    monkeypatch.setattr(module, "load_clip", tiny)
    with pytest.raises(GateError, match=r"can be prompted: its objects are too small.*--calibrate"):
        context.prompt_reference(SIZE)


def test_without_a_prompt_head_there_is_none(weights: Path) -> None:
    context = ConversionContext(weights, CLIP, 4, lambda _: None)
    assert not context.has_prompt_head
    with pytest.raises(ValueError, match="these conversions have no prompt head"):
        _ = context.prompt_network
