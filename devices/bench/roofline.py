"""Measure what this machine can multiply at most, to hold the student against.

The ceiling is one large matrix product through ONNX Runtime, with as many threads as the student
has: Williams, Waterman and Patterson, "Roofline" (2009), without its slope, as the product is large
enough to be bound by arithmetic. The product's graph is written down here byte by byte: the
package that writes ONNX files is not needed to run the product.
"""

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_vos.devices.bench.onnx_graph import read_graph
from edge_vos.devices.bench.roofline_stages import StageShare, share_stages

ROWS, INNER, COLUMNS = 768, 768, 768
SECONDS = 0.15
PROFILED_CALLS = 20
ELSEWHERE = ("tensorrt", "coreml", "executorch-coreml", "executorch-vulkan")
"""Backends that do not compute on the CPU: its ceiling says nothing of them."""

_FLOAT, _UINT8, _INT8, _INT32 = 1, 2, 3, 6  # TensorProto.DataType


@dataclass(frozen=True)
class Roofline:
    """Hold the machine's ceilings and what the student reaches of them.

    Args:
        fp32_gmacs: 10^9 multiply-accumulates a second of a product in float32.
        int8_gmacs: the same of uint8 by int8 into int32; None where the engine has no such.
        macs: multiply-accumulates of one call of the student.
        infer_share_percent: what its p50 reaches of the ceiling of its precision, 0-100.
        step_share_percent: the same of one whole step.
        stages: what each part of the network reaches; None where that cannot be told.
    """

    fp32_gmacs: float
    int8_gmacs: float | None
    macs: int
    infer_share_percent: float
    step_share_percent: float
    stages: tuple[StageShare, ...] | None = None


def measure_roofline(
    macs: int,
    infer_ms: float,
    step_ms: float,
    precision: str,
    threads: int | None,
    backend: str = "onnx",
) -> Roofline | None:
    """Measure this machine's ceilings.

    None where ONNX Runtime is not installed, or the student did not run on the CPU.

    Args:
        macs: of one call of the student.
        infer_ms: of one call.
        step_ms: of one whole step.
        precision: the student's; ``int8`` is held against the ceiling of integers, ``fp16`` against
            that of float32, to which the engines of a CPU widen it.
        threads: of the engine; None is its own choice.
        backend: that the student ran on.
    """
    if backend in ELSEWHERE:
        return None
    try:
        import onnxruntime
    except ImportError:
        return None
    fp32 = _peak_gmacs(onnxruntime, "MatMul", np.float32, np.float32, threads)
    int8: float | None
    try:
        int8 = _peak_gmacs(onnxruntime, "MatMulInteger", np.uint8, np.int8, threads)
    except Exception:  # ONNX Runtime's errors share no public base; some builds lack integers
        int8 = None
    ceiling = int8 if precision == "int8" and int8 else fp32
    share = macs / 1e9 / ceiling
    return Roofline(fp32, int8, macs, 1e5 * share / infer_ms, 1e5 * share / step_ms)


def measure_stages(
    model_path: Path, roofline: Roofline, threads: int | None
) -> tuple[StageShare, ...] | None:
    """Profile an ONNX file for a few calls, and say what each part of the student reaches.

    Args:
        model_path: of the bundle; the calls get drawn inputs, which take as long as any.
        roofline: ceilings that were measured with as many threads.
        threads: of the engine; None is its own choice.

    Returns:
        the parts, in the order that they are run in; None where ONNX Runtime is not installed or
        refuses the file.
    """
    try:
        import onnxruntime
    except ImportError:
        return None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = False
    options.enable_profiling = True
    options.log_severity_level = 4  # fatal only; its errors come as exceptions
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory(prefix="edge-vos-profile-") as folder:
        options.profile_file_prefix = str(Path(folder) / "profile")
        try:
            model = model_path.read_bytes()
            session = onnxruntime.InferenceSession(
                model, options, providers=["CPUExecutionProvider"]
            )
            kinds = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
            feed = {
                node.name: rng.random(node.shape).astype(kinds[node.type])
                for node in session.get_inputs()
            }
            for _ in range(PROFILED_CALLS):
                session.run(None, feed)
            profile = Path(session.end_profiling()).read_text(encoding="utf-8")
        except Exception:  # ONNX Runtime's errors share no public base
            return None
    return share_stages(profile, read_graph(model), roofline.fp32_gmacs, roofline.int8_gmacs)


def product_model(operator: str, left: type[Any], weight: NDArray[Any]) -> bytes:
    """Return an ONNX file of one product of an input ``a`` with constant weights.

    Args:
        operator: ``MatMul`` or ``MatMulInteger``.
        left: the input's dtype; its shape is (ROWS, INNER).
        weight: (INNER, COLUMNS).
    """
    kinds = {np.float32: _FLOAT, np.uint8: _UINT8, np.int8: _INT8}
    shape = b"".join(_number(1, size) for size in weight.shape)
    constant = shape + _number(2, kinds[weight.dtype.type]) + _block(8, b"b")
    result = _FLOAT if left is np.float32 else _INT32
    node = _block(1, b"a") + _block(1, b"b") + _block(2, b"c") + _block(4, operator.encode())
    graph = (
        _block(1, node)
        + _block(2, b"product")
        + _block(5, constant + _block(9, weight.tobytes()))
        + _block(11, _value(b"a", kinds[left], (ROWS, INNER)))
        + _block(12, _value(b"c", result, (ROWS, COLUMNS)))
    )
    opset = _block(1, b"") + _number(2, 17)
    return _number(1, 8) + _block(7, graph) + _block(8, opset)


def _peak_gmacs(
    engine: Any, operator: str, left: type[Any], right: type[Any], threads: int | None
) -> float:
    rng = np.random.default_rng(0)
    weight = rng.integers(0, 100, (INNER, COLUMNS)).astype(right)
    options = engine.SessionOptions()
    options.intra_op_num_threads = threads or 0
    session = engine.InferenceSession(
        product_model(operator, left, weight), options, providers=["CPUExecutionProvider"]
    )
    feed = {"a": rng.integers(0, 100, (ROWS, INNER)).astype(left)}
    session.run(None, feed)
    best_s, until = float("inf"), time.perf_counter() + SECONDS
    while time.perf_counter() < until or best_s == float("inf"):
        start = time.perf_counter()
        session.run(None, feed)
        best_s = min(best_s, time.perf_counter() - start)
    return ROWS * INNER * COLUMNS / best_s / 1e9


def _value(name: bytes, kind: int, shape: tuple[int, ...]) -> bytes:
    """Encode a ValueInfoProto."""
    sizes = b"".join(_block(1, _number(1, size)) for size in shape)
    tensor = _number(1, kind) + _block(2, sizes)
    return _block(1, name) + _block(2, _block(1, tensor))


def _block(field: int, content: bytes) -> bytes:
    """Encode a protobuf field of a length and as many bytes."""
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _number(field: int, value: int) -> bytes:
    """Encode a protobuf field of an integer."""
    return _varint(field << 3) + _varint(value)


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*encoded, value))
