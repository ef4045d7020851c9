"""Deploy to a folder of this machine, whole, broken off anywhere, and over a real sshd."""

import getpass
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from edge_vos.bundle import Bundle, read_bundle
from edge_vos.cli.deploy import deploy as deploy_command
from edge_vos.devices.bench.report import BenchReport
from edge_vos.devices.deploy import package, prepare, store
from edge_vos.devices.deploy.deploy import DeployRequest, deploy
from edge_vos.devices.deploy.package import pack, requirements
from edge_vos.devices.deploy.remote import (
    AdbRemote,
    CommandResult,
    DirRemote,
    SshRemote,
    open_remote,
)
from edge_vos.devices.deploy.store import OWN, visit
from edge_vos.devices.profiles.profile import profile_names
from edge_vos.errors import DeviceError, GateError, UsageError

MakeBundle = Callable[..., Bundle]
FILES = 4  # manifest, model, recording, runtime
OPTIONS = ("--frames", "3")
COMMAND = typer.Typer()
COMMAND.command()(deploy_command)


class Flaky(DirRemote):
    """A device whose connection breaks after so many commands and copies."""

    def __init__(self, path: Path, breaks_after: int) -> None:
        super().__init__(path)
        self.left = breaks_after
        self.pushed: list[str] = []

    def _answer(self) -> None:
        if self.left <= 0:
            raise DeviceError(f"{self.name} cannot be reached")
        self.left -= 1

    def run(self, command: str, timeout_s: float = 60.0) -> CommandResult:
        self._answer()
        return super().run(command, timeout_s)

    def push(self, source: Path, target: str) -> None:
        if self.left == 1:  # it breaks in the middle of a file
            self.left = 0
            Path(target).write_bytes(source.read_bytes()[:100])
        self._answer()
        self.pushed.append(source.name)
        super().push(source, target)


def lying(root: Path) -> list[str]:
    return sorted(path.name for path in (root / "bundles").iterdir())


def stored(root: Path) -> list[Path]:
    return sorted((root / OWN / "store").iterdir())


def runs(root: Path) -> list[Path]:
    return sorted((root / OWN).glob("run-*"))


def _script(path: Path, body: str) -> Path:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def stranger(tmp_path: Path) -> str:
    """A Python that finds what is installed here, and nothing of this repository."""
    packages = Path(typer.__file__).parents[1]  # -S: the links in it are not followed
    return str(_script(tmp_path / "py", f'PYTHONPATH={packages} exec {sys.executable} -S "$@"'))


def test_a_folder_gets_the_bundle_and_gives_the_report(
    golden_bundle: MakeBundle, tmp_path: Path, stranger: str
) -> None:
    bundle, root = golden_bundle(), tmp_path / "a device"
    said: list[str] = []
    request = DeployRequest(
        bundle.path, DirRemote(root), stranger, threads=1, bench_options=OPTIONS
    )
    first = deploy(request, said.append)
    assert sorted(first.copied) == ["edge-vos.pyz", "golden.npz", "manifest.json", "model.onnx"]
    assert first.verify is not None
    assert first.verify.passed is True
    assert isinstance(first.report, BenchReport)
    assert (first.report.samples, first.report.threads) == (3, 1)
    assert first.report.bundle_sha256 == bundle.sha256
    assert first.report.accuracy is not None
    assert first.report.accuracy.passed
    assert read_bundle(first.installed).sha256 == bundle.sha256
    assert lying(root) == [Path(first.installed).name]
    assert len(stored(root)) == FILES
    assert (root / "edge-vos.pyz").is_file()
    assert any("golden" in line for line in said)
    second = deploy(request)
    assert (second.copied, second.copied_bytes, second.unchanged) == ((), 0, FILES)
    assert second.installed == first.installed
    # What was left there runs by itself, as the last line of the command says.
    done = subprocess.run(
        [stranger, root / "edge-vos.pyz", "inspect", first.installed, "--json"],
        capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert json.loads(done.stdout)["macs"] == bundle.manifest.macs, done.stderr


def test_what_is_packed_tells_of_devices_and_names_what_stays_at_home(
    tmp_path: Path, stranger: str
) -> None:
    pyz = tmp_path / "edge-vos.pyz"
    pyz.write_bytes(pack())
    (tmp_path / "bundles" / "mine.bundle").mkdir(parents=True)

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [stranger, pyz, *arguments], capture_output=True, text=True, cwd=tmp_path
        )

    listed = json.loads(call("devices", "list", "--json").stdout)["devices"]
    assert [each["name"] for each in listed] == list(profile_names())
    examined = call("doctor", "--json")
    assert json.loads(examined.stdout)["profile"] in profile_names(), examined.stderr
    (tmp_path / "davis").mkdir()
    for arguments, says in (
        (("eval", "davis"), "no 'eval'"),
        (("train", "student"), "no 'train'"),
        (("bench", "--davis", "davis", "--quick"), "no 'bench --davis --quick'"),
        (("inspect",), f"such as {tmp_path}/bundles/mine.bundle"),
    ):
        done = call(*arguments)
        assert (done.returncode, done.stdout) == (1 if arguments == ("inspect",) else 2, "")
        assert len(done.stderr.splitlines()) == 1, done.stderr
        assert done.stderr.startswith("error: ")
        assert says in done.stderr


