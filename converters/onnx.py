"""Lower the student to ONNX.

Opset 18: from opset 20 on, bilinear GridSample is called linear, and TensorRT's parser then takes
nearest without a word (https://github.com/onnx/onnx-tensorrt, TensorRT issue 4646).
"""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import onnx
import torch
from onnxscript import ir
from onnxscript.ir.passes.common import ClearMetadataAndDocStringPass
from torch import Tensor, nn

from edge_vos.converters.targets import Lowered
from edge_vos.errors import EngineError
from edge_vos.model.student import INPUT_NAMES, OUTPUT_NAMES

OPSET = 18
MODEL_FILE = "model.onnx"


def lower(module: nn.Module, examples: Sequence[Tensor]) -> Lowered:
    """Export a module as an ONNX file with static shapes and the graph's own names.

    The same module gives the same bytes. What names the machine (source lines in metadata) is
    taken out.

    Args:
        module: in evaluation mode, rewritten for the engine.
        examples: the inputs of one call, in the graph's order.

    Raises:
        EngineError: if the module cannot be expressed.
    """
    with _quiet_exporter():
        try:
            program = torch.onnx.export(
                module,
                tuple(examples),
                dynamo=True,
                opset_version=OPSET,
                input_names=list(INPUT_NAMES),
                output_names=list(OUTPUT_NAMES),
                external_data=False,
                verbose=False,
            )
        except torch.onnx.errors.OnnxExporterError as error:
            raise EngineError(
                f"The student cannot be exported to ONNX: {error}",
                "operators that ONNX knows",
                "Try another sampler: --sampler matmul",
            ) from error
    if program is None:
        raise EngineError("torch.onnx.export returned nothing", "a program")
    ClearMetadataAndDocStringPass()(program.model)
    proto = ir.to_proto(program.model)
    onnx.checker.check_model(proto, full_check=True)
    content = bytes(proto.SerializeToString(deterministic=True))
    return Lowered(MODEL_FILE, {MODEL_FILE: content}, left_on_cpu=())


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Keep the exporter's remarks on itself, such as that torchvision is missing, from the user."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        logger.setLevel(level)
