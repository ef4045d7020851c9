"""What the conversions of one call share: the student, its rewrites, the runs of eager PyTorch."""

from collections.abc import Callable, Sequence
from functools import cache, cached_property
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from edge_vos.bundle import Manifest
from edge_vos.converters.clip import SHIPPED_CLIP, cut_to, load_clip
from edge_vos.converters.lowering import PROMPT_HEAD, Calibration
from edge_vos.converters.prompt_cases import PromptCase, calibration_of, record, split_cases
from edge_vos.converters.quantization.calibrate import calibration_clips, run_calibration
from edge_vos.converters.quantization.quantize import Scheme
from edge_vos.converters.quantization.sensitivity import rank_modules
from edge_vos.converters.rewrites import fold_batchnorm, set_sampler
from edge_vos.converters.verify.prompt_golden import make_prompt_golden
from edge_vos.converters.verify.prompt_head import PromptReference
from edge_vos.converters.verify.reference import Reference, run_reference
from edge_vos.errors import GateError
from edge_vos.graph import PromptGraphSpec
from edge_vos.manifest import PromptHeadEntry
from edge_vos.model.checkpoint import load_student, weights_sha256
from edge_vos.model.prompt_checkpoint import load_prompt_network
from edge_vos.model.prompt_head import PromptNetwork, prompt_network_as_callable
from edge_vos.model.student import Student, example_inputs, student_as_callable
from edge_vos.runtime.backends.runner import CallableRunner, Runner
from edge_vos.runtime.backends.used_objects import with_used_objects

Progress = Callable[[str], None]
Size = tuple[int, int]


