"""What a conversion found and made, each with its one form in JSON."""

from dataclasses import asdict, dataclass
from typing import Any

from edge_vos.bundle import Bundle
from edge_vos.converters.lowering import Lowered
from edge_vos.converters.recipe import Recipe
from edge_vos.converters.verify.divergence import Divergence
from edge_vos.converters.verify.prompt_head import PromptVerification
from edge_vos.converters.verify.tolerance import Tolerance
from edge_vos.converters.verify.verification import Verification


@dataclass(frozen=True)
class Quantization:
    """Say what was quantized, and with which ranges.

    Args:
        calibration: what the ranges were taken from.
        calls: how many calls of it.
        left_float: modules that the engine leaves in float unasked.
        kept_float: modules that were given back to float until the verification passed.
        tries: how many times it was lowered.
    """

    calibration: str
    calls: int
    left_float: tuple[str, ...]
    kept_float: tuple[str, ...]
    tries: int


@dataclass(frozen=True)
class ConversionReport:
    """Hold what a conversion found; in JSON it is the ``report`` of a bundle's manifest.

    Args:
        recipe: what was made.
        tolerance: what the engine may differ by.
        lowered: the files and the placement of operators.
        verification: how they agree with eager PyTorch; ``None`` where nothing here can run them.
        quantization: ``None`` for a float precision.
        divergence: where they leave eager PyTorch; ``None`` where they agree.
    """

    recipe: Recipe
    tolerance: Tolerance
    lowered: Lowered
    verification: Verification | PromptVerification | None
    quantization: Quantization | None
    divergence: Divergence | None

    def to_json(self) -> dict[str, Any]:
        """Return plain values; what does not apply is left out."""
        placement = asdict(self.lowered.placement) if self.lowered.placement else {}
        report = {
            **(self.verification.to_json() if self.verification else self._unverified()),
            "placement": {**placement, "left_on_cpu": list(self.lowered.left_on_cpu)},
            "recipe": {
                "reason": self.recipe.reason,
                "sampler_reason": self.recipe.sampler_reason,
            },
        }
        if self.quantization:
            report["quantization"] = asdict(self.quantization)
        if self.divergence:
            report["first_divergence"] = asdict(self.divergence)
        return report

    def _unverified(self) -> dict[str, Any]:
        return {
            "executed": False,
            "evaluated_by": "",
            "passed": False,
            "failures": [],
            "tolerance": asdict(self.tolerance),
            **dict.fromkeys(("max_abs_error", "mask_iou", "jf", "jf_drop")),
        }


@dataclass(frozen=True)
class PromptHeadSummary:
    """Say what a conversion made of the prompt head.

    Figures as ``PromptHeadEntry`` and ``PromptVerification`` have them.

    Args:
        host_latency_ms: median time of a call with one thread on this machine; ``None`` where the
            engine did not run.
    """

    size: tuple[int, int]
    model_bytes: int
    verdict: str
    mask_iou: float | None
    max_abs_error: float | None
    left_on_cpu: tuple[str, ...]
    kept_float: tuple[str, ...]
    host_latency_ms: float | None

    @classmethod
    def of(cls, report: ConversionReport, bundle: Bundle) -> "PromptHeadSummary | None":
        """Summarise; ``None`` for a bundle without a prompt head."""
        entry, found = bundle.manifest.prompt_head, report.verification
        if entry is None:
            return None
        return cls(
            size=entry.size,
            model_bytes=bundle.prompt_head_bytes,
            verdict=entry.verdict,
            mask_iou=entry.report["mask_iou"],
            max_abs_error=entry.report["max_abs_error"],
            left_on_cpu=report.lowered.left_on_cpu,
            kept_float=report.quantization.kept_float if report.quantization else (),
            host_latency_ms=found.latency_ms if found and found.executed else None,
        )


@dataclass(frozen=True)
class ConversionSummary(Recipe):
    """Say what one conversion made, as ``edge-vos convert`` prints it.

    Bundle and figures as ``Manifest`` and ``Verification`` have them.

    Args:
        evaluated_by: what stood in for the engine; empty where it ran itself, or nothing did.
        verdict: "passed", "FAILED" or "NOT EXECUTED".
        left_on_cpu: operators that the accelerator did not take.
        frames: of the closed loop; 0 where nothing ran.
        host_latency_ms: median time of a call with one thread on this machine; ``None`` where the
            engine did not run.
        prompt_head: of the second graph; ``None`` where there is none.
    """

    path: str
    size_bytes: int
    model_bytes: int
    executed: bool
    evaluated_by: str
    passed: bool
    verdict: str
    failures: tuple[str, ...]
    mask_iou: float | None
    max_abs_error: float | None
    jf: float | None
    jf_drop: float | None
    left_on_cpu: tuple[str, ...]
    left_float: tuple[str, ...]
    kept_float: tuple[str, ...]
    frames: int
    host_latency_ms: float | None
    prompt_head: PromptHeadSummary | None = None

    @classmethod
    def of(
        cls, report: ConversionReport, bundle: Bundle, prompt_head: ConversionReport | None = None
    ) -> "ConversionSummary":
        """Summarise a conversion.

        Args:
            report: of the student's step.
            bundle: as it was written.
            prompt_head: the report of its second graph, where there is one.
        """
        recipe, found, manifest = report.recipe, report.verification, bundle.manifest
        figures = manifest.report
        return cls(
            **vars(recipe),
            path=str(bundle.path),
            size_bytes=bundle.size_bytes,
            model_bytes=bundle.model_bytes,
            executed=manifest.executed,
            evaluated_by=found.evaluated_by if found else "",
            passed=manifest.gate_passed,
            verdict=manifest.verdict,
            failures=found.failures if found else (),
            mask_iou=figures["mask_iou"],
            max_abs_error=figures["max_abs_error"],
            jf=figures["jf"],
            jf_drop=figures["jf_drop"],
            left_on_cpu=report.lowered.left_on_cpu,
            left_float=report.lowered.left_float,
            kept_float=report.quantization.kept_float if report.quantization else (),
            frames=found.frames if found else 0,
            host_latency_ms=found.latency_ms if found and found.executed else None,
            prompt_head=PromptHeadSummary.of(prompt_head, bundle) if prompt_head else None,
        )

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "ConversionSummary":
        """Read what ``to_json`` gave."""
        head = document.get("prompt_head")
        made = PromptHeadSummary(**_with_tuples(head)) if head else None
        return cls(**{**_with_tuples(document), "prompt_head": made})

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def _with_tuples(document: dict[str, Any]) -> dict[str, Any]:
    lists = {name: tuple(item) for name, item in document.items() if isinstance(item, list)}
    return {**document, **lists}
