"""Lower the student to LiteRT (TFLite): fp32, fp16 weights, static int8 with a float remainder.

litert-torch 0.10 converts, ai-edge-quantizer 0.10 quantizes; neither needs TensorFlow. Files are
deterministic: the same request gives the same bytes.
"""

import contextlib
import io
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from edge_vos.converters.lowering import STEP, Lowered, Placement, Request, TensorNames, as_tuple
from edge_vos.converters.quiet import quiet
from edge_vos.engines import ENGINES
from edge_vos.errors import EngineError
from edge_vos.runtime.backends.native_output import muted_stderr

MODEL_FILE = ENGINES["litert"].model_file


def lower(request: Request) -> Lowered:
    """Convert a module to a TFLite file whose signature has the graph's own names.

    The placement is what XNNPACK took when the file was opened on this machine.

    Raises:
        EngineError: if the module cannot be expressed, or int8 was asked for without calibration.
    """
    calibration = request.required_calibration() if request.precision == "int8" else None
    graph = Graph(request.module, request.names).eval()
    with quiet_engines():
        content = _convert(graph, request)
        left_float: tuple[str, ...] = ()
        if request.precision != "fp32":
            # Imported here, so that what the quantizer prints on import stays in this block.
            from edge_vos.converters.litert.quantize import LEFT_FLOAT, Rules, to_fp16, to_int8

            rules = Rules.of(graph, request)
            if calibration is not None:
                content, left_float = to_int8(content, rules, calibration), LEFT_FLOAT
            else:
                content = to_fp16(content, rules)
        placement = place(content)
    return Lowered(MODEL_FILE, {MODEL_FILE: content}, placement, left_float)


class Graph(nn.Module):
    """Give a student's outputs their names, and write it in operators that XNNPACK takes.

    Args:
        student: or another network.
        names: of its tensors.
    """

    def __init__(self, student: nn.Module, names: TensorNames = STEP) -> None:
        super().__init__()
        self.student = student
        self.names = names

    def forward(self, **inputs: Tensor) -> dict[str, Tensor]:
        """Run the network; tensors as in its own ``forward``."""
        with DelegatedOperators():
            outputs = self.student(*(inputs[name] for name in self.names.inputs))
        return dict(zip(self.names.outputs, as_tuple(outputs), strict=True))


class DelegatedOperators(TorchFunctionMode):
    """Replace what becomes an operator outside XNNPACK (LiteRT 2.3) by its equal inside.

    - The product of two single matrices becomes FULLY_CONNECTED, and with a weight that is no
      constant that runs in a kernel 2.5 times slower. Halves of the first one that share the
      second stay a BATCH_MATMUL.
    - ``x[1::4]`` that leaves one element becomes STRIDED_SLICE, a plain slice SLICE.
    - Repeating along the batch becomes BROADCAST_TO; CONCATENATION is taken.
    - Clamping to [0, 1] becomes RELU_0_TO_1; two RELU are taken.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call ``func``, or what stands in for it."""
        kwargs = kwargs or {}
        replacement = _REPLACEMENTS.get(func)
        replaced = replacement(*args) if replacement and not kwargs else None
        return func(*args, **kwargs) if replaced is None else replaced


def _multiply(first: Tensor, second: Tensor) -> Tensor | None:
    batch, rows, columns = first.shape
    if batch != 1 or rows % 2:
        return None
    product: Tensor = torch.matmul(first.reshape(2, rows // 2, columns), second)
    return product.reshape(1, rows, second.shape[2])


def _slice(x: Tensor, index: Any) -> Tensor | None:
    if not isinstance(index, slice) or index.step in (None, 1):
        return None
    chosen = range(*index.indices(x.shape[0]))
    return x.narrow(0, chosen[0], 1) if len(chosen) == 1 else None


def _expand(x: Tensor, *sizes: int) -> Tensor | None:
    batch_only = len(sizes) == x.dim() > 2 and all(size == -1 for size in sizes[1:])
    if not batch_only or x.shape[0] != 1 or sizes[0] < 2:
        return None
    return torch.cat([x] * sizes[0], dim=0)


def _clamp(x: Tensor, *bounds: float) -> Tensor | None:
    return 1 - torch.relu(1 - torch.relu(x)) if bounds == (0, 1) else None


_REPLACEMENTS: dict[Callable[..., Any], Callable[..., Tensor | None]] = {
    torch.bmm: _multiply,
    Tensor.__getitem__: _slice,
    Tensor.expand: _expand,
    Tensor.clamp: _clamp,
}
"""Each returns ``None`` for a call that stays as it is."""


def place(content: bytes) -> Placement:
    """Open a TFLite file and report which operators XNNPACK took.

    The interpreter lists the file's operators and one DELEGATE for each partition; an operator is
    inside if it lies between a partition's inputs and its outputs.
    """
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    operators = interpreter._get_ops_details()
    partitions = [each for each in operators if each["op_name"] == "DELEGATE"]
    left = {each["index"]: each for each in operators if each["op_name"] != "DELEGATE"}
    makers = {tensor: each for each in left.values() for tensor in each["outputs"]}
    delegated: Counter[str] = Counter()
    for partition in partitions:
        given, waiting = set(partition["inputs"]), list(partition["outputs"])
        while waiting:
            tensor = waiting.pop()
            maker = None if tensor in given else makers.get(tensor)
            if maker is not None and left.pop(maker["index"], None):
                delegated[maker["op_name"]] += 1
                waiting.extend(maker["inputs"])
    outside = Counter(each["op_name"] for each in left.values())
    return Placement("XNNPACK", len(partitions), dict(delegated), dict(outside))


def _convert(graph: Graph, request: Request) -> bytes:
    import litert_torch

    examples = dict(zip(request.names.inputs, request.examples, strict=True))
    try:
        # Folding runs constant operators, such as the grids of reference points, beforehand.
        model = litert_torch.convert(graph, sample_kwargs=examples, runtime_constant_folding=True)
        return bytes(model.model_content())
    except Exception as error:  # MLIR, torch.export and the converter share no other base class
        raise EngineError(
            f"The student cannot be converted to LiteRT: {' '.join(str(error).split())[:300]}",
            "operators that LiteRT knows",
            "Try another sampler: --sampler matmul",
        ) from error


@contextlib.contextmanager
def quiet_engines() -> Iterator[None]:
    """Keep progress on standard output, logs and native remarks from the user."""
    sink = io.StringIO()
    with (
        quiet("absl", "torchao"),
        muted_stderr(),
        contextlib.redirect_stdout(sink),
        contextlib.redirect_stderr(sink),
    ):
        yield
