"""What the conversions of one call share: the student, its rewrites, the runs of eager PyTorch."""

from collections.abc import Callable, Sequence
from functools import cache, cached_property
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from edge_vos.bundle import Manifest
from edge_vos.converters.clip import SHIPPED_CLIP, load_clip
from edge_vos.converters.lowering import Calibration
from edge_vos.converters.quantization.calibrate import calibration_clips, run_calibration
from edge_vos.converters.quantization.quantize import Scheme
from edge_vos.converters.quantization.sensitivity import rank_modules
from edge_vos.converters.rewrites import fold_batchnorm, set_sampler
from edge_vos.converters.verify.reference import Reference, run_reference
from edge_vos.model.checkpoint import load_student, weights_sha256
from edge_vos.model.student import Student, example_inputs, student_as_callable
from edge_vos.runtime.backends.runner import CallableRunner, Runner

Progress = Callable[[str], None]
Size = tuple[int, int]


class ConversionContext:
    """Do what several conversions need, once.

    Args:
        weights: the student's safetensors file.
        calibrate: source to calibrate and verify on; ``None`` is the clip that ships.
        frames: how many frames the closed loop runs for.
        progress: told the name of each step as it starts.

    Attributes:
        progress: as it was given.
    """

    def __init__(
        self, weights: Path, calibrate: str | None, frames: int, progress: Progress
    ) -> None:
        self._weights = weights
        self._calibrate = calibrate or str(SHIPPED_CLIP)
        self._frames = frames
        self.progress = progress
        self.manifest = cache(self._make_manifest)
        self.module = cache(self._make_module)
        self.reference = cache(self._make_reference)
        self.calibration = cache(self._make_calibration)
        self.ranking = cache(self._make_ranking)

    @cached_property
    def student(self) -> Student:
        """Load the student.

        Raises:
            CheckpointError: if the weights cannot be used.
        """
        self.progress("loading the weights")
        return load_student(self._weights)

    def examples(self, size: Size) -> tuple[Tensor, ...]:
        """Return the inputs of one call."""
        return example_inputs(self.student.config.graph(size))

    @property
    def _eager(self) -> Runner:
        return CallableRunner(student_as_callable(self.student))

    def _make_manifest(self, size: Size) -> Manifest:
        """Return what the manifests of all bundles of a size have in common."""
        return Manifest.of_graph(
            self.student.config.graph(size),
            name=f"student-{self.student.config.name}",
            parameters=sum(parameter.numel() for parameter in self.student.parameters()),
            macs=_count_macs(self.student, self.examples(size)),
            weights_sha256=weights_sha256(self._weights),
        )

    def _make_module(self, size: Size, sampler: str) -> nn.Module:
        examples = self.examples(size)
        self.progress(f"rewriting: BatchNorm folded, {sampler} sampler")
        return fold_batchnorm(set_sampler(self.student, sampler), examples)

    def _make_reference(self, size: Size) -> Reference:
        clip = load_clip(self._calibrate, self._frames)
        graph = self.student.config.graph(size)
        self.progress(f"running eager PyTorch over {len(clip.frames)} frames of {clip.name}")
        return run_reference(self._eager, graph, clip)

    def _make_calibration(self, size: Size) -> Calibration:
        graph = self.student.config.graph(size)
        clips = calibration_clips(self._calibrate, graph.channels - 1)
        self.progress(f"calibrating: {len(clips)} tracking runs")
        return run_calibration(self._eager, graph, clips)

    def _make_ranking(self, size: Size, sampler: str, scheme: Scheme) -> tuple[str, ...]:
        """Return the modules, the one that loses most by quantization first."""
        self.progress("ranking the modules by what quantizing each of them costs")
        ranked = rank_modules(self.module(size, sampler), self.calibration(size), scheme)
        return tuple(found.module for found in ranked)


def _count_macs(module: nn.Module, examples: Sequence[Tensor]) -> int:
    """Count convolutions and matrix products; PyTorch counts an addition and a product as two."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        module(*examples)
    return int(counter.get_total_flops()) // 2
