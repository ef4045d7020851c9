"""Keep the remarks that engines make on themselves from the user."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def quiet(*loggers: str) -> Iterator[None]:
    """Ignore warnings, and what the named loggers say below an error, inside the block.

    Args:
        loggers: names, such as "torch.onnx".
    """
    named = [logging.getLogger(name) for name in loggers]
    levels = [logger.level for logger in named]
    for logger in named:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(named, levels, strict=True):
            logger.setLevel(level)


@contextlib.contextmanager
def executorch_silenced() -> Iterator[None]:
    """Silence ExecuTorch inside the block, and keep its log handler out of everybody's logs.

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
