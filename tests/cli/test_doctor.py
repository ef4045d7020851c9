"""``edge-vos doctor`` says what runs here and what is missing."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
import typer
from typer.testing import CliRunner

from edge_vos import engines
from edge_vos.cli import doctor
from edge_vos.cli.video import session
from edge_vos.devices import doctor as devices_doctor
from edge_vos.devices.doctor import DoctorReport
from edge_vos.devices.telemetry.cameras import Camera
from edge_vos.runtime.sources.camera import CameraMode

app = typer.Typer()
app.command()(doctor.doctor)


@pytest.fixture(autouse=True)
def _no_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "display_problem", lambda: "there is no display")


def test_json_is_one_document() -> None:
    result = CliRunner().invoke(app, ["--json"])
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert set(document) >= {
        "machine", "profile", "engines", "opencv", "cameras", "tools", "display", "missing",
        "known_bad", "ready",
    }  # fmt: skip
    assert document["ready"] is True
    assert document["machine"]["device"]["cores"] >= 1
    onnx = next(each for each in document["engines"] if each["name"] == "onnx")
    assert onnx["available"] is True
    assert all(each["command"] for each in document["missing"])


def test_the_table_says_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    found = devices_doctor.diagnose("there is no display")
    camera = Camera("/dev/video7", "A [USB] camera", True, (CameraMode(640, 480, 30.0, "MJPG"),))
    none = tuple(
        replace(engine, available=False, version="", install="pip install it[all]")
        for engine in found.engines
    )
    report = replace(found, cameras=(camera,), engines=none, ready=False)

    def diagnose(display: str | None) -> DoctorReport:
        return report

    monkeypatch.setattr(devices_doctor, "diagnose", diagnose)
    result = CliRunner().invoke(app, [])
    assert result.exit_code == 0, result.output
    for text in (
        "edge-vos devices show", "A [USB] camera: MJPG 640x480 at 30", "pip install it[all]",
        "missing display", "edge-vos live --serve", "No engine runs here",
    ):  # fmt: skip
        assert text in result.stdout


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        ({"numpy": "2.4.1"}, {"numpy"}),
        ({"numpy": "2.3.5"}, set()),
        ({"tensorrt": "10.3.0"}, {"tensorrt"}),
        ({"executorch": "1.5.1", "numpy": "2.5.0"}, {"executorch", "numpy"}),
        ({}, set()),
    ],
)
def test_known_issues_are_those_of_installed_versions(
    monkeypatch: pytest.MonkeyPatch, versions: dict[str, str], expected: set[str]
) -> None:
    monkeypatch.setattr(engines, "installed_version", versions.get)
    rows = doctor.known_issues()
    assert {row.engine for row in rows} == expected
    assert all(row.version == versions[row.engine] for row in rows)
    assert not [row for row in rows if row.engine == "tensorrt" and "10.14" in row.remedy]
    assert all(row.thread.startswith("https://") and row.remedy for row in rows)


def test_no_engine_is_imported() -> None:
    """A base install has no torch, and looking is quick."""
    program = (
        "import sys; from edge_vos.cli.doctor import known_issues;"
        "from edge_vos.devices.doctor import diagnose; diagnose(None); known_issues();"
        "print(sorted({'torch', 'onnxruntime', 'executorch', 'coremltools'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")
