"""The command line: one file a command, imported only when it runs."""

from typing import Any

from edge_vos.cli.main import main, make_app

__all__ = ["app", "main"]


def __getattr__(name: str) -> Any:
    """Make ``app``, with every command, when it is asked for."""
    if name == "app":
        return make_app()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
