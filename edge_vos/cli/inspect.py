"""``edge-vos inspect``: what is inside a bundle."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge_vos.cli.options import JsonOption

if TYPE_CHECKING:
    from edge_vos.bundle import TensorSpec


def inspect(
    bundle: Annotated[
        Path | None,
        typer.Argument(help="Bundle folder or zip.", show_default="the bundle that ships"),
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Print a bundle's tensors, size, work and reports, without an engine.

    Example: edge-vos inspect out/student-240x432-cpu-fp32.bundle --json
    """
    from edge_vos.bundle import default_bundle_path, read_bundle

    opened = read_bundle(bundle or default_bundle_path())
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
        "parameters": manifest.parameters,
        "macs": manifest.macs,
        "inputs": [_tensor(spec) for spec in manifest.inputs],
        "outputs": [_tensor(spec) for spec in manifest.outputs],
        "memory_slots": manifest.slots,
        "memory_slot_bytes": manifest.memory_slot_bytes,
        "report": manifest.report,
        "tools": manifest.tools,
        "sha256": opened.sha256,
    }
    if json_output:
        typer.echo(json.dumps(document, indent=2))
        return
    _print(document)


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
        ("size", f"{document['size_bytes'] / 1e6:.2f} MB"),
        ("parameters", f"{document['parameters'] / 1e6:.2f} M"),
        ("work of one call", f"{document['macs'] / 1e9:.2f} GMAC"),
        (
            "memory",
            f"{document['memory_slots']} slots of {document['memory_slot_bytes'] / 1e6:.2f} MB",
        ),
        ("executed when made", "yes" if report["executed"] else "NOT EXECUTED"),
        ("verification", "passed" if report["passed"] else "FAILED"),
        ("sha256", document["sha256"][:16]),
    ):
        facts.add_row(name, value)
    console.print(facts)
    tensors = Table("tensor", "shape", "meaning")
    for spec in (*document["inputs"], *document["outputs"]):
        shape = " x ".join(map(str, spec["shape"]))
        tensors.add_row(spec["name"], shape, spec["description"])
    console.print(tensors)
