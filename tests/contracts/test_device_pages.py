"""The pages for devices and the phone projects name what there is: tensors, constants, commands."""

import json
import plistlib
import re
import shlex
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from edge_vos.bundle import read_bundle, shipped_bundle_path
from edge_vos.cli import app
from edge_vos.cli.packed import NOT_PACKED
from edge_vos.converters.recipe import choose, parse_size
from edge_vos.devices.deploy.store import OWN
from edge_vos.graph import MASK_STRIDE, PROMPT_INPUT_NAMES, PROMPT_OUTPUT_NAMES
from edge_vos.runtime import guided_filter, labels, memory, preprocess
from edge_vos.runtime.prompts import prompt_head

DOCS = Path(__file__).parents[2] / "docs"
PHONE, JETSON, PI = (DOCS / name for name in ("phone.md", "jetson.md", "raspberrypi.md"))
ANDROID, IOS = DOCS / "examples/android", DOCS / "examples/ios"
PROJECTS = [ANDROID / "README.md", IOS / "README.md"]
MANIFEST = read_bundle(shipped_bundle_path("fast")).manifest


def _shapes(pattern: str, text: str) -> list[tuple[str, tuple[int, ...]]]:
    return [
        (name, tuple(int(side) for side in sides.split(",")))
        for name, sides in re.findall(pattern, text)
    ]


@pytest.fixture(params=["kt", "swift"])
def core(request: pytest.FixtureRequest) -> dict[str, str]:
    """The sources of a phone project's loop, by the names of their files."""
    folder = {"kt": ANDROID / "app/src/main/kotlin/edgevos/core", "swift": IOS / "Sources/Core"}
    paths = folder[request.param].glob(f"*.{request.param}")
    return {path.stem: path.read_text() for path in paths}


def _strings(*sources: str) -> set[str]:
    return set(re.findall(r'"([a-z_]+)"', "".join(sources)))


def test_a_project_names_the_tensors_and_keys_of_the_manifest(core: dict[str, str]) -> None:
    specs = (*MANIFEST.inputs, *MANIFEST.outputs)
    assert _strings(core["Segmenter"], core["MemoryBank"]) == {spec.name for spec in specs}
    assert _strings(core["PromptHead"]) == {*PROMPT_INPUT_NAMES, *PROMPT_OUTPUT_NAMES}
    written = json.loads((shipped_bundle_path("fast") / "manifest.json").read_text())
    keys = {*written, *written["memory"], *written["prompt_head"], *written["inputs"][0]}
    named = set(re.findall(r'\[?"([a-z_]+)"\]|let ([a-z_]+):', core["Manifest"]))
    named = {name for pair in named for name in pair if name and "_" in name}
    assert named == {"model_file", "mem_every", "write_confidence", "prompt_head"}
    assert named <= keys


CONSTANTS = {
    "forget_frames": memory.FORGET_FRAMES,
    "mask_stride": MASK_STRIDE,
    "neutral": preprocess.NEUTRAL,
    "max_bilinear_shrink": preprocess._MAX_BILINEAR_SHRINK,
    "radius": guided_filter.RADIUS,
    "epsilon": guided_filter.EPSILON,
    "flat": guided_filter.FLAT,
    "outline(_level)?": labels.OUTLINE,
    "levels(_per_unit)?": labels.LEVELS,
    "least_probability": labels.LEAST_PROBABILITY,
    "on(_channel)?": prompt_head.ON,
    "box(_channel)?": prompt_head.BOX,
    "mask(_channel)?": prompt_head.MASK,
    "click_cells": prompt_head.CLICK_CELLS,
    "box_margin": prompt_head.BOX_MARGIN,
    "mask_margin": prompt_head.MASK_MARGIN,
    "least_view_px": prompt_head._LEAST_VIEW_PX,
    "least_gain": prompt_head._LEAST_GAIN,
}


def test_a_project_has_the_constants_of_the_runtime(core: dict[str, str]) -> None:
    text = "\n".join(core.values())
    found = {
        re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower(): float(value)
        for name, value in re.findall(
            r"^(?:\w+ )*(?:val|let) (\w+)(?:: \w+)? = ([\d.e-]+)f?\b", text, re.MULTILINE
        )
    }
    for name, value in CONSTANTS.items():
        (match,) = [key for key in found if re.fullmatch(name, key)]
        assert found[match] == value, name


