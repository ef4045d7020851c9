import gc
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from edge_vos.devices.telemetry import tools
from edge_vos.devices.telemetry.tools import BackgroundTool, ask_tool


def test_a_tool_is_asked_and_may_be_missing(fake_tools: Callable[..., None]) -> None:
    fake_tools(nvpmodel='echo "NV Power Mode: $1"', refuses="echo half; exit 3")
    assert ask_tool("nvpmodel", "-q") == "NV Power Mode: -q\n"
    assert ask_tool("refuses", "-q") == ""
    assert ask_tool("no-such-tool", "-q") == ""


def test_a_tool_that_hangs_is_left(
    fake_tools: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_tools(hangs="exec sleep 60")
    monkeypatch.setattr(tools, "_ASK_S", 0.2)
    assert ask_tool("hangs", "-q") == ""


def told(tool: BackgroundTool, line: str | None) -> bool:
    """Wait until a tool's last line is the one that is meant."""
    until_s = time.monotonic() + 20
    while tool.last_line() != line:
        if time.monotonic() > until_s:
            return False
        time.sleep(0.01)
    return True


def test_a_tool_tells_the_last_whole_line_and_is_ended(
    fake_tools: Callable[..., None], tmp_path: Path
) -> None:
    fake_tools(tick=f"echo $$ > {tmp_path}/pid; echo one; echo two $1; printf half; exec sleep 60")
    tool = BackgroundTool("tick", "--fast")
    assert told(tool, "two --fast")
    assert tool.last_line() == "two --fast"
    pid = int((tmp_path / "pid").read_text())
    assert psutil.pid_exists(pid)
    tool.close()
    assert not psutil.pid_exists(pid)
    assert tool.last_line() is None
    tool.close()  # a second time is harmless


def test_a_tool_that_nobody_closes_ends_with_its_owner(
    fake_tools: Callable[..., None], tmp_path: Path
) -> None:
    fake_tools(tick=f"echo $$ > {tmp_path}/pid; echo one; exec sleep 60")
    tool = BackgroundTool("tick")
    assert told(tool, "one")
    pid = int((tmp_path / "pid").read_text())
    del tool
    gc.collect()
    assert not psutil.pid_exists(pid)


def test_a_tool_that_ended_or_is_missing_tells_nothing(fake_tools: Callable[..., None]) -> None:
    fake_tools(tick="exit 3")
    ended = BackgroundTool("tick")
    assert told(ended, None)
    ended.close()
    missing = BackgroundTool("no-such-tool")
    assert missing.last_line() is None
    missing.close()


def test_a_tool_that_does_not_end_when_it_is_told_is_killed(
    fake_tools: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tools, "_ASK_S", 0.2)
    fake_tools(stubborn=f"trap '' TERM\necho $$ > {tmp_path}/pid\necho ready\nexec sleep 60")
    tool = BackgroundTool("stubborn")
    assert told(tool, "ready")
    pid = int((tmp_path / "pid").read_text())
    assert psutil.pid_exists(pid)
    tool.close()
    assert not psutil.pid_exists(pid)
    assert tool.last_line() is None


def test_a_tool_that_cannot_be_started_tells_nothing(
    fake_tools: Callable[..., None], tmp_path: Path
) -> None:
    fake_tools(broken="true")
    (tmp_path / "tools" / "broken").write_bytes(b"#!/no/such/interpreter\n")
    tool = BackgroundTool("broken")
    assert tool.last_line() is None
    tool.close()