def test_a_connection_that_breaks_anywhere_leaves_nothing_half_installed(
    golden_bundle: MakeBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, root = golden_bundle(), tmp_path / "device"
    monkeypatch.setattr("edge_vos.devices.deploy.deploy.pack", lambda cache=pack(): cache)
    copied: list[str] = []
    # A look around, a Python, and for each file a copy, its hash and its name: with five answers
    # one more file comes over. At the end the bundle is laid out and verified.
    for breaks_after in (0, 1, 2, 3, 4, *[5] * FILES, 2, 3):
        remote = Flaky(root, breaks_after)
        with pytest.raises(DeviceError, match="cannot be reached"):
            deploy(DeployRequest(bundle.path, remote, python=sys.executable, threads=1))
        copied += remote.pushed
        if root.exists():
            assert lying(root) == []
            for kept in stored(root):
                assert store._sha256(kept) == kept.name  # never a part of a file
    assert len(copied) == FILES + 1  # one arrived, and was not yet checked
    remote = Flaky(root, 1000)
    done = deploy(DeployRequest(bundle.path, remote, threads=1, bench_options=OPTIONS))
    assert remote.pushed == []  # what came over before a break stays
    assert done.unchanged == FILES
    assert len(stored(root)) == FILES
    for left in runs(root):  # one that breaks off cannot clean up; a later one does, a day after
        os.utime(left, (0, 0))
    visit(remote)
    assert len(runs(root)) == 1


def test_masks_that_are_off_are_not_installed_and_what_was_there_stays(
    golden_bundle: MakeBundle, tmp_path: Path
) -> None:
    root = tmp_path / "device"
    (root / "bundles" / "older.bundle").mkdir(parents=True)
    with pytest.raises(GateError, match=r"FAILED on dir://.*Nothing was installed"):
        deploy(DeployRequest(golden_bundle(broken=True).path, DirRemote(root), threads=1))
    assert lying(root) == ["older.bundle"]


def test_a_full_disk_is_named_before_and_while_copying(
    golden_bundle: MakeBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, remote = golden_bundle(), DirRemote(tmp_path / "device")
    request = DeployRequest(bundle.path, remote, python=sys.executable)
    device_folder = replace(visit(remote), free_bytes=1_000_000)
    monkeypatch.setattr("edge_vos.devices.deploy.deploy.visit", lambda _: device_folder)
    with pytest.raises(DeviceError, match=r"1 MB free .*Make room"):
        deploy(request)
    monkeypatch.undo()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(DeviceError, match="No space left"):
        deploy(request)
    assert stored(tmp_path / "device") == runs(tmp_path / "device")[1:] == []
    assert lying(tmp_path / "device") == []


def test_a_file_that_arrives_broken_is_not_kept(
    golden_bundle: MakeBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "copyfile", lambda _, target: Path(target).write_bytes(b"noise"))
    remote = DirRemote(tmp_path / "device")
    with pytest.raises(DeviceError, match="arrived broken"):
        deploy(DeployRequest(golden_bundle().path, remote, python=sys.executable))
    assert stored(tmp_path / "device") == runs(tmp_path / "device") == []


def test_a_root_that_cannot_be_made_is_named(golden_bundle: MakeBundle, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DeviceError, match=r"file/device cannot be made"):
        deploy(DeployRequest(golden_bundle().path, DirRemote(tmp_path / "file" / "device")))


def test_an_old_python_is_refused_with_a_way_out(golden_bundle: MakeBundle, tmp_path: Path) -> None:
    old = _script(tmp_path / "python3", "echo '[[3, 8, 10], []]'")
    request = DeployRequest(golden_bundle().path, DirRemote(tmp_path / "device"), str(old))
    with pytest.raises(DeviceError, match=r"3\.8\.10\. Expected: 3\.10 or later.*uv python"):
        deploy(request)


def test_a_python_that_is_none_is_named(golden_bundle: MakeBundle, tmp_path: Path) -> None:
    request = DeployRequest(golden_bundle().path, DirRemote(tmp_path / "device"), "/nope")
    with pytest.raises(DeviceError, match=r"--python /nope is no Python on dir.*not found"):
        deploy(request)


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ('[[3, 8, 10], ["numpy", "cuda"]]', r"3\.8\.10, with tensorrt:"),  # JetPack 5
        ('[[3, 12, 7], ["tensorrt"]]', r"3\.12\.7:"),  # a Python beside the system's
        ('[[3, 6, 9], ["tensorrt"]]', r"3\.6\.9:"),
    ],
)
def test_tensorrt_without_a_python_for_it_is_refused_before_anything_is_copied(
    golden_bundle: MakeBundle, tmp_path: Path, answer: str, found: str
) -> None:
    root = tmp_path / "device"
    python = _script(tmp_path / "python3", f"echo '{answer}'")
    request = DeployRequest(golden_bundle(backend="tensorrt").path, DirRemote(root), str(python))
    with pytest.raises(DeviceError, match=rf"is {found}.*imports tensorrt.*--target cpu"):
        deploy(request)
    assert stored(root) == lying(root) == runs(root) == []


