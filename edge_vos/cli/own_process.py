"""Run edge-vos again, in a process of its own."""

import sys
from pathlib import Path


def own_command() -> list[str]:
    """Return the command that runs edge-vos as it runs now: installed, or packed in one file."""
    packed = Path(__file__).parents[2]
    return (
        [sys.executable, str(packed)] if packed.is_file() else [sys.executable, "-m", __package__]
    )
