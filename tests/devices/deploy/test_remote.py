"""The ways to a device: ssh and scp as they are called, and what is told when they fail."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_vos.devices.deploy.remote import (
    AdbRemote,
    DirRemote,
    Remote,
    call,
    open_remote,
    quote,
)
from edge_vos.errors import DeviceError, UsageError

FakeTools = Callable[..., None]
OPTIONS = "-o BatchMode=yes -o ConnectTimeout=10 -o ServerAliveInterval=15"


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    return open_remote("ssh://pi@board:2222/srv/edge-vos", tmp_path / "config")


def test_a_command_goes_through_ssh(remote: Remote, fake_tools: FakeTools, tmp_path: Path) -> None:
    fake_tools(ssh='echo "$@"; echo "a hint" >&2; exit 3')
    done = remote.run("uname -m && true")
    assert done.out == f"{OPTIONS} -F {tmp_path}/config -p 2222 pi@board uname -m && true\n"
    assert (done.code, done.last_line) == (3, "a hint")
    assert (remote.name, remote.root) == ("ssh://pi@board:2222", "/srv/edge-vos")


def test_files_go_through_scp_both_ways(fake_tools: FakeTools, tmp_path: Path) -> None:
    said = tmp_path / "said"
    fake_tools(scp=f'echo "$@" >> {said}')
    here = tmp_path / "model.onnx"
    plain = open_remote("ssh://board")
    plain.push(here, "edge-vos/model.onnx")
    open_remote("ssh://board:22").pull("edge-vos/report.json", here)
    assert said.read_text().splitlines() == [
        f"-q {OPTIONS} {here} board:edge-vos/model.onnx",
        f"-q {OPTIONS} -P 22 board:edge-vos/report.json {here}",
    ]
    assert (plain.name, plain.root) == ("ssh://board", "edge-vos")


def test_a_host_that_cannot_be_reached_is_told_with_what_to_try(
    remote: Remote, fake_tools: FakeTools, tmp_path: Path
) -> None:
    fails = 'echo "ssh: no route to board" >&2; exit 255'
    fake_tools(ssh=fails, scp=fails)
    for act in (
        lambda: remote.run("true"),
        lambda: remote.push(tmp_path / "model.onnx", "/srv/model.onnx"),
        lambda: remote.pull("/srv/model.onnx", tmp_path / "model.onnx"),
    ):
        with pytest.raises(DeviceError) as caught:
            act()
        told = str(caught.value)
        assert "ssh://pi@board:2222 cannot be reached: ssh: no route to board" in told
        assert f"ssh -F {tmp_path}/config -p 2222 pi@board" in told


def test_a_copy_that_fails_is_told(remote: Remote, fake_tools: FakeTools, tmp_path: Path) -> None:
    fake_tools(scp='echo "scp: /srv: Permission denied" >&2; exit 1')
    with pytest.raises(DeviceError, match="Copying to or from ssh://pi@board:2222 failed: scp"):
        remote.push(tmp_path / "model.onnx", "/srv/model.onnx")
    fake_tools(scp='echo "scp: write: No space left on device" >&2; exit 1')
    with pytest.raises(DeviceError, match="Make room there"):
        remote.push(tmp_path / "model.onnx", "/srv/model.onnx")


def test_a_program_that_is_missing_or_hangs_is_told(tmp_path: Path) -> None:
    missing = str(tmp_path / "adb")
    with pytest.raises(DeviceError, match=f"{missing} is not installed"):
        AdbRemote("A1", "/data/local/tmp/edge-vos", missing).run("true")
    with pytest.raises(DeviceError, match="the board did not answer within 0 s"):
        call([sys.executable, "-c", "import time; time.sleep(60)"], 0.2, "the board")
    with pytest.raises(DeviceError, match=r"dir://.* did not answer within 0 s"):
        DirRemote(tmp_path).run("sleep 60", 0.2)


def test_a_program_gets_no_input_and_its_words_as_they_are(tmp_path: Path) -> None:
    program = "import json, sys; print(json.dumps([sys.argv[1:], sys.stdin.read()]))"
    words = ["a b", "$HOME", "it's", ""]
    for done in (
        call([sys.executable, "-c", program, *words], 30, "here"),
        DirRemote(tmp_path).run(quote(sys.executable, "-c", program, *words)),
    ):
        assert (done.code, json.loads(done.out), done.err) == (0, [words, ""], "")


def test_a_command_that_says_nothing_has_a_last_line() -> None:
    done = call([sys.executable, "-c", "raise SystemExit(4)"], 30, "here")
    assert (done.code, done.last_line) == (4, "it said nothing")


def test_a_password_is_refused_and_not_repeated() -> None:
    with pytest.raises(UsageError, match="a key that ssh knows") as caught:
        open_remote("ssh://pi:secret@board")
    assert "secret" not in str(caught.value)
