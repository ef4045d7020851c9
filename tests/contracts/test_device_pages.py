"""The pages for devices name what there is: tensors of the shipped bundle, commands that parse."""

import re
import shlex
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from edge_vos.bundle import default_bundle_path, read_bundle
from edge_vos.cli import app
from edge_vos.cli.compare import compare
from edge_vos.cli.deploy import deploy

DOCS = Path(__file__).parents[2] / "docs"
PHONE, JETSON = (DOCS / name for name in ("phone.md", "jetson.md"))
MANIFEST = read_bundle(default_bundle_path()).manifest


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


def _commands() -> list[str]:
    blocks = [
        block
        for page in (PHONE, JETSON)
        for block in re.findall(r"^```bash\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    ]
    lines = "\n".join(blocks).splitlines()
    return [line for line in lines if line.startswith("edge-vos ")]


@pytest.mark.parametrize("line", _commands())
def test_a_command_is_understood(line: str) -> None:
    alone = typer.Typer()
    alone.command("compare")(compare)
    alone.command("deploy")(deploy)
    _, name, *rest = shlex.split(line, comments=True)
    commands = {**get_command(app).commands, **get_command(alone).commands}
    commands[name].make_context(name, rest)


def test_links_lead_somewhere() -> None:
    for page in (PHONE, JETSON):
        links = re.findall(
            r"\w\]\(([^)#]+)", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
        )
        local = [link for link in links if "://" not in link]
        assert [link for link in local if not (page.parent / link).exists()] == []
