"""Run a program where some packages cannot be imported."""

BLOCK_TORCH = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "typer"}:
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Blocked())
"""
"""The first lines of a program without torch and typer."""
