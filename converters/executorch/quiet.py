"""Keep what ExecuTorch and its delegates say while lowering from the user."""

import contextlib
import io
import logging
from collections.abc import Iterator

from edge_vos.converters.quiet import quiet


@contextlib.contextmanager
def engine_silenced() -> Iterator[None]:
    """Silence the engine inside the block, and keep its log handler out of everybody's logs.

    Core ML's compiler draws progress bars, and importing XNNPACK's partitioner calls
    ``logging.basicConfig`` (ExecuTorch 1.5.1).
    """
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    nowhere = io.StringIO()
    try:
        with (
            quiet("executorch", "torchao", "torch.utils._pytree", "torch.export", "coremltools"),
            contextlib.redirect_stdout(nowhere),
            contextlib.redirect_stderr(nowhere),
        ):
            yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
