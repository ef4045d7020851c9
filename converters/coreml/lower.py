"""Lower the student to a Core ML ``.mlpackage``: an mlProgram with float32 inputs and outputs.

The same module gives the same bytes with the same versions of PyTorch, coremltools and
scikit-learn; the package names both of the first, and no date. A palette's clusters are found by
floating-point sums, so another processor may find others.
"""

import contextlib
import io
import json
import tempfile
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
from torch import Tensor
from torch.export import ExportedProgram

from edge_vos.converters.coreml.neural_engine import predict_placement
from edge_vos.converters.lowering import STEP, Lowered, Request, TensorNames
from edge_vos.converters.quantization.quantize import kept_float
from edge_vos.converters.quiet import quiet
from edge_vos.engines import ENGINES
from edge_vos.errors import EngineError, MissingPackageError

with quiet("coremltools"):
    import coremltools as ct
    from coremltools.optimize import coreml as compression

MODEL_FILE = ENGINES["coreml"].model_file
DEPLOYMENT_TARGET = ct.target.iOS17
PALETTE_BITS = {"palette6": 6, "palette4": 4}

LEAST_WEIGHTS = 512
"""A tensor of fewer weights is left as it is: its scales would not pay."""

LEAST_IN_PALETTE = {"palette6": 8192, "palette4": 32768}
"""A tensor of fewer weights takes 8 bits: the fewer, the more each one's error costs."""

_DATE = "com.github.apple.coremltools.conversion_date"


def lower(request: Request) -> Lowered:
    """Convert a module to an ``.mlpackage`` for iOS 17 and later.

    ``int8`` keeps the weights of convolutions in 8 bits with a scale for each channel, ``palette6``
    and ``palette4`` those of the larger ones in 6 or 4 bits that point into a table of k-means
    centres; they compute in fp16, as ``fp16`` does. ``w8a8`` rounds activations to 8 bits too.

    Raises:
        EngineError: if the precision needs a calibration or a package that is missing, or if the
            module cannot be expressed.
    """
    module = _quantized(request) if request.precision == "w8a8" else request.module
    with silent():
        program = export_program(module, request.examples)
        model = convert_program(
            program, request.examples, half=request.precision != "fp32", names=request.names
        )
        if request.precision in ("int8", *PALETTE_BITS):
            keep = weight_constants(
                program, lambda name, _: kept_float(name.rpartition(".")[0], request.keep_float)
            )
            model = compress(
                model, request.precision, keep, fine_constants(program, request.precision)
            )
        files = package_files(model)
    return Lowered(MODEL_FILE, files, predict_placement(model.get_spec()))


def _quantized(request: Request) -> torch.nn.Module:
    """Quantize weights and activations by PT2E, with the ranges that ExecuTorch's int8 takes.

    coremltools 9.0's own quantizer imports a part of PyTorch that is gone; the copy in ExecuTorch
    1.5.1 has the same patterns and takes more than a minute to match them.
    """
    calibration = request.required_calibration()
    try:
        from edge_vos.converters.graphs.pt2e import quantize
    except ImportError as error:
        raise MissingPackageError(
            f"The quantizer for w8a8 cannot be imported: {error}",
            "the packages of the extra 'convert-executorch'",
            'pip install "edge-vos[convert-executorch]"',
        ) from error
    program = torch.export.export(request.module, tuple(request.examples), strict=False)
    graph = program.module(check_guards=False)
    return quantize(graph, calibration, request.keep_float, request.names)


def export_program(module: torch.nn.Module, examples: Sequence[Tensor]) -> ExportedProgram:
    """Export a module in the operators that coremltools' front end knows."""
    program = torch.export.export(module, tuple(examples), strict=False)
    decomposed: ExportedProgram = program.run_decompositions(_DECOMPOSITIONS)
    return decomposed


def convert_program(
    program: ExportedProgram,
    examples: Sequence[Tensor],
    *,
    half: bool,
    names: TensorNames = STEP,
) -> Any:
    """Convert an exported program to coremltools' ``MLModel``.

    Args:
        examples: the inputs of one call, for their shapes.
        half: compute in fp16.
        names: the graph's.

    Raises:
        EngineError: if an operator cannot be expressed.
    """
    precision = ct.precision.FLOAT16 if half else ct.precision.FLOAT32
    try:
        return ct.convert(
            program,
            inputs=[
                ct.TensorType(name=name, shape=tuple(tensor.shape), dtype=np.float32)
                for name, tensor in zip(names.inputs, examples, strict=True)
            ],
            outputs=[ct.TensorType(name=name, dtype=np.float32) for name in names.outputs],
            convert_to="mlprogram",
            minimum_deployment_target=DEPLOYMENT_TARGET,
            compute_precision=precision,
            skip_model_load=True,
        )
    except Exception as error:  # coremltools' exceptions share no base class but this one
        raise EngineError(
            f"The student cannot be converted to Core ML: {' '.join(str(error).split())}",
            "operators that coremltools knows",
            "Try another sampler: --sampler matmul",
        ) from error


