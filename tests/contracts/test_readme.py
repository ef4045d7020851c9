"""The commands of the README and of every page are tried, not only printed."""

import itertools
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.running import parse

REPOSITORY = Path(__file__).parents[2]
PAGES = sorted(
    page
    for pattern in ("*.md", "docs/*.md", "edge_vos/weights/*.md")
    for page in REPOSITORY.glob(pattern)
)


def _fenced(page: Path, language: str) -> list[str]:
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def _shell_lines() -> list[str]:
    blocks = [block for page in PAGES for block in _fenced(page, "bash")]
    joined = "\n".join(blocks).replace("\\\n", " ")
    return [line for line in joined.splitlines() if line.strip()]


COMMANDS = [line for line in _shell_lines() if line.startswith("edge-vos ")]
# These need nothing but the package, and a second or two.
CHEAP = [
    line
    for line in dict.fromkeys(COMMANDS)
    if "synthetic://" in line or line.partition(" #")[0] in ("edge-vos inspect", "edge-vos doctor")
]


def test_there_is_something_to_try() -> None:
    assert len(COMMANDS) >= 10
    assert len(CHEAP) >= 3


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_is_understood(line: str) -> None:
    parse(line)


@pytest.mark.parametrize("line", CHEAP)
def test_a_cheap_command_runs(line: str, tmp_path: Path) -> None:
    arguments = shlex.split(line, comments=True)[1:]
    code = "from edge_vos.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    written = [value for flag, value in itertools.pairwise(arguments) if flag == "-o"]
    paths = [uri.partition(":")[2] or uri for uri in written if uri != "none"]
    assert all((tmp_path / path).exists() for path in paths)


def test_the_python_example_runs(tmp_path: Path) -> None:
    (example,) = _fenced(REPOSITORY / "README.md", "python")
    done = subprocess.run(
        [sys.executable, "-c", example], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 30


def test_the_video_pages_example_tells_what_is_lost(tmp_path: Path) -> None:
    (example,) = _fenced(REPOSITORY / "docs" / "video.md", "python")
    done = subprocess.run(
        [sys.executable, "-c", example], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert re.match(r"\d\.\d\d s: object 1 lost\n", done.stdout)


def test_the_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    named = {line.split()[1] for line in _shell_lines() if line.startswith("make ")}
    assert {"demo", "test"} <= named <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    links = re.findall(r"\]\(([^)#]+)", text)
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (page.parent / link).exists()] == []
