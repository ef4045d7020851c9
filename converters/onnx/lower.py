"""Lower the student to ONNX: fp32, fp16, and 8-bit integers."""

from edge_vos.converters.graphs.onnx_export import export, to_bytes
from edge_vos.converters.graphs.onnx_fp16 import halve
from edge_vos.converters.lowering import STEP, Lowered, Request
from edge_vos.converters.onnx.int8 import LEFT_FLOAT, quantize
from edge_vos.converters.onnx.objects import free_objects
from edge_vos.engines import ENGINES

MODEL_FILE = ENGINES["onnx"].model_file


def lower(request: Request) -> Lowered:
    """Export a module as an ONNX file with the graph's own names.

    Shapes are static, but for the number of object channels of a step: see ``objects``.

    The same request gives the same bytes. What names the machine (source lines in metadata) is
    taken out.

    Raises:
        EngineError: if the module cannot be expressed in that precision.
    """
    calibration = request.required_calibration() if request.precision == "int8" else None
    exported = export(request.module, request.examples, request.names)
    left_float: tuple[str, ...] = ()
    model, modules = exported.model, exported.modules
    if request.precision == "fp16":
        model = halve(model, modules, request.keep_float)
    elif calibration is not None:
        model = quantize(model, modules, calibration, request.keep_float)
        left_float = LEFT_FLOAT
    if request.names == STEP and request.any_objects:
        model = free_objects(model, exported.model, request.module, request.examples)
    return Lowered(MODEL_FILE, {MODEL_FILE: to_bytes(model)}, left_float=left_float)
