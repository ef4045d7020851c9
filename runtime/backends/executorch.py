"""Run a bundle's ExecuTorch program on the CPU.

ExecuTorch's Python binding imports torch. It is imported here only, and only when a program is
opened.
"""

import contextlib
import importlib
import io
import threading
import warnings
import weakref
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_vos.engines import ENGINES, find_engine
from edge_vos.errors import EngineError, ShapeError
from edge_vos.graph import TensorSpec
from edge_vos.runtime.backends.native_output import muted_stderr
from edge_vos.runtime.backends.runner import ModelSpec, Runner, Tensors, check_inputs, closed

ENGINE = ENGINES["executorch-xnnpack"]
"""What all of its delegates share is the same in every row."""

_FLOAT32 = 6  # ScalarType's number

_open: "weakref.WeakSet[ExecuTorchRunner]" = weakref.WeakSet()
"""Every open runner: the pool of threads belongs to the process, and replacing it under an open
program leaves that program with a pointer to nothing."""
_opening = threading.Lock()


def open_runner(model_path: Path, manifest: ModelSpec, threads: int | None) -> Runner:
    """Load an ExecuTorch program.

    Args:
        model_path: the file.
        manifest: what the file has to offer.
        threads: threads for one call; ``None`` is what ExecuTorch picks. All open programs of a
            process share them.

    Raises:
        EngineError: if ExecuTorch is missing, lacks the program's delegate, or refuses the file;
            or if another program is open with another number of threads.
        ShapeError: if the file's tensors are not the manifest's.
    """
    # Its log goes to Python's stderr, which need not be the process's.
    with _opening, muted_stderr(), contextlib.redirect_stderr(io.StringIO()):
        library = _import_library()
        delegate = find_engine(manifest.backend).delegate
        if delegate and not library._is_available(delegate):
            raise EngineError(
                f"ExecuTorch {ENGINE.version} refuses {model_path.name}: "
                f"on this machine it has no {delegate}",
                "a device whose ExecuTorch has it",
                "Run it here with another engine: edge-vos convert --backend executorch-xnnpack",
            )
        _set_threads(library, threads)
        try:
            # Read by us: a file that is mapped has to stay, and one that ends early takes the
            # process down.
            data = model_path.read_bytes()
            program = library._load_program_from_buffer(
                data, program_verification=library.Verification.InternalConsistency
            )
            method = program.load_method("forward")
        except (RuntimeError, ValueError, OSError) as error:
            raise ENGINE.refused(model_path, error) from error
        meta = method.method_meta()
        inputs = [meta.input_tensor_meta(index) for index in range(meta.num_inputs())]
        outputs = [meta.output_tensor_meta(index) for index in range(meta.num_outputs())]
        _check(inputs, manifest.inputs, "input")
        _check(outputs, manifest.outputs, "output")
        return ExecuTorchRunner((data, program), method, manifest)


class ExecuTorchRunner:
    """Hold a program. Inputs are read where they lie if contiguous, outputs are new arrays.

    Args:
        owners: what has to live as long as the method.
        method: of the program, loaded.
        manifest: names and shapes; a program has its tensors in the manifest's order.
    """

    def __init__(self, owners: tuple[bytes, Any], method: Any, manifest: ModelSpec) -> None:
        # The library's Python binding takes torch's tensors, gives them, and has imported torch by
        # now; no other engine here does, and a phone's ExecuTorch runtime has none.
        import torch

        self._tensor = torch.from_numpy
        self._owners: tuple[bytes, Any] | None = owners
        self._method = method
        self._specs = manifest.inputs
        self._outputs = [spec.name for spec in manifest.outputs]
        self._running = threading.Lock()
        _open.add(self)

    def run(self, inputs: Tensors) -> dict[str, NDArray[np.float32]]:
        """Run one step, as ``Runner.run`` says."""
        with self._running:
            if self._method is None:
                raise closed("executorch")
            check_inputs(inputs, self._specs)
            # ExecuTorch reads a strided tensor as if it were contiguous, without a word.
            arrays = [np.ascontiguousarray(inputs[spec.name]) for spec in self._specs]
            try:
                found = self._method([self._tensor(array) for array in arrays])
            except (RuntimeError, ValueError) as error:
                raise ENGINE.failed(error) from error
            return {
                name: tensor.numpy().copy()
                for name, tensor in zip(self._outputs, found, strict=True)
            }

    def close(self) -> None:
        """Free the program."""
        with self._running:
            self._method = None
            self._owners = None
            _open.discard(self)


def _import_library() -> Any:
    if not ENGINE.is_available:
        raise ENGINE.missing()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it calls itself experimental
            library = importlib.import_module("executorch.extension.pybindings.portable_lib")
            importlib.import_module("executorch.kernels.quantized")  # int8 programs need it
    except (ImportError, OSError) as error:
        raise ENGINE.missing(error) from error
    return library


def _set_threads(library: Any, threads: int | None) -> None:
    if threads is None or threads == library._threadpool_get_thread_count():
        return
    if _open:
        raise EngineError(
            f"{threads} threads, while a program is open with "
            f"{library._threadpool_get_thread_count()}",
            "one number of threads for all ExecuTorch programs of a process",
            "Close the other bundle first",
        )
    library._unsafe_reset_threadpool(threads)


def _check(found: list[Any], specs: tuple[TensorSpec, ...], kind: str) -> None:
    """Compare by position: a program keeps no names."""
    if len(found) != len(specs):
        raise ShapeError(
            f"The model has {len(found)} {kind}s",
            f"the manifest's {len(specs)}: {', '.join(spec.name for spec in specs)}",
            ENGINE.convert_again,
        )
    for info, spec in zip(found, specs, strict=True):
        shape, dtype = tuple(info.sizes()), info.dtype()
        name = "float32" if dtype == _FLOAT32 else f"ScalarType {dtype}"
        if (shape, name) != (spec.shape, spec.dtype):
            raise ShapeError(
                f"The model's {kind} {spec.name!r} is {(shape, name)}",
                f"{(spec.shape, spec.dtype)}, as the manifest says",
                ENGINE.convert_again,
            )
