"""The compilers of the phone projects; without them tests skip."""

import shutil
import subprocess
from pathlib import Path

import pytest

COMPILER = Path(__file__).parents[3] / "build/kotlin/node_modules/kotlin-compiler"
COMPILE_S = 300


def kotlinc(folder: Path, *sources: Path, others: Path | None = None) -> Path:
    """Compile Kotlin into a folder; warnings are errors."""
    if shutil.which("java") is None:
        pytest.skip("no Java: apt-get install default-jre-headless")
    if not COMPILER.is_dir():
        pytest.skip("no Kotlin compiler: make kotlin")
    jars = ":".join(
        str(COMPILER / "lib" / f"{name}.jar") for name in ("kotlin-compiler", "kotlin-stdlib")
    )
    done = subprocess.run(
        ["java", "-Xmx768m", "-cp", jars, "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler",
         "-kotlin-home", str(COMPILER), "-no-reflect", "-Werror", "-d", str(folder),
         *(["-cp", str(others)] if others else []), *map(str, sources)],
        capture_output=True, text=True, timeout=COMPILE_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


def swiftc(*arguments: str | Path) -> None:
    """Run the Swift compiler; warnings are errors."""
    if shutil.which("swiftc") is None:
        pytest.skip("no Swift compiler: Apple's, or swiftlang of Debian 13")
    command = ["swiftc", "-warnings-as-errors", "-swift-version", "5", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=COMPILE_S)
    assert done.returncode == 0, done.stderr
