"""LiteRT runs what the manifest says, and says by name what it does not."""

import importlib.metadata
import importlib.util
import subprocess
import sys
import textwrap
import venv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_vos.bundle import Manifest
from edge_vos.errors import EngineError, ShapeError
from edge_vos.graph import INPUT_NAMES, TensorSpec
from edge_vos.runtime.backends import litert
from edge_vos.runtime.backends.native_output import muted_stderr
from edge_vos.runtime.model import LoadedModel

REPOSITORY = Path(__file__).parents[3]
Arrays = dict[str, NDArray[np.float32]]

if not litert.ENGINE.is_available:
    pytest.skip(f"LiteRT is not installed: {litert.ENGINE.install}", allow_module_level=True)


@pytest.fixture(scope="module")
def model_path(tiny_manifest: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny student as a TFLite file."""
    for package in ("torch", "litert_torch"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    import torch
    from torch import Tensor, nn
    from torch.nn import functional as F

    from edge_vos.converters.litert.lower import quiet_engines

    sharpness, channels = 200.0, tiny_manifest.channels

    class TinyStudent(nn.Module):
        """The same as ``_tiny_student`` in tests/conftest.py."""

        def forward(self, **inputs: Tensor) -> dict[str, Tensor]:
            image, prompt, prompted, active, memory_key, memory_value, memory_valid = (
                inputs[name] for name in INPUT_NAMES
            )
            key, cells = F.avg_pool2d(image / 255, 16), F.avg_pool2d(image / 255, 4)
            keys = memory_key.transpose(0, 1).reshape(1, 3, -1)
            values = memory_value.transpose(0, 1).reshape(1, channels, -1)
            near = 2 * cells.reshape(1, 3, -1).transpose(1, 2) @ keys
            near = near - (keys * keys).sum(1, keepdim=True)
            closed = (1 - memory_valid) * 1e4
            spread = closed.expand(-1, 1, *key.shape[2:]).reshape(1, 1, -1)
            affinity = torch.softmax(sharpness * near - spread, dim=-1)
            predicted = (values @ affinity.transpose(1, 2)).reshape(prompt.shape)
            weights = (predicted + 1e-6) * active * (1 - prompted)
            share = weights / (weights.sum(1, keepdim=True) + 1e-6)
            given = prompt * prompted
            probability = given + F.relu(1 - given.sum(1, keepdim=True)) * share
            return {
                "probability": probability,
                "key": key,
                "value": F.avg_pool2d(probability, 4),
            }

    examples = {spec.name: torch.rand(spec.shape) for spec in tiny_manifest.inputs}
    with quiet_engines():
        import litert_torch

        content = litert_torch.convert(TinyStudent().eval(), sample_kwargs=examples).model_content()
    path = tmp_path_factory.mktemp("litert") / "model.tflite"
    path.write_bytes(content)
    return path


def test_inputs_and_outputs_find_each_other_by_name(
    model_path: Path, tiny_manifest: Manifest, tiny_inputs: Arrays, tiny_model: LoadedModel
) -> None:
    runner = litert.open_runner(model_path, tiny_manifest, None)
    expected, found = tiny_model.runner.run(tiny_inputs), runner.run(tiny_inputs)
    assert list(found) == [spec.name for spec in tiny_manifest.outputs]
    for name, array in found.items():
        np.testing.assert_allclose(array, expected[name], atol=1e-5, err_msg=name)


def test_outputs_are_the_callers_and_inputs_are_only_read(
    model_path: Path, tiny_manifest: Manifest, tiny_inputs: Arrays
) -> None:
    runner = litert.open_runner(model_path, tiny_manifest, 1)
    given = {name: array.copy() for name, array in tiny_inputs.items()}
    first = runner.run(tiny_inputs)
    kept = {name: array.copy() for name, array in first.items()}
    runner.run({name: array * 0.5 for name, array in tiny_inputs.items()})
    runner.close()
    for name, array in first.items():
        assert array.flags.owndata
        np.testing.assert_array_equal(array, kept[name], err_msg=name)
    for name, array in tiny_inputs.items():
        np.testing.assert_array_equal(array, given[name], err_msg=name)


def test_opening_and_running_print_nothing(
    model_path: Path,
    tiny_manifest: Manifest,
    tiny_inputs: Arrays,
    capfd: pytest.CaptureFixture[str],
) -> None:
    runner = litert.open_runner(model_path, tiny_manifest, 2)
    runner.run(tiny_inputs)
    runner.close()
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_standard_error_comes_back(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(subprocess.CalledProcessError), muted_stderr():
        subprocess.run([sys.executable, "-c", "raise SystemExit('unheard')"], check=True)
    subprocess.run([sys.executable, "-c", "import sys; sys.stderr.write('yes')"], check=True)
    assert capfd.readouterr().err == "yes"


def test_it_is_closed_after_closing(
    model_path: Path, tiny_manifest: Manifest, tiny_inputs: Arrays
) -> None:
    runner = litert.open_runner(model_path, tiny_manifest, 1)
    runner.close()
    runner.close()
    with pytest.raises(EngineError, match="litert engine was closed"):
        runner.run(tiny_inputs)


@pytest.mark.parametrize("kind", ["input", "output"])
def test_a_file_that_is_not_the_manifests_is_refused_by_name(
    kind: str, model_path: Path, tiny_manifest: Manifest
) -> None:
    specs: tuple[TensorSpec, ...] = getattr(tiny_manifest, f"{kind}s")
    other = replace(specs[-1], shape=(*specs[-1].shape[:-1], 9))
    changed = replace(tiny_manifest, **{f"{kind}s": (*specs[:-1], other)})  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match=f"{kind} {other.name!r}.*as the manifest says"):
        litert.open_runner(model_path, changed, 1)
    shorter = replace(tiny_manifest, **{f"{kind}s": specs[:-1]})  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match=f"another {kind}, {other.name!r}"):
        litert.open_runner(model_path, shorter, 1)


@pytest.mark.parametrize("content", [b"", b"no model", b"\x1c\x00\x00\x00TFL3" + bytes(64)])
def test_a_file_that_is_no_model_is_refused(
    content: bytes, tmp_path: Path, tiny_manifest: Manifest
) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    with pytest.raises(EngineError, match=r"LiteRT .*refuses model\.tflite"):
        litert.open_runner(path, tiny_manifest, 1)


def test_a_missing_engine_names_the_command_that_installs_it(
    model_path: Path, tiny_manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("ai_edge_litert", "tflite_runtime"):
        monkeypatch.setitem(sys.modules, package, None)
    assert not litert.ENGINE.is_available
    with pytest.raises(EngineError) as caught:
        litert.open_runner(model_path, tiny_manifest, 1)
    assert litert.ENGINE.install in str(caught.value)


def test_tflite_runtime_is_refused_beside_a_numpy_that_it_dies_of(
    model_path: Path, tiny_manifest: Manifest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    (tmp_path / "tflite_runtime").mkdir()
    (tmp_path / "tflite_runtime" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    assert litert.ENGINE.is_available
    with pytest.raises(EngineError, match="numpy below 2"):
        litert.open_runner(model_path, tiny_manifest, 1)


def test_the_version_is_the_distributions() -> None:
    assert litert.ENGINE.version == importlib.metadata.version("ai-edge-litert")


PROGRAM = """
import sys, types
import numpy as np
from edge_vos.graph import TensorSpec
from edge_vos.runtime.backends import litert
from pathlib import Path

arrays = dict(np.load(sys.argv[2]))
specs = [TensorSpec(name, array.shape, "float32", "") for name, array in arrays.items()]
manifest = types.SimpleNamespace(inputs=tuple(specs[:7]), outputs=tuple(specs[7:]))
outputs = litert.open_runner(Path(sys.argv[1]), manifest, 1).run(
    {spec.name: arrays[spec.name] for spec in specs[:7]}
)
for name, array in outputs.items():
    np.testing.assert_allclose(array, arrays[name], atol=1e-5, err_msg=name)
print("tflite-runtime", litert.ENGINE.version)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="tflite-runtime has no wheel for it")
def test_tflite_runtime_runs_the_same_file(
    model_path: Path, tiny_inputs: Arrays, tiny_manifest: Manifest, tmp_path: Path
) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    install = [
        python,
        "-m",
        "pip",
        "install",
        "-q",
        "tflite-runtime==2.14.0",
        "numpy==1.26.4",
        "packaging",
    ]
    if subprocess.run(install, capture_output=True, check=False).returncode:
        pytest.skip("pip cannot install tflite-runtime here")
    tree = tmp_path / "tree" / "edge_vos"
    tree.mkdir(parents=True)
    for source in (*(REPOSITORY / "edge_vos").iterdir(), REPOSITORY / "runtime"):
        (tree / source.name).symlink_to(source)
    outputs = litert.open_runner(model_path, tiny_manifest, 1).run(tiny_inputs)
    np.savez(tmp_path / "call.npz", **tiny_inputs, **outputs)
    done = subprocess.run(
        [python, "-c", textwrap.dedent(PROGRAM), str(model_path), str(tmp_path / "call.npz")],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(tree.parent)},
        cwd=tmp_path,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "tflite-runtime 2.14.0\n"), done.stderr
    assert done.stderr == ""