def test_a_project_has_no_size_of_its_own(core: dict[str, str]) -> None:
    known = {side for spec in (*MANIFEST.inputs, *MANIFEST.outputs) for side in spec.shape}
    known |= {352, 640, 88, 160}  # the prompt head's
    for name, text in core.items():
        code = re.sub(r"//.*|0x\w+", "", re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL))
        numbers = {int(number) for number in re.findall(r"(?<![\w.])\d+(?![\w.])", code)}
        assert not {number for number in numbers & known if number > 5}, name


def test_the_android_project_is_whole() -> None:
    app = ANDROID / "app/src/main"
    sources = "".join(path.read_text() for path in (app / "kotlin/edgevos/app").glob("*.kt"))
    android = "{http://schemas.android.com/apk/res/android}"
    layout = ElementTree.parse(app / "res/layout/main.xml").getroot()
    ids = {view.get(f"{android}id", "").removeprefix("@+id/") for view in layout.iter()} - {""}
    assert ids == set(re.findall(r"R\.id\.(\w+)", sources))
    assert re.findall(r"R\.layout\.(\w+)", sources) == ["main"]
    strings = {
        item.get("name") for item in ElementTree.parse(app / "res/values/strings.xml").getroot()
    }
    manifest = (app / "AndroidManifest.xml").read_text()
    used = re.findall(r"@string/(\w+)", manifest + (app / "res/layout/main.xml").read_text())
    assert set(used) == strings
    root = ElementTree.fromstring(manifest)
    assert [item.get(f"{android}name") for item in root.iter("uses-permission")] == [
        "android.permission.CAMERA"
    ]
    assert [item.get(f"{android}name") for item in root.iter("activity")] == [".MainActivity"]
    assert "class MainActivity" in sources
    assert 'include(":app")' in (ANDROID / "settings.gradle.kts").read_text()
    assert 'namespace = "edgevos.app"' in (ANDROID / "app/build.gradle.kts").read_text()
    (folder,) = re.findall(r'BUNDLE = "(\w+)"', sources)
    assert f"app/src/main/assets/{folder}\n" in (ANDROID / "README.md").read_text()
    assert f"app/src/main/assets/{folder}/\n" in (ANDROID / ".gitignore").read_text()


def test_the_ios_project_is_whole() -> None:
    with (IOS / "Info.plist").open("rb") as file:
        assert plistlib.load(file)["NSCameraUsageDescription"]
    tracker = (IOS / "Sources/App/Tracker.swift").read_text()
    assert 'appendingPathComponent("Model")' in tracker
    assert "path: Model\n        type: folder\n" in (IOS / "project.yml").read_text()
    assert "docs/examples/ios/Model\n" in (IOS / "README.md").read_text()
    assert "Model/\n" in (IOS / ".gitignore").read_text()


@pytest.mark.parametrize("page", [PHONE, *PROJECTS], ids=lambda page: page.parent.name)
def test_what_was_not_built_is_said(page: Path) -> None:
    assert page.read_text().count("NOT BUILT HERE") == (2 if page == PHONE else 1)


@pytest.mark.parametrize("page", PROJECTS, ids=lambda page: page.parent.name)
def test_the_bundle_that_is_copied_is_the_one_that_is_made(page: Path) -> None:
    (made,) = [_made(line) for line in _commands(page)]
    (copied,) = [shlex.split(line) for line in _lines(page) if line.startswith("cp ")]
    assert copied[:3] == ["cp", "-r", made]


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


def _made(line: str) -> str:
    """The path of the bundle that a command makes."""
    recipe = choose(
        _option(line, "--target"),
        backend=_option(line, "--backend"),
        size=parse_size(_option(line, "--size") or ""),
    )
    return f"{_option(line, '-o')}/{recipe.file_name}"


@pytest.mark.parametrize("page", [PHONE, JETSON], ids=lambda page: page.name)
def test_what_is_deployed_is_what_was_converted_above(page: Path) -> None:
    made = []
    for line in _commands(page):
        if line.startswith("edge-vos convert "):
            made.append(_made(line))
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


@pytest.mark.parametrize("line", _commands(PHONE, JETSON, *PROJECTS))
def test_a_command_is_understood(line: str) -> None:
    _, name, *rest = shlex.split(line, comments=True)
    command = get_command(app).commands[name]
    if not hasattr(command, "commands"):
        command.make_context(name, rest)


def test_links_lead_somewhere() -> None:
    for page in (PHONE, JETSON, *PROJECTS):
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
