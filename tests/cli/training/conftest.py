"""A run that takes seconds."""

from pathlib import Path

import pytest

TINY = "checkpoint_every = 1\nclips = {size = [64, 96], clips = 2, frames = 3}\n"


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """The config of a tiny run."""
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return path
