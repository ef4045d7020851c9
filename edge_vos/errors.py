"""Every exception that edge-vos raises for something a user can mend.

A message has three parts: what failed (with the value), what was expected, what to do next.
``edge_vos.cli.main`` prints it as one paragraph and exits with 1 (2 for ``UsageError``)::

    EdgeVosError
    ├── UsageError         the command line itself is wrong                   (exit code 2)
    ├── SourceError        a camera, file or folder cannot be opened or read
    │   └── SourceLost     it worked, then it stopped: unplugged, truncated
    │       └── SourceTimeout  it is there and gives no frames
    ├── SinkError          an output exists, or cannot be written
    ├── PromptError        a mask, box or point that cannot be used
    │   └── MaskError      a file with a mask that is not understood, or not for this frame
    ├── ShapeError         a size or a tensor that does not fit
    ├── BundleError        a bundle whose schema, hash, path or shape is wrong
    ├── EngineError        an engine is unknown, or it failed
    │   └── MissingPackageError  what it takes is not installed
    ├── CheckpointError    weights that cannot be read, or of another architecture
    ├── TrainingError      a training that cannot start or go on
    ├── DeviceError        another device cannot be reached, or it refuses
    ├── DatasetError       a data set folder that is not what was said
    └── GateError          verification failed; nothing was written
"""


class EdgeVosError(Exception):
    """Say what failed, what was expected and what to do next.

    Args:
        what: what failed, with the offending value.
        expected: what would have been accepted.
        next_step: the command or action to take now.
    """

    def __init__(self, what: str, expected: str = "", next_step: str = "") -> None:
        self.what = what
        self.expected = expected
        self.next_step = next_step
        parts = [what, f"Expected: {expected}" if expected else "", next_step]
        super().__init__(". ".join(part.rstrip(". ") for part in parts if part) + ".")


class UsageError(EdgeVosError):
    """Report a command line that cannot be understood."""


class SourceError(EdgeVosError):
    """Report a source of frames that cannot be opened or read."""


class SourceLost(SourceError):
    """Report a source that worked and then stopped before its end."""


class SourceTimeout(SourceLost):
    """Report a source that is still there and gave no frame for too long."""


class SinkError(EdgeVosError):
    """Report an output that exists or cannot be written."""


class PromptError(EdgeVosError):
    """Report a mask, box or point that cannot be used."""


class MaskError(PromptError):
    """Report a file that should show objects and cannot be read, or not without guessing."""


class ShapeError(EdgeVosError):
    """Report a size or a tensor that does not fit."""


class BundleError(EdgeVosError):
    """Report a bundle that is not intact or not understood."""


class EngineError(EdgeVosError):
    """Report an inference engine that is unknown or that failed."""


class MissingPackageError(EngineError):
    """Report a package that is not installed, or that cannot be imported."""


class DeviceError(EdgeVosError):
    """Report another device that cannot be reached, or that refuses what was asked of it."""


class CheckpointError(EdgeVosError):
    """Report weights that cannot be read or belong to another architecture."""


class TrainingError(EdgeVosError):
    """Report a training that cannot start or go on with what it was given."""


class DatasetError(EdgeVosError):
    """Report a data set folder that is not what it was said to be."""


class GateError(EdgeVosError):
    """Report a verification that failed, after which nothing was written."""
