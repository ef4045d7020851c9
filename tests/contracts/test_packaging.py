"""What is installed: the package list, the wheel's contents, a base install without extras."""

import importlib.util
import subprocess
import zipfile
from pathlib import Path

import pytest
import tomli

from edge_vos.cli.demo import find_clip

REPOSITORY = Path(__file__).parents[2]
DEMO_MASK = REPOSITORY / "edge_vos/weights/bigbuckbunny.png"
MAPPED = ("converters", "runtime", "devices")
SETUPTOOLS = tomli.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["setuptools"]


def test_the_package_list_is_the_folders() -> None:
    roots = {"edge_vos": "edge_vos"} | {name: f"edge_vos.{name}" for name in MAPPED}
    found = set()
    for root, package in roots.items():
        for path in (REPOSITORY / root).rglob("*.py"):
            inner = path.parent.relative_to(REPOSITORY / root).parts
            found.add(".".join((package, *inner)))
    assert found == set(SETUPTOOLS["packages"])


def test_every_package_is_a_package() -> None:
    for package in SETUPTOOLS["packages"]:
        spec = importlib.util.find_spec(package)
        assert spec is not None, package
        assert spec.origin is not None, f"{package} has no __init__.py"


@pytest.mark.slow
def test_the_wheel_holds_what_it_should(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    roots = {name.split("/")[0] for name in names}
    assert {root for root in roots if not root.endswith(".dist-info")} == {"edge_vos"}
    assert not [name for name in names if "test" in name.lower()]
    weights = "edge_vos/weights"
    assert {
        "edge_vos/py.typed",
        f"{weights}/student.safetensors",
        f"{weights}/README.md",
        f"{weights}/bigbuckbunny.png",
        f"{weights}/carphone.png",
        f"{weights}/calibration.mp4",
        f"{weights}/calibration.png",
        f"{weights}/student-240x432.bundle/manifest.json",
        f"{weights}/student-240x432.bundle/golden.npz",
        f"{weights}/student-352x640.bundle/golden.npz",
    } <= set(names)
    modules = {
        f"edge_vos/{path.relative_to(REPOSITORY)}".replace("edge_vos/edge_vos/", "edge_vos/", 1)
        for root in ("edge_vos", *MAPPED)
        for path in (REPOSITORY / root).rglob("*.py")
    }
    assert modules == {name for name in names if name.endswith(".py")}
    assert any(name.endswith("licenses/LICENSE") for name in names)


@pytest.mark.slow
def test_a_base_install_runs_the_product_without_torch(base_install: Path, tmp_path: Path) -> None:
    """Installed without extras, in an empty environment away from the repository."""
    binaries = base_install
    _run(str(binaries / "edge-vos"), "--help", cwd=tmp_path)

    packages = SETUPTOOLS["packages"]
    code = (
        "import importlib, importlib.util\n"
        "assert importlib.util.find_spec('torch') is None\n"
        f"for name in {packages!r}: importlib.import_module(name)"
    )
    _run(str(binaries / "python"), "-c", code, cwd=tmp_path)

    arguments = ("--mask", str(DEMO_MASK), "--frames", "6", "-o", "masks/", "-o", "masks.jsonl")
    _run(
        str(binaries / "edge-vos"),
        "segment",
        str(find_clip("bigbuckbunny.mp4")),
        *arguments,
        cwd=tmp_path,
    )
    assert len((tmp_path / "masks.jsonl").read_text().splitlines()) == 6
    assert len(list((tmp_path / "masks").glob("*.png"))) == 6


def _run(*command: str, cwd: Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout
