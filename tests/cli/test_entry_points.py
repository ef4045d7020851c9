"""What starts the command line: installed, packed in one file, and in a conversion's process."""

import json
import runpy
import sys
from pathlib import Path

import pytest

from edge_vos import __version__
from edge_vos.bundle import Bundle
from edge_vos.cli import isolated, main, packed
from edge_vos.cli.video import session


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The command line of this process; a test appends to it what a user types."""
    words = ["edge-vos"]
    monkeypatch.setattr(sys, "argv", words)
    return words


def test_the_module_is_the_command(typed: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    typed.append("--version")
    with pytest.raises(SystemExit) as end:
        runpy.run_module("edge_vos.cli", run_name="__main__")
    assert end.value.code == 0
    assert capsys.readouterr().out == f"edge-vos {__version__}\n"


def test_a_mistake_is_one_paragraph_and_a_failure_another_exit_code(
    typed: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for words, code in (
        (["segment", "clip.mp4", "--box", "1,2"], 2),
        (["inspect", str(tmp_path / "none.bundle")], 1),
    ):
        typed[1:] = words
        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code == code
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("error: ")
        assert err.count("\n") == 1


def test_ctrl_c_while_a_command_is_imported_is_said_in_a_word(
    typed: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["edge_vos.cli.main"], "import_module", interrupt)
    typed += ["doctor"]
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 130
    assert capsys.readouterr() == ("", "interrupted\n")


def test_ctrl_c_in_a_command_has_the_same_exit_code(
    typed: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(request: session.SessionRequest) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(session, "run_session", interrupt)
    typed += ["segment", "clip.mp4", "--box", "1,2,3,4"]
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 130
    assert capsys.readouterr().err.splitlines()[-1] == "interrupted"


@pytest.mark.parametrize("command", packed.NOT_PACKED)
def test_a_packed_command_line_names_what_stays_at_home(
    typed: list[str], capsys: pytest.CaptureFixture[str], command: str
) -> None:
    typed += [command, "--help"]
    with pytest.raises(SystemExit) as end:
        packed.main()
    assert end.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert f"edge-vos.pyz has no '{command}'" in err
    assert "Run it where edge-vos is installed" in err


def test_a_packed_command_line_runs_what_a_device_needs(
    typed: list[str], tiny_bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    typed += ["inspect", str(tiny_bundle.path), "--json"]
    with pytest.raises(SystemExit) as end:
        packed.main()
    assert end.value.code == 0
    assert json.loads(capsys.readouterr().out)["name"] == "tiny"


def test_a_part_that_was_not_packed_is_named_with_its_options(
    typed: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "edge_vos.cli.video.session", None)
    monkeypatch.delattr("edge_vos.cli.video.session")
    typed += ["live", "--headless", "0", "--box", "1,2,3,4"]
    with pytest.raises(SystemExit) as end:
        packed.main()
    assert end.value.code == 2
    assert "edge-vos.pyz has no 'live --headless --box'" in capsys.readouterr().err


def test_a_package_that_a_device_lacks_is_not_said_to_be_unpacked(
    typed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    typed += ["segment", "synthetic://?frames=1"]
    with pytest.raises(ModuleNotFoundError, match="cv2"):
        packed.main()


def test_an_error_of_a_conversion_s_process_is_one_document(
    typed: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    typed += ["convert", "--target", "toaster", "--json"]
    with pytest.raises(SystemExit) as end:
        isolated.main()
    assert end.value.code == 1
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["type"] == "UsageError"
    assert "toaster" in error["what"]
    assert "one of android" in error["expected"]
    assert set(error) == {"type", "what", "expected", "next_step"}


def test_a_conversion_s_process_that_ends_well_prints_no_error(
    typed: list[str], tiny_bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    typed += ["inspect", str(tiny_bundle.path), "--json"]
    with pytest.raises(SystemExit) as end:
        isolated.main()
    assert end.value.code == 0
    assert "error" not in json.loads(capsys.readouterr().out)
