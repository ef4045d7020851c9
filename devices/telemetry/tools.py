"""Run the tools that a machine has to tell of itself; one that is missing tells nothing."""

import os
import shutil
import subprocess
import weakref
from collections.abc import Callable

_ASK_S = 5.0


class BackgroundTool:
    """Run a tool that prints a line now and then, and hand out its last one.

    No thread reads it, which would compete with what is measured: the pipe holds what the tool
    prints until it is asked for. The tool is ended by ``close``, and at the latest with this
    object or this process.

    Args:
        name: the tool; where it is missing, nothing is ever told.
        arguments: of it.
    """

    def __init__(self, name: str, *arguments: str) -> None:
        self._kept, self._pipe = b"", -1
        self._end: Callable[[], object] = lambda: None
        path = shutil.which(name)
        if path is None:
            return
        try:
            tool = subprocess.Popen(
                [path, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )  # fmt: skip
        except OSError:
            return
        if tool.stdout is not None:
            self._pipe = tool.stdout.fileno()
            os.set_blocking(self._pipe, False)
        self._end = weakref.finalize(self, _end_tool, tool)

    def last_line(self) -> str | None:
        """Return the last whole line so far; None before the first, and of a tool that ended."""
        while self._pipe >= 0:
            try:
                read = os.read(self._pipe, 1 << 16)
            except BlockingIOError:
                break
            if not read:  # it ended, and what it said is no longer so
                self._kept, self._pipe = b"", -1
                break
            self._kept += read
            head, end, rest = self._kept.rpartition(b"\n")
            self._kept = head.rpartition(b"\n")[2] + end + rest
        whole, end, _ = self._kept.rpartition(b"\n")
        return whole.rpartition(b"\n")[2].decode(errors="replace") if end else None

    def close(self) -> None:
        """End the tool and wait for it; nothing is told from then on."""
        self._kept, self._pipe = b"", -1
        self._end()


def _end_tool(tool: "subprocess.Popen[bytes]") -> None:
    tool.terminate()
    try:
        tool.wait(_ASK_S)
    except subprocess.TimeoutExpired:
        tool.kill()
        tool.wait()
    if tool.stdout is not None:
        tool.stdout.close()


def ask_tool(name: str, argument: str) -> str:
    """Run a tool with one argument and return what it prints.

    Returns:
        Empty where the tool is missing, refuses, or does not answer in time.
    """
    path = shutil.which(name)
    if path is None:
        return ""
    try:
        done = subprocess.run(
            [path, argument], capture_output=True, text=True, errors="replace", check=False,
            stdin=subprocess.DEVNULL, timeout=_ASK_S,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
