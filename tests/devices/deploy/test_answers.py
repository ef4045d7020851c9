"""What a device answers is looked at: a report that is none, words in place of JSON."""

import json
import re
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_vos.bundle import Bundle
from edge_vos.devices.deploy import prepare
from edge_vos.devices.deploy.deploy import DeployRequest, deploy
from edge_vos.devices.deploy.remote import CommandResult, DirRemote
from edge_vos.errors import DeviceError

MakeBundle = Callable[..., Bundle]


class Answering(DirRemote):
    """A device whose verify answers what it is told, and whose bench writes that into its file.

    Args:
        path: its folder.
        verify: the answer; None is the real one.
        report: the file's text.
    """

    def __init__(self, path: Path, verify: str | None = None, report: str = "") -> None:
        super().__init__(path)
        self._verify, self._report = verify, report
        self.asked: list[str] = []

    def run(self, command: str, timeout_s: float = 60.0) -> CommandResult:
        self.asked.append(command)
        if prepare.__name__ in command:
            return CommandResult(0, "building\n/cache/model.engine\n", "")
        if " verify " in command and self._verify is not None:
            return CommandResult(0, self._verify, "")
        if " bench " in command:
            Path(command.split()[-1]).write_text(self._report)
            return CommandResult(0, "", "")
        return super().run(command, timeout_s)


def _deploy(bundle: Bundle, remote: DirRemote, python: str = sys.executable) -> None:
    deploy(DeployRequest(bundle.path, remote, python=python, threads=1))


@pytest.mark.parametrize(
    ("verify", "told"),
    [
        ("Illegal instruction", "edge-vos verify failed on dir://.*: Illegal instruction"),
        ("[1, 2]", "edge-vos verify on dir://.* answered no object"),
    ],
)
def test_a_verdict_that_is_none_is_told(
    golden_bundle: MakeBundle, tmp_path: Path, verify: str, told: str
) -> None:
    remote = Answering(tmp_path / "device", verify)
    with pytest.raises(DeviceError, match=told):
        _deploy(golden_bundle(), remote)
    assert not any(" bench " in command for command in remote.asked)
    assert not list((tmp_path / "device" / "bundles").iterdir())


@pytest.mark.parametrize(
    ("report", "told"),
    [
        ('{"fps": ', "edge-vos bench failed on dir://.*: a broken file"),
        ("[]", "edge-vos bench on dir://.* answered no object"),
        ('{"fps": 30.0}', "edge-vos bench on dir://.* wrote no report: "),
    ],
)
def test_a_report_that_is_none_is_told_and_nothing_is_installed(
    golden_bundle: MakeBundle, tmp_path: Path, report: str, told: str
) -> None:
    verdict = {
        "passed": True, "verdict": "PASSED", "frames": 3, "mask_iou": 1.0, "max_abs_error": 0.0,
        "engine": "onnx", "engine_version": "1",
    }  # fmt: skip
    remote = Answering(tmp_path / "device", json.dumps(verdict), report)
    with pytest.raises(DeviceError, match=told):
        _deploy(golden_bundle(), remote)
    assert not list((tmp_path / "device" / "bundles").iterdir())


def test_tensorrts_engine_is_built_there_before_the_golden_is_repeated(
    golden_bundle: MakeBundle, tmp_path: Path
) -> None:
    python = tmp_path / "python3"
    python.write_text("#!/bin/sh\necho '[[3, 11, 2], []]'\n")
    python.chmod(0o755)
    remote = Answering(tmp_path / "device", "no answer")
    said: list[str] = []
    request = DeployRequest(golden_bundle(backend="tensorrt").path, remote, python=str(python))
    with pytest.raises(DeviceError, match="edge-vos verify failed"):
        deploy(request, said.append)
    built = [index for index, command in enumerate(remote.asked) if prepare.__name__ in command]
    verified = [index for index, command in enumerate(remote.asked) if " verify " in command]
    assert len(built) == len(verified) == 1
    assert built < verified
    program = remote.asked[built[0]]
    assert re.match(rf"env PYTHONPATH=\S+/edge-vos\.pyz {python} -m \S+ \S+\.bundle$", program)
    assert any("building TensorRT's engine there" in line for line in said)


def test_what_cannot_be_prepared_ends_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["prepare", str(tmp_path / "missing")])
    with pytest.raises(SystemExit, match="There is no bundle at "):
        runpy.run_path(str(prepare.__file__), run_name="__main__")
    assert capsys.readouterr().out == ""


def test_the_engines_path_is_printed(
    golden_bundle: MakeBundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bundle = golden_bundle(backend="tensorrt")
    given: list[tuple[object, ...]] = []

    def build(model: Path, precision: str, cuda: object, cache: Path) -> Path:
        given.append((model, precision, cuda, cache))
        return cache / "built.engine"

    monkeypatch.setattr(prepare, "prepare_engine", build)
    monkeypatch.setattr(prepare, "Cuda", lambda: "cuda")
    monkeypatch.setattr(prepare, "default_cache", lambda: tmp_path)
    prepare.main(str(bundle.path))
    assert given == [(bundle.model_path, "fp32", "cuda", tmp_path)]
    assert capsys.readouterr().out == f"{tmp_path}/built.engine\n"
