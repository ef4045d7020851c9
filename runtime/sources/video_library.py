"""PyAV, the library that reads and writes video exactly: whether it is here, and what brings it.

It takes 118 MB, so the base install does without and uses OpenCV.
"""

from importlib.util import find_spec

INSTALL = 'pip install "edge-vos[video]"'


def has_pyav() -> bool:
    """Return whether PyAV is installed; it is not imported."""
    return find_spec("av") is not None
