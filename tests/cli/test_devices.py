"""``edge-vos devices`` lists and shows profiles; its pages' commands are parsed."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge_vos.cli.devices import app
from edge_vos.devices.profiles.profile import load_profile, profile_names
from edge_vos.errors import UsageError
from tests.cli.running import parse

PAGE = Path(__file__).parents[2] / "docs" / "raspberrypi.md"
COMMANDS = [
    line
    for block in re.findall(r"^```bash\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    for line in block.splitlines()
]


def test_list_names_every_device() -> None:
    result = CliRunner().invoke(app, ["list"])
    assert result.exit_code == 0
    for name in profile_names():
        assert re.search(rf"^ *{name} ", result.stdout, re.MULTILINE)
    document = json.loads(CliRunner().invoke(app, ["list", "--json"]).stdout)
    assert [each["name"] for each in document["devices"]] == list(profile_names())


@pytest.mark.parametrize("name", profile_names())
def test_show_tells_why_and_what_goes_wrong(name: str) -> None:
    result = CliRunner().invoke(app, ["show", name])
    assert result.exit_code == 0
    profile = load_profile(name)
    for text in (profile.title, profile.soc, profile.choice.reason, profile.choice.source):
        assert text in result.stdout
    for trap in profile.traps:
        assert trap.what in result.stdout
    parse(re.findall(r"(edge-vos convert .*?) *$", result.stdout, re.MULTILINE)[-1])


def test_alone_it_lists() -> None:
    assert CliRunner().invoke(app, []).stdout == CliRunner().invoke(app, ["list"]).stdout


def test_show_as_json() -> None:
    document = json.loads(CliRunner().invoke(app, ["show", "iphone-13", "--json"]).stdout)
    assert document["choice"]["size"] == [240, 432]
    assert document["engines"][0] == "coreml"


def test_an_unknown_device_is_refused_with_those_that_there_are() -> None:
    result = CliRunner().invoke(app, ["show", "nokia-3310"])
    assert isinstance(result.exception, UsageError)
    assert "raspberry-pi-5" in str(result.exception)


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_of_the_raspberry_pi_page_is_understood(line: str) -> None:
    assert line.startswith("edge-vos ")
    parse(line)


def test_the_page_goes_from_doctor_to_bench() -> None:
    verbs = [line.split()[1] for line in COMMANDS]
    for verb in ("doctor", "segment", "live", "convert", "verify", "bench"):
        assert verb in verbs