class ConversionContext:
    """Do what several conversions need, once.

    Args:
        weights: the student's safetensors file.
        calibrate: source to calibrate and verify on; ``None`` is the clip that ships.
        frames: how many frames the closed loop runs for.
        progress: told the name of each step as it starts.
        prompt_head: the prompt head's safetensors file; ``None`` for a bundle without one.

    Attributes:
        progress: as it was given.
    """

    def __init__(
        self,
        weights: Path,
        calibrate: str | None,
        frames: int,
        progress: Progress,
        prompt_head: Path | None = None,
    ) -> None:
        self._weights = weights
        self._prompt_head = prompt_head
        self._calibrate = calibrate or str(SHIPPED_CLIP)
        self._frames = frames
        self.progress = progress
        self.manifest = cache(self._make_manifest)
        self.module = cache(self._make_module)
        self.reference = cache(self._make_reference)
        self.calibration = cache(self._make_calibration)
        self.ranking = cache(self._make_ranking)
        self.prompt_entry = cache(self._make_prompt_entry)
        self.prompt_module = cache(self._make_prompt_module)
        self.prompt_reference = cache(self._make_prompt_reference)
        self.prompt_calibration = cache(self._make_prompt_calibration)
        self.prompt_ranking = cache(self._make_prompt_ranking)
        self._prompt_cases = cache(self._make_prompt_cases)

    @cached_property
    def student(self) -> Student:
        """Load the student.

        Raises:
            CheckpointError: if the weights cannot be used.
        """
        self.progress("loading the weights")
        return load_student(self._weights)

    @property
    def has_prompt_head(self) -> bool:
        """Return whether bundles get a prompt head."""
        return self._prompt_head is not None

    @cached_property
    def prompt_network(self) -> PromptNetwork:
        """Load the prompt head and its encoder.

        Raises:
            CheckpointError: if they cannot be used.
        """
        return load_prompt_network(self._prompt_head_path)

    @property
    def _prompt_head_path(self) -> Path:
        if self._prompt_head is None:
            raise ValueError("these conversions have no prompt head")
        return self._prompt_head

    def prompt_examples(self, size: Size) -> tuple[Tensor, ...]:
        """Return the inputs of one call of the prompt head, at its own size."""
        generator = torch.Generator().manual_seed(0)
        image, prompt = (
            torch.rand(spec.shape, generator=generator) for spec in PromptGraphSpec(size).inputs
        )
        return image * 255, prompt

    def examples(self, size: Size) -> tuple[Tensor, ...]:
        """Return the inputs of one call."""
        return example_inputs(self.student.config.graph(size))

    @property
    def _eager(self) -> Runner:
        channels = self.student.config.channels
        return CallableRunner(with_used_objects(student_as_callable(self.student), channels))

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
        clip = cut_to(load_clip(self._calibrate, self._frames), size)
        graph = self.student.config.graph(size)
        self.progress(f"running eager PyTorch over {len(clip.frames)} frames of {clip.name}")
        return run_reference(self._eager, graph, clip)

    def _make_calibration(self, size: Size) -> Calibration:
        graph = self.student.config.graph(size)
        whole = cut_to(load_clip(self._calibrate), size)
        clips = calibration_clips(whole, graph.channels - 1)
        self.progress(f"calibrating: {len(clips)} tracking runs")
        return run_calibration(self._eager, graph, clips)

    def _make_ranking(self, size: Size, sampler: str, scheme: Scheme) -> tuple[str, ...]:
        """Return the modules, the one that loses most by quantization first."""
        self.progress("ranking the modules by what quantizing each of them costs")
        ranked = rank_modules(self.module(size, sampler), self.calibration(size), scheme)
        return tuple(found.module for found in ranked)

    def _make_prompt_entry(self, size: Size) -> PromptHeadEntry:
        """Return what the manifests of all bundles of a size say of their prompt head."""
        own = PromptGraphSpec.beside(size).size
        return PromptHeadEntry(
            model_file="",
            size=own,
            precision="",
            parameters=sum(parameter.numel() for parameter in self.prompt_network.parameters()),
            macs=_count_macs(self.prompt_network, self.prompt_examples(own)),
            weights_sha256=weights_sha256(self._prompt_head_path),
            report={},
        )

    def _make_prompt_module(self, own: Size) -> nn.Module:
        """Return the rewritten network; ``own`` is the prompt head's size and not the step's."""
        return fold_batchnorm(self.prompt_network, self.prompt_examples(own))

    @property
    def _eager_prompt_head(self) -> Runner:
        return CallableRunner(prompt_network_as_callable(self.prompt_network))

    def _make_prompt_cases(
        self, size: Size
    ) -> tuple[tuple[PromptCase, ...], tuple[PromptCase, ...]]:
        """Return prompts to verify on, and others to calibrate with; ``size`` is the step's."""
        reference = self.reference(size)
        masks = reference.clip.truth or [result.mask for result in reference.results]
        cases = split_cases(reference.clip.frames, masks)
        if not all(cases):
            raise GateError(
                f"Nothing in {reference.clip.name} can be prompted: its objects are too small",
                "an object of some size",
                "Give another clip with --calibrate, or leave the head out: --without-prompt-head",
            )
        return cases

    def _make_prompt_reference(self, size: Size) -> PromptReference:
        cases, _ = self._prompt_cases(size)
        self.progress(f"running eager PyTorch's prompt head on {len(cases)} prompts")
        graph = PromptGraphSpec.beside(size)
        recorded = record(self._eager_prompt_head, graph.size, cases)
        golden = make_prompt_golden(self._eager_prompt_head, graph, recorded)
        return PromptReference(self.reference(size).clip.name, recorded, golden)

    def _make_prompt_calibration(self, size: Size) -> Calibration:
        _, cases = self._prompt_cases(size)
        self.progress(f"calibrating the prompt head: {len(cases)} prompts")
        recorded = record(self._eager_prompt_head, PromptGraphSpec.beside(size).size, cases)
        return calibration_of(self.reference(size).clip.name, recorded)

    def _make_prompt_ranking(self, size: Size, scheme: Scheme) -> tuple[str, ...]:
        """Return the prompt head's modules, the one that loses most by quantization first."""
        self.progress("ranking the prompt head's modules by what quantizing each of them costs")
        module = self.prompt_module(PromptGraphSpec.beside(size).size)
        ranked = rank_modules(module, self.prompt_calibration(size), scheme, PROMPT_HEAD)
        return tuple(found.module for found in ranked)


def _count_macs(module: nn.Module, examples: Sequence[Tensor]) -> int:
    """Count convolutions and matrix products; PyTorch counts an addition and a product as two."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        module(*examples)
    return int(counter.get_total_flops()) // 2
