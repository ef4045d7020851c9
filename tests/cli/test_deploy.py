from pathlib import Path

import typer
from typer.testing import CliRunner

from edge_vos.cli.deploy import deploy
from edge_vos.errors import BundleError, SinkError, UsageError

RUNNER = CliRunner()
APP = typer.Typer()
APP.command()(deploy)


def test_wrong_usage_is_named_before_anything_is_done(tmp_path: Path) -> None:
    there = f"dir://{tmp_path}/device"
    (tmp_path / "mine.json").write_text("mine")
    for arguments, error in (
        (["b", "--to", "ftp://x"], UsageError),
        (["b", "--to", there, "--sustained", "long"], UsageError),
        (["b", "--to", there, "-o", "report.md"], UsageError),
        (["b", "--to", there, "-o", str(tmp_path / "mine.json")], SinkError),
        (["b", "--to", there, "-o", "/proc/report.json"], SinkError),
        (["b", "--to", there, "--objects", "99"], UsageError),
        (["b", "--to", there, "--objects", "0"], UsageError),
        (["no.bundle", "--to", there], BundleError),
    ):
        assert isinstance(RUNNER.invoke(APP, arguments).exception, error)
    assert not (tmp_path / "device").exists()
