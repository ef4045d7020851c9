"""The pages for devices name what there is: tensors of the shipped bundle, commands that parse."""

import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from edge_vos.bundle import read_bundle, shipped_bundle_path
from edge_vos.cli import app
from edge_vos.cli.packed import NOT_PACKED
from edge_vos.converters.recipe import choose, parse_size
from edge_vos.devices.deploy.store import OWN
from edge_vos.runtime.memory import FORGET_FRAMES

DOCS = Path(__file__).parents[2] / "docs"
PHONE, JETSON, PI = (DOCS / name for name in ("phone.md", "jetson.md", "raspberrypi.md"))
MANIFEST = read_bundle(shipped_bundle_path("fast")).manifest


def _block(language: str) -> str:
    (block,) = re.findall(
        rf"^```{language}\n(.*?)^```", PHONE.read_text(), re.DOTALL | re.MULTILINE
    )
    return str(block)


def _shapes(pattern: str, text: str) -> list[tuple[str, tuple[int, ...]]]:
    return [
        (name, tuple(int(side) for side in sides.split(",")))
        for name, sides in re.findall(pattern, text)
    ]


@pytest.mark.parametrize(
    ("language", "pattern"),
    [("kotlin", r'"(\w+)" to longArrayOf\(([\d, ]+)\)'), ("swift", r'"(\w+)": \[([\d, ]+)\]')],
)
def test_a_listing_has_the_names_and_shapes_of_the_manifest(language: str, pattern: str) -> None:
    code = _block(language)
    assert _shapes(pattern, code) == [(spec.name, spec.shape) for spec in MANIFEST.inputs]
    (outputs,) = re.findall(r"outputs = (?:listOf\(|\[)([^)\]]+)[)\]]", code)
    assert re.findall(r'"(\w+)"', outputs) == [spec.name for spec in MANIFEST.outputs]
    known = {spec.name for spec in (*MANIFEST.inputs, *MANIFEST.outputs)}
    assert set(re.findall(r'"([a-z_]+)"', code)) == known
    memory = MANIFEST.memory
    assert f"slots = {MANIFEST.slots}\n" in code
    assert f"memEvery = {memory.mem_every}\n" in code
    assert re.search(rf"writeConfidence(: Float)? = {memory.write_confidence}f?\n", code)
    assert f"forgetFrames = {FORGET_FRAMES}\n" in code
    assert len(re.findall(r"\bunseen < forgetFrames\b", code)) == 1
    assert len(re.findall(r'"memory_valid"\)?[]!]*\[1\] = 0', code)) == 1
    height, width = MANIFEST.shape("probability")[2:]
    assert f"cells = {height} * {width}\n" in code
    assert f"letterboxed to {MANIFEST.size[0]}x{MANIFEST.size[1]}" in code
    channels = set(re.findall(r"0 until (\d+)\)|0\.\.<(\d+)|\((\d+)\)|count: (\d+)", code))
    assert {int(n) for found in channels for n in found if n} == {MANIFEST.channels}
    assert code.count("{") == code.count("}")
    assert code.count("(") == code.count(")")


def test_the_tables_are_those_of_the_manifest() -> None:
    rows = _shapes(r"\| `(\w+)` \| ([\d, ]+) \|", PHONE.read_text())
    specs = (*MANIFEST.inputs, *MANIFEST.outputs)
    assert rows == [(spec.name, spec.shape) for spec in specs]


def _lines(page: Path) -> list[str]:
    blocks = re.findall(r"^```bash\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    return "\n".join(blocks).splitlines()


def _commands(*pages: Path) -> list[str]:
    return [line for page in pages for line in _lines(page) if line.startswith("edge-vos ")]


def _option(line: str, name: str) -> str | None:
    words = shlex.split(line)
    return words[words.index(name) + 1] if name in words else None


@pytest.mark.parametrize("page", [PHONE, JETSON], ids=lambda page: page.name)
def test_what_is_deployed_is_what_was_converted_above(page: Path) -> None:
    made = []
    for line in _commands(page):
        if line.startswith("edge-vos convert "):
            recipe = choose(
                _option(line, "--target"),
                backend=_option(line, "--backend"),
                size=parse_size(_option(line, "--size") or ""),
            )
            made.append(f"{_option(line, '-o')}/{recipe.file_name}")
        if line.startswith("edge-vos deploy "):
            assert shlex.split(line)[2] in made


CHEAP = ("doctor", "devices", "inspect")
RUN_HERE = [line for line in _commands(PI, PHONE, JETSON) if line.split()[1] in CHEAP]


@pytest.mark.parametrize("line", RUN_HERE)
def test_a_command_that_only_looks_runs_here(line: str) -> None:
    result = CliRunner().invoke(app, shlex.split(line)[1:])
    assert result.exit_code == 0, result.output
    assert result.stdout


def test_what_the_board_runs_is_where_deploy_puts_it() -> None:
    on_board = [line for line in _lines(JETSON) if line.startswith("~/edge-vos/")]
    assert [line.split()[2] for line in on_board] == ["doctor", "live"]
    for line in on_board:
        python, pyz, verb, *rest = line.split()
        assert (python, pyz) == (f"~/edge-vos/{OWN}/venv/bin/python", "~/edge-vos/edge-vos.pyz")
        assert verb not in NOT_PACKED
        get_command(app).commands[verb].make_context(verb, rest)


@pytest.mark.parametrize("line", _commands(PHONE, JETSON))
def test_a_command_is_understood(line: str) -> None:
    _, name, *rest = shlex.split(line, comments=True)
    command = get_command(app).commands[name]
    if not hasattr(command, "commands"):
        command.make_context(name, rest)


def test_links_lead_somewhere() -> None:
    for page in (PHONE, JETSON):
        links = re.findall(
            r"\w\]\(([^)#]+)", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
        )
        local = [link for link in links if "://" not in link]
        assert [link for link in local if not (page.parent / link).exists()] == []


def test_commands_of_the_page_on_measuring_parse() -> None:
    text = (DOCS / "measure.md").read_text()
    lines = re.findall(r"`(edge-vos [^`]+)`|^(edge-vos .+)$", text, re.MULTILINE)
    assert len(lines) >= 8
    for line in (one or other for one, other in lines):
        command = get_command(app)
        context = command.make_context("edge-vos", shlex.split(line)[1:])
        name, command, rest = command.resolve_command(context, shlex.split(line)[1:])
        command.make_context(name, list(rest), parent=context)
