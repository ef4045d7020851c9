"""Open what an engine's converter made, with the engine itself or with what stands in for it."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edge_vos.converters.lowering import Lowered
from edge_vos.engines import Engine
from edge_vos.runtime.backends import OpenRunner, load_opener
from edge_vos.runtime.backends.runner import ModelSpec, Runner


@dataclass(frozen=True)
class Evaluator:
    """Hold what runs an engine's files on this machine.

    Args:
        open_runner: as an engine's module has it.
        name: of what stands in for the engine; empty for the engine itself.
    """

    open_runner: OpenRunner
    name: str = ""

    @contextmanager
    def opened(self, lowered: Lowered, offered: ModelSpec) -> Iterator[Runner]:
        """Open the files inside the block.

        Args:
            lowered: what the converter made.
            offered: what the files have to offer.
        """
        with tempfile.TemporaryDirectory(prefix="edge-vos-convert-") as folder:
            for name, content in lowered.files.items():
                path = Path(folder) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            # One thread: the order of sums, and so the report, is the same on every machine of a
            # kind.
            runner = self.open_runner(Path(folder) / lowered.model_file, offered, 1)
            try:
                yield runner
            finally:
                runner.close()


def find_evaluator(engine: Engine) -> Evaluator | None:
    """Return what runs an engine's files on this machine; ``None`` where nothing does.

    The engine itself comes first, so that a Mac runs Core ML and a Jetson TensorRT.
    """
    if engine.executes or (engine.stand_in and engine.is_available):
        return Evaluator(load_opener(engine.runner))
    if not engine.stand_in:
        return None
    return Evaluator(load_opener(engine.stand_in), engine.stand_in_name)