def test_what_is_missing_is_installed_beside_and_kept_only_whole(
    golden_bundle: MakeBundle, tmp_path: Path
) -> None:
    """A stand-in for a bare Python: it makes a venv of the real one, and its pip does as told."""
    root = tmp_path / "device"
    log = tmp_path / "pip.log"
    bare = _script(
        tmp_path / "python3",
        'case "$2" in\n'
        "venv) shift 3; mkdir -p $1/bin; cat > $1/bin/python <<'EOF'\n#!/bin/sh\n"
        f'if [ "$2" = pip ]; then echo "$@" >> {log}; exit $(cat {tmp_path}/code); fi\n'
        f'exec {sys.executable} "$@"\nEOF\nchmod 755 $1/bin/python;;\n'
        "*) echo '[[3, 11, 2], [\"numpy\"]]';;\nesac",
    )
    request = DeployRequest(
        golden_bundle().path, DirRemote(root), str(bare), threads=1, bench_options=OPTIONS
    )
    (tmp_path / "code").write_text("1")
    with pytest.raises(DeviceError, match="pip could not install"):
        deploy(request)
    assert not (root / OWN / "venv").exists()
    assert runs(root) == []
    (tmp_path / "code").write_text("0")
    done = deploy(request)
    assert done.next_step.startswith(f"{root}/{OWN}/venv/bin/python {root}/edge-vos.pyz live")
    wanted = log.read_text().splitlines()[-1]
    assert all(name in wanted for name in ("onnxruntime", "opencv-python", "psutil"))
    assert "torch" not in wanted


def test_the_runtime_is_packed_to_the_same_bytes_without_torch() -> None:
    assert pack() == pack()
    cuda = ["cuda-python<13; python_version < '3.11'", "cuda-python; python_version >= '3.11'"]
    assert requirements("tensorrt") == [*cuda, *requirements("onnx")]
    assert package.modules("executorch-xnnpack") == (
        *package.modules("onnx"),
        "executorch",
        "torch",
    )
    assert not any("torch" in line for line in requirements("onnx"))
    with zipfile.ZipFile(io.BytesIO(pack())) as archive:
        names = archive.namelist()
    assert not any(name.startswith(("edge_vos/distill/", "edge_vos/weights/")) for name in names)
    page = {f"edge_vos/runtime/web/page/{name}" for name in ("live.html", "live.js", "style.css")}
    assert page | {"edge_vos/devices/bench/measure.py",
                   "edge_vos/devices/profiles/pixel-9.toml"} <= set(names)  # fmt: skip


@pytest.mark.parametrize(
    "uri",
    ["", "box", "ssh://", "ssh://-oProxyCommand=x", "ssh://user@", "ssh://host:port",
     "ssh://ho st", "ssh://host/a b", "ssh://host/../x", "ssh://-u@host", "adb://", "adb://-s",
     "dir://", "ftp://host", "ssh://user:secret@host"],
)  # fmt: skip
def test_an_odd_target_is_refused(uri: str) -> None:
    with pytest.raises(UsageError):
        open_remote(uri)


def test_targets_are_understood() -> None:
    ssh = open_remote("ssh://pi@raspberrypi.local:2222/srv/vos")
    assert isinstance(ssh, SshRemote)
    assert (ssh.name, ssh.root) == ("ssh://pi@raspberrypi.local:2222", "/srv/vos")
    adb = open_remote("adb://192.168.1.5:5555")
    assert isinstance(adb, AdbRemote)
    assert (adb.name, adb.root) == ("adb://192.168.1.5:5555", "/data/local/tmp/edge-vos")
    assert isinstance(open_remote("dir:///srv/x"), DirRemote)


