"""The command line: one file a command, imported only when it runs."""

from edge_vos.cli.main import app, main

__all__ = ["app", "main"]