def weight_constants(
    program: ExportedProgram, chosen: Callable[[str, Tensor], bool]
) -> frozenset[str]:
    """Name the constants of the converted program that hold chosen parameters.

    Args:
        program: before it was converted.
        chosen: told a parameter's qualified name and the parameter.
    """
    names = [
        constant
        for constant, name in program.graph_signature.inputs_to_parameters.items()
        if chosen(name, program.state_dict[name])
    ]
    return frozenset([*names, *(f"{name}_to_fp16" for name in names)])


def fine_constants(program: ExportedProgram, precision: str) -> frozenset[str]:
    """Name the constants that take 8 bits where others take a palette; none where none do."""
    if precision not in PALETTE_BITS:
        return frozenset()
    return weight_constants(program, lambda _, weight: is_fine(weight, precision))


def is_fine(weight: Tensor, precision: str) -> bool:
    """Tell whether a weight takes 8 bits where others take a palette.

    One palette serves a whole tensor, and a depthwise convolution's channels lie far apart. With
    palettes throughout, the 6-bit student of 240x432 pixels overlaps with eager PyTorch by 0.958
    over 60 frames and the 4-bit one by 0.253; so it is 0.985 and 0.953, for 5 and 16 % more bytes.

    Args:
        precision: "palette6" or "palette4".
    """
    few = weight.numel() < LEAST_IN_PALETTE[precision]
    return weight.dim() == 4 and (weight.shape[1] == 1 or few)


def compress(
    model: Any, precision: str, keep: Collection[str] = (), fine: Collection[str] = ()
) -> Any:
    """Compress the weights of a converted model's convolutions.

    Args:
        model: an ``MLModel``; it stays as it is.
        precision: "int8", "palette6" or "palette4".
        keep: names of constants that are left as they are.
        fine: names of constants that take 8 bits instead of a palette.
    """
    linear = compression.OpLinearQuantizerConfig(
        mode="linear_symmetric", weight_threshold=LEAST_WEIGHTS
    )
    if precision not in PALETTE_BITS:
        return compression.linear_quantize_weights(model, _config(linear, keep))
    palette = compression.OpPalettizerConfig(
        mode="kmeans", nbits=PALETTE_BITS[precision], weight_threshold=LEAST_WEIGHTS
    )
    # One thread: k-means adds up in an order that depends on how many there are.
    with threadpool_limits(1):
        model = compression.palettize_weights(model, _config(palette, {*keep, *fine}))
    names = dict.fromkeys(sorted(set(fine) - set(keep)), linear)
    return compression.linear_quantize_weights(
        model, compression.OptimizationConfig(op_name_configs=names)
    )


def _config(convolutions: Any, keep: Collection[str]) -> Any:
    return compression.OptimizationConfig(
        op_type_configs={"conv": convolutions}, op_name_configs=dict.fromkeys(sorted(keep))
    )


def package_files(model: Any) -> dict[str, bytes]:
    """Save a model as an ``.mlpackage`` and return its files by their path inside the bundle.

    What differs from run to run is replaced: the identifiers of the package's items, the date of
    the conversion, the order of maps in the protocol buffer.
    """
    specification = model.get_spec()
    specification.description.metadata.userDefined.pop(_DATE, None)
    with tempfile.TemporaryDirectory(prefix="edge-vos-coreml-") as folder:
        package = Path(folder) / MODEL_FILE
        model.save(str(package))
        listing = json.loads((package / "Manifest.json").read_bytes())
        files = {"Manifest.json": _with_fixed_identifiers(listing)}
        for item in listing["itemInfoEntries"].values():
            root = package / "Data" / item["path"]
            for path in sorted(root.rglob("*")) if root.is_dir() else [root]:
                files[path.relative_to(package).as_posix()] = path.read_bytes()
            if item["path"].endswith(".mlmodel"):
                content = specification.SerializeToString(deterministic=True)
                files[root.relative_to(package).as_posix()] = content
    return {f"{MODEL_FILE}/{name}": files[name] for name in sorted(files)}


def _with_fixed_identifiers(listing: Mapping[str, Any]) -> bytes:
    """Name each item of a package after its path instead of at random."""
    names = {
        name: str(uuid.uuid5(uuid.NAMESPACE_URL, item["path"]))
        for name, item in listing["itemInfoEntries"].items()
    }
    fixed = {
        **listing,
        "itemInfoEntries": {names[n]: item for n, item in listing["itemInfoEntries"].items()},
        "rootModelIdentifier": names[listing["rootModelIdentifier"]],
    }
    return (json.dumps(fixed, indent=2, sort_keys=True) + "\n").encode()


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Keep coremltools' log and its progress bars from the user."""
    with quiet("coremltools"), contextlib.redirect_stderr(io.StringIO()):
        yield


def _filled(value: float) -> Any:
    """Make a constant of what PyTorch fills like a tensor: its shape is known."""

    def fill(like: Tensor, size: Sequence[int] | None = None, **_: Any) -> Tensor:
        return torch.full(like.shape if size is None else size, value, dtype=torch.float32)

    return fill


_aten = torch.ops.aten
_DECOMPOSITIONS = {
    # Core ML's front end (coremltools 9.0) knows no new_ones, and leaves a fill_like and a scatter
    # of constants in the program, which cut it off the neural engine.
    _aten.new_ones.default: _filled(1.0),
    _aten.ones_like.default: _filled(1.0),
    **torch._decomp.get_decompositions([_aten.select_scatter.default]),
}
