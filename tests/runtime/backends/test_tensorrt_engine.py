"""Engines in their cache: kept by what they belong to, refused by name; and ``trtexec``."""

import stat
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from edge_vos.bundle import Bundle
from edge_vos.errors import EngineError
from edge_vos.runtime.backends import tensorrt_engine
from edge_vos.runtime.backends.tensorrt import Cuda, prepare_engine
from edge_vos.runtime.backends.tensorrt_engine import EngineKey, find_engine, keep_engine

ORIN = cast(Cuda, SimpleNamespace(describe=lambda: ("Orin", "8.7")))
Install = Callable[..., None]


@pytest.fixture
def model_path(tiny_bundle: Bundle) -> Path:
    return tiny_bundle.file("model.onnx")


KEY = EngineKey("ab" * 32, "8.5.2", "Orin", "8.7", "fp16")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model_sha256", "cd" * 32),
        ("tensorrt", "10.3.0"),
        ("gpu", "Xavier"),
        ("compute_capability", "7.2"),
        ("precision", "fp32"),
    ],
)
def test_a_stale_engine_is_refused_by_name(tmp_path: Path, name: str, value: str) -> None:
    other = replace(KEY, **{name: value})
    assert other.file_name != KEY.file_name
    path = keep_engine(KEY, b"engine", tmp_path)
    assert find_engine(KEY, tmp_path) == b"engine"
    assert find_engine(other, tmp_path) is None
    for part in (path, path.with_suffix(".json")):  # copied from elsewhere under this name
        part.rename((tmp_path / other.file_name).with_suffix(part.suffix))
    with pytest.raises(EngineError, match=f"{other.file_name} is stale.*{name}.*rm "):
        find_engine(other, tmp_path)


def test_a_damaged_engine_is_refused(tmp_path: Path) -> None:
    path = keep_engine(KEY, b"engine", tmp_path)
    assert sorted(file.suffix for file in tmp_path.iterdir()) == [".engine", ".json"]
    path.write_bytes(b"eng")
    with pytest.raises(EngineError, match="is stale: it was built for sha256"):
        find_engine(KEY, tmp_path)
    path.with_suffix(".json").write_text("[]")
    with pytest.raises(EngineError, match="is stale"):
        find_engine(KEY, tmp_path)
    path.with_suffix(".json").unlink()
    with pytest.raises(EngineError, match="no record"):
        find_engine(KEY, tmp_path)


TRTEXEC = """#!{python}
import sys
arguments = dict(part.partition("=")[::2] for part in sys.argv[1:])
print("&&&& RUNNING TensorRT.trtexec [TensorRT v{number}] # trtexec")
if "--help" not in arguments:
    if "{fails}":
        sys.exit("[E] {fails}")
    model = open(arguments["--onnx"], "rb").read()
    open(arguments["--saveEngine"], "wb").write(" ".join(sys.argv[3:]).encode() + b":" + model)
"""


@pytest.fixture
def trtexec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put a program of that name on the path, and no bindings."""
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(tensorrt_engine, "TRTEXEC_FOLDER", str(tmp_path / "none"))

    def install(number: int, fails: str = "") -> None:
        program = tmp_path / "bin" / "trtexec"
        program.parent.mkdir(exist_ok=True)
        program.write_text(TRTEXEC.format(python=sys.executable, number=number, fails=fails))
        program.chmod(program.stat().st_mode | stat.S_IXUSR)

    return install


@pytest.mark.parametrize(
    ("number", "precision", "version", "typed"),
    [(8502, "fp32", "8.5.2", ""), (100300, "fp16", "10.3.0", " --stronglyTyped")],
)
def test_trtexec_builds_where_there_are_no_bindings(
    trtexec: Install,
    model_path: Path,
    tmp_path: Path,
    number: int,
    precision: str,
    version: str,
    typed: str,
) -> None:
    trtexec(number)
    path = prepare_engine(model_path, precision, ORIN, tmp_path / "cache")
    assert f"-trt{version}-{precision}-" in path.name
    assert path.read_bytes() == f"--noTF32{typed}:".encode() + model_path.read_bytes()
    assert sorted(file.suffix for file in path.parent.iterdir()) == [".engine", ".json"]


def test_trtexec_that_fails_or_would_round_coordinates_is_a_named_error(
    trtexec: Install, model_path: Path, tmp_path: Path
) -> None:
    trtexec(8502, fails="out of memory")
    with pytest.raises(EngineError, match="out of memory"):
        prepare_engine(model_path, "fp32", ORIN, tmp_path / "cache")
    with pytest.raises(EngineError, match="cannot build fp16"):
        prepare_engine(model_path, "fp16", ORIN, tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())
    (tmp_path / "bin" / "trtexec").unlink()
    with pytest.raises(EngineError, match=r"neither its Python bindings nor trtexec.*apt install"):
        prepare_engine(model_path, "fp32", ORIN, tmp_path / "cache")