def test_the_command_goes_from_bundle_to_report(golden_bundle: MakeBundle, tmp_path: Path) -> None:
    bundle, report = str(golden_bundle().path), tmp_path / "report.json"
    arguments = [bundle, "--to", f"dir://{tmp_path}/device", "--threads", "1"]
    arguments += ["--sustained", "0.1s"]
    first = CliRunner().invoke(COMMAND, [*arguments, "-o", str(report), "--json"])
    assert first.exit_code == 0, first.output
    document = json.loads(first.stdout)
    assert document["verify"]["passed"] is True
    assert document["report"]["latency_ms"]["end_to_end"]["p50"] > 0
    assert json.loads(report.read_text()) == document["report"]
    assert "measuring there" in first.stderr
    shutil.rmtree(tmp_path / "device" / "bundles")
    second = CliRunner().invoke(COMMAND, arguments)
    assert second.exit_code == 0, second.output
    for word in ("copied     0 files", "masks      agree", "FPS", "edge-vos.pyz live --model"):
        assert word in second.stdout


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    """Run a real sshd on localhost with a key of its own; give its port and a client's config."""
    server = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if server is None or shutil.which("ssh-keygen") is None or shutil.which("scp") is None:
        pytest.skip("there is no sshd here: apt-get install openssh-server")
    folder = tmp_path_factory.mktemp("sshd")
    for name in ("host", "user"):
        keygen = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name]
        subprocess.run(keygen, check=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile none\n"
        f"AuthorizedKeysFile {folder}/user.pub\nStrictModes no\nUsePAM no\n"
        "PasswordAuthentication no\nPermitRootLogin prohibit-password\n"
        "Subsystem sftp internal-sftp\n"
    )
    (folder / "config").write_text(
        f"Host *\nIdentityFile {folder}/user\nIdentitiesOnly yes\nLogLevel ERROR\n"
        f"UserKnownHostsFile {folder}/known\nStrictHostKeyChecking accept-new\n"
    )
    log = (folder / "log").open("wb")
    process = subprocess.Popen([server, "-D", "-e", "-f", folder / "sshd_config"], stderr=log)
    try:
        for _ in range(100):
            with socket.socket() as knock:
                if knock.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
            if process.poll() is not None:
                pytest.skip(f"sshd does not start: {(folder / 'log').read_text().strip()}")
        yield port, folder / "config"
    finally:
        process.terminate()
        process.wait()
        log.close()


@pytest.mark.slow
def test_over_a_real_ssh_from_bundle_to_report_twice(
    sshd: tuple[int, Path], golden_bundle: MakeBundle, tmp_path: Path, base_install: Path
) -> None:
    """The other side has the base install in an environment of its own, and no torch."""
    port, config = sshd
    root = tmp_path / "there"
    bundle = golden_bundle()
    remote = open_remote(f"ssh://{getpass.getuser()}@127.0.0.1:{port}{root}", config)
    python = str(base_install / "python")
    assert "No module named 'torch'" in remote.run(f"{python} -c 'import torch'").err
    request = DeployRequest(bundle.path, remote, python=python, threads=1, bench_options=OPTIONS)
    first, second = deploy(request), deploy(request)
    assert (len(first.copied), second.copied) == (FILES, ())
    assert first.report.samples == second.report.samples == 3
    assert read_bundle(root / "bundles" / Path(first.installed).name).sha256 == bundle.sha256
    assert lying(root) == [Path(first.installed).name]


def test_a_stranger_is_refused_and_a_closed_port_is_named(
    sshd: tuple[int, Path], golden_bundle: MakeBundle, tmp_path: Path
) -> None:
    port, config = sshd
    stranger = tmp_path / "config"
    stranger.write_text(config.read_text().replace("/user\n", "/nobody\n"))
    bundle = golden_bundle()
    for uri, path, says in (
        (f"ssh://{getpass.getuser()}@127.0.0.1:{port}/tmp/x", stranger, "Permission denied"),
        ("ssh://127.0.0.1:1/tmp/x", config, "refused"),
    ):
        by_hand = rf"{says}.*by hand: ssh -F {path} -p \d+ "
        with pytest.raises(DeviceError, match=by_hand):
            deploy(DeployRequest(bundle.path, open_remote(uri, path)))


def test_what_cannot_be_prepared_is_told(tmp_path: Path) -> None:
    program = [sys.executable, "-m", prepare.__name__, str(tmp_path / "missing")]
    done = subprocess.run(program, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("There is no bundle at ")
