"""``edge-vos inspect``: what is inside a bundle."""

import json
from typing import TYPE_CHECKING, Any

import typer

from edge_vos.cli.options import BundleArgument, JsonOption

if TYPE_CHECKING:
    from edge_vos.bundle import Bundle
    from edge_vos.graph import TensorSpec


def inspect(
    bundle: BundleArgument = None,
    json_output: JsonOption = False,
) -> None:
    """Print a bundle's tensors, size, work and reports, without an engine.

    Example: edge-vos inspect out/student-240x432-cpu-int8.bundle --json
    """
    from edge_vos.bundle import read_bundle, shipped_bundle_path

    opened = read_bundle(bundle or shipped_bundle_path())
    manifest = opened.manifest
    document: dict[str, Any] = {
        "path": str(opened.path),
        "name": manifest.name,
        "target": manifest.target,
        "backend": manifest.backend,
        "precision": manifest.precision,
        "sampler": manifest.sampler,
        "size": list(manifest.size),
        "size_bytes": opened.size_bytes,
        "model_bytes": opened.model_bytes,
        "verdict": manifest.verdict,
        "parameters": manifest.parameters,
        "macs": manifest.macs,
        "inputs": [_tensor(spec) for spec in manifest.inputs],
        "outputs": [_tensor(spec) for spec in manifest.outputs],
        "prompt_head": _prompt_head(opened),
        "memory_slots": manifest.slots,
        "memory_slot_bytes": manifest.graph.slot_bytes,
        "report": manifest.report,
        "tools": manifest.tools,
        "sha256": opened.sha256,
    }
    if json_output:
        typer.echo(json.dumps(document, indent=2))
        return
    _print(document)


def _prompt_head(bundle: "Bundle") -> dict[str, Any] | None:
    entry = bundle.manifest.prompt_head
    if entry is None:
        return None
    return {
        "size": list(entry.size),
        "precision": entry.precision,
        "model_bytes": bundle.prompt_head_bytes,
        "verdict": entry.verdict,
        "parameters": entry.parameters,
        "macs": entry.macs,
        "inputs": [_tensor(spec) for spec in entry.graph.inputs],
        "outputs": [_tensor(spec) for spec in entry.graph.outputs],
        "report": entry.report,
    }


def _tensor(spec: "TensorSpec") -> dict[str, Any]:
    return {
        "name": spec.name,
        "shape": list(spec.shape),
        "dtype": spec.dtype,
        "description": spec.description,
    }


def _print(document: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    facts = Table("fact", "value", title=document["path"])
    height, width = document["size"]
    report = document["report"]
    for name, value in (
        ("model", f"{document['name']} for {document['target']}"),
        ("engine", f"{document['backend']}, {document['precision']}"),
        ("sampler", document["sampler"]),
        ("image", f"{height}x{width}"),
        (
            "size",
            f"{document['model_bytes'] / 1e6:.2f} MB, with its golden "
            f"{document['size_bytes'] / 1e6:.2f} MB",
        ),
        ("parameters", f"{document['parameters'] / 1e6:.2f} M"),
        ("work of one call", f"{document['macs'] / 1e9:.2f} GMAC"),
        (
            "memory",
            f"{document['memory_slots']} slots of {document['memory_slot_bytes'] / 1e6:.2f} MB",
        ),
        ("verification when made", _verification(document)),
        *_placement(report.get("placement", {})),
        *_quantization(report.get("quantization", {})),
        *_prompt_head_rows(document["prompt_head"]),
        *((f"tool {name}", version) for name, version in document["tools"].items()),
        ("sha256", document["sha256"][:16]),
    ):
        facts.add_row(name, value)
    console.print(facts)
    tensors = Table("tensor", "shape", "meaning")
    for spec in (*document["inputs"], *document["outputs"]):
        shape = " x ".join(map(str, spec["shape"]))
        tensors.add_row(spec["name"], shape, spec["description"])
    console.print(tensors)


def _verification(document: dict[str, Any]) -> str:
    report = document["report"]
    text = str(document["verdict"])
    if report.get("evaluated_by"):
        text += f", evaluated by {report['evaluated_by']}"
    if report.get("mask_iou") is not None:
        text += f", mask IoU {report['mask_iou']:.5f}"
    if report.get("jf_drop") is not None:
        text += f", J&F drop {report['jf_drop']:.2f}"
    return "; ".join([text, *report.get("failures", ())])


def _prompt_head_rows(head: dict[str, Any] | None) -> list[tuple[str, str]]:
    if head is None:
        return [("prompt head", "none: boxes and clicks are read by GrabCut")]
    height, width = head["size"]
    return [
        (
            "prompt head",
            f"{head['precision']}, {height}x{width}, {head['model_bytes'] / 1e6:.2f} MB, "
            f"{head['parameters'] / 1e6:.2f} M parameters, {head['macs'] / 1e9:.2f} GMAC a call",
        ),
        ("its verification when made", _verification(head)),
    ]


def _placement(placement: dict[str, Any]) -> list[tuple[str, str]]:
    """Return rows about where operators run; none where the report of an old bundle has none."""
    if not placement.get("accelerator"):
        return []
    delegated, left = placement["delegated"], placement["left"]
    how = " (predicted)" if placement["predicted"] else ""
    operators = _count(sum(delegated.values()), "operator")
    return [
        (
            placement["accelerator"],
            f"{operators} in {_count(placement['partitions'], 'partition')}{how}",
        ),
        ("off the accelerator", ", ".join(f"{n} {name}" for name, n in left.items()) or "none"),
    ]


def _quantization(quantization: dict[str, Any]) -> list[tuple[str, str]]:
    if not quantization:
        return []
    names = (*quantization["left_float"], *quantization["kept_float"])
    kept = ", ".join(("the attention", "the head", *names))
    return [
        ("calibrated on", f"{quantization['calls']} calls of {quantization['calibration']}"),
        ("kept in float", kept),
    ]


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
