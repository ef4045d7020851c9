"""Run a bundle's ONNX file with ONNX Runtime, on the CPU."""

from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_vos.engines import ENGINES
from edge_vos.graph import PER_OBJECT
from edge_vos.runtime.backends.runner import EngineRunner, ModelSpec, Runner, Tensors, check_tensors
from edge_vos.runtime.backends.used_objects import with_used_objects

ENGINE = ENGINES["onnx"]

_FATAL_ONLY = 4  # its errors come as exceptions
_DTYPES = {"tensor(float)": "float32", "tensor(float16)": "float16"}


def open_runner(model_path: Path, manifest: ModelSpec, threads: int | None) -> Runner:
    """Load an ONNX file.

    Args:
        model_path: the file.
        manifest: what the file has to offer.
        threads: threads for one call; ``None`` is one a core.

    Raises:
        EngineError: if ONNX Runtime is missing, or refuses the file.
        ShapeError: if the file's tensors are not the manifest's.
    """
    try:
        import onnxruntime as ort
    except ImportError as error:
        raise ENGINE.missing(error) from error
    _share_arena()
    # Its memory arena stays on: without it the heap fragments, and a 3 MB student that takes 132 MB
    # (peak RSS of the process, 480x640 frames) takes 30 MB more, and goes on growing. Its memory
    # plan is off: it is a second block beside the arena, 9 MB, and makes no step faster.
    options = ort.SessionOptions()
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.enable_mem_pattern = False
    # Its threads wait busily within a call, and not after it: capture and drawing need the cores.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.intra_op_num_threads = threads or 0
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = _FATAL_ONLY
    try:
        session = ort.InferenceSession(
            str(model_path), sess_options=options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # its exceptions share no base class but this one
        raise ENGINE.refused(model_path, error) from error
    found_inputs, found_outputs = session.get_inputs(), session.get_outputs()
    shapes = {spec.name: spec.shape for spec in (*manifest.inputs, *manifest.outputs)}
    check_tensors(ENGINE, _tensors(found_inputs, shapes), manifest.inputs, "input")
    check_tensors(ENGINE, _tensors(found_outputs, shapes), manifest.outputs, "output")
    names = [spec.name for spec in manifest.outputs]

    # No tensor is copied: inputs are read where they lie, and outputs lie in the arena's blocks,
    # which come back to it when the caller lets go of them, so a steady loop asks for no memory.
    # Outputs bound to buffers of our own make no step faster, and what a caller keeps would have
    # to be copied out of them.
    def call(inputs: Tensors) -> dict[str, NDArray[np.float32]]:
        return dict(zip(names, session.run(names, inputs), strict=True))

    any_objects = any(n.name == "active" and isinstance(n.shape[1], str) for n in found_inputs)
    run = with_used_objects(call, shapes["active"][1]) if any_objects else call

    def release() -> None:
        _shrink_arena(
            session, {spec.name: np.zeros(spec.shape, spec.dtype) for spec in manifest.inputs}
        )

    return EngineRunner(ENGINE, manifest, run, release=release)


@cache
def _share_arena() -> None:
    """Let all models of this process take turns in one memory arena, such as a step and its head.

    Each would have its own otherwise: a click would add 29 MB at 352x640, and adds 4.
    """
    import onnxruntime as ort

    memory = ort.OrtMemoryInfo(
        "Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT
    )
    with suppress(Exception):  # somebody else in this process has registered one: it serves as well
        ort.create_and_register_allocator(memory, ort.OrtArenaCfg({}))


def _shrink_arena(session: Any, inputs: Tensors) -> None:
    """Give back what the shared arena does not need without a model, which is about to be freed.

    Only a call can ask for it; this one ends before its first operator.
    """
    import onnxruntime as ort

    options = ort.RunOptions()
    options.terminate = True
    options.log_severity_level = _FATAL_ONLY
    options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    with suppress(Exception):  # the error that says that it ended
        session.run(None, inputs, options)


def _tensors(
    found: list[Any], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, tuple[tuple[int, ...], str]]:
    """Return shape and dtype by name; a number of objects that is left open is the manifest's."""
    tensors = {}
    for node in found:
        shape = list(node.shape)
        if node.name in PER_OBJECT and node.name in shapes and isinstance(shape[1], str):
            shape[1] = shapes[node.name][1]
        tensors[node.name] = tuple(shape), _DTYPES.get(node.type, node.type)
    return tensors
