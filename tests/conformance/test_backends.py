"""What every engine has to do; every one of ``ENGINES`` that can run here must pass."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_vos.bundle import Bundle, Manifest
from edge_vos.converters.lowering import Lowered
from edge_vos.engines import ENGINES
from edge_vos.errors import EngineError, ShapeError
from edge_vos.runtime.backends import OpenRunner as Opener
from edge_vos.runtime.backends import load_opener
from edge_vos.runtime.backends.runner import Runner
from edge_vos.runtime.model import LoadedModel

Inputs = dict[str, NDArray[np.float32]]
OpenRunner = Callable[[], Runner]
BundleOf = Callable[[str], Bundle]


# One that runs on devices only is tested there; its converter's module has tests of its own.
HERE = sorted(
    name for name, row in ENGINES.items() if row.executes or (row.stand_in and row.is_available)
)


def _opener(name: str) -> Opener:
    row = ENGINES[name]
    if not row.is_available:
        pytest.skip(f"{name} is not installed: {row.install}")
    return load_opener(row.runner)


@pytest.fixture(params=HERE)
def open_runner(request: pytest.FixtureRequest, tiny_bundle_of: BundleOf) -> Iterator[OpenRunner]:
    opener = _opener(request.param)
    bundle = tiny_bundle_of(request.param)
    opened: list[Runner] = []

    def open_one() -> Runner:
        opened.append(opener(bundle.model_path, bundle.manifest, 1))
        return opened[-1]

    yield open_one
    for runner in opened:
        runner.close()


def test_these_run_on_every_machine_that_converts() -> None:
    assert {"onnx", "litert", "executorch-xnnpack"} <= set(HERE)


def test_outputs_are_the_manifests(
    open_runner: OpenRunner, tiny_inputs: Inputs, tiny_manifest: Manifest
) -> None:
    outputs = open_runner().run(tiny_inputs)
    found = {name: (array.shape, array.dtype.name) for name, array in outputs.items()}
    assert found == {spec.name: (spec.shape, spec.dtype) for spec in tiny_manifest.outputs}


def test_numbers_are_those_of_the_reference(
    open_runner: OpenRunner, tiny_inputs: Inputs, tiny_model: LoadedModel
) -> None:
    expected = tiny_model.runner.run(tiny_inputs)
    for name, array in open_runner().run(tiny_inputs).items():
        np.testing.assert_allclose(array, expected[name], atol=1e-5, err_msg=name)


@pytest.mark.parametrize("name", ["image", "prompted", "memory_value"])
def test_a_wrong_shape_is_refused_by_name(
    open_runner: OpenRunner, tiny_inputs: Inputs, name: str
) -> None:
    tiny_inputs[name] = tiny_inputs[name][..., :-1]
    with pytest.raises(ShapeError, match=name):
        open_runner().run(tiny_inputs)


def test_a_wrong_dtype_is_refused_by_name(open_runner: OpenRunner, tiny_inputs: Inputs) -> None:
    with pytest.raises(ShapeError, match="'image' is float64"):
        open_runner().run({**tiny_inputs, "image": tiny_inputs["image"].astype(np.float64)})  # type: ignore[dict-item]


def test_a_missing_and_an_unknown_input_are_refused_by_name(
    open_runner: OpenRunner, tiny_inputs: Inputs
) -> None:
    runner = open_runner()
    with pytest.raises(ShapeError, match="'imag'"):
        runner.run({**tiny_inputs, "imag": tiny_inputs["image"]})
    del tiny_inputs["active"]
    with pytest.raises(ShapeError, match="'active' is missing"):
        runner.run(tiny_inputs)


def test_repeated_calls_agree_to_the_bit(open_runner: OpenRunner, tiny_inputs: Inputs) -> None:
    runner = open_runner()
    first, second = runner.run(tiny_inputs), runner.run(tiny_inputs)
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name], err_msg=name)


def test_outputs_own_their_memory(open_runner: OpenRunner, tiny_inputs: Inputs) -> None:
    runner = open_runner()
    first = runner.run(tiny_inputs)
    kept = {name: array.copy() for name, array in first.items()}
    second = runner.run({name: array * 0.5 for name, array in tiny_inputs.items()})
    assert not np.array_equal(first["key"], second["key"])
    for array in second.values():
        array[:] = -1.0
    runner.close()
    for name, array in first.items():
        np.testing.assert_array_equal(array, kept[name], err_msg=name)


def test_inputs_are_left_alone(open_runner: OpenRunner, tiny_inputs: Inputs) -> None:
    kept = {name: array.copy() for name, array in tiny_inputs.items()}
    open_runner().run(tiny_inputs)
    for name, array in tiny_inputs.items():
        np.testing.assert_array_equal(array, kept[name], err_msg=name)


def test_inputs_need_not_be_contiguous(open_runner: OpenRunner, tiny_inputs: Inputs) -> None:
    runner = open_runner()
    image = tiny_inputs["image"]
    expected = runner.run(tiny_inputs)["key"]
    strided = np.ascontiguousarray(image.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(runner.run({**tiny_inputs, "image": strided})["key"], expected)


def test_closing_twice_is_allowed_and_then_it_is_closed(
    open_runner: OpenRunner, tiny_inputs: Inputs
) -> None:
    runner = open_runner()
    runner.close()
    runner.close()
    with pytest.raises(EngineError, match="was closed"):
        runner.run(tiny_inputs)


def test_two_at_once_do_not_disturb_each_other(
    open_runner: OpenRunner, tiny_inputs: Inputs
) -> None:
    flipped = {name: array[..., ::-1].copy() for name, array in tiny_inputs.items()}
    runners, inputs = (open_runner(), open_runner()), (tiny_inputs, flipped)
    alone = [runners[0].run(each)["probability"] for each in inputs]

    def repeat(index: int) -> list[NDArray[np.float32]]:
        return [runners[index].run(inputs[index])["probability"] for _ in range(20)]

    with ThreadPoolExecutor(2) as pool:
        for index, found in enumerate(pool.map(repeat, (0, 1))):
            for probability in found:
                np.testing.assert_array_equal(probability, alone[index])
    runners[0].close()
    np.testing.assert_array_equal(runners[1].run(flipped)["probability"], alone[1])


@pytest.mark.parametrize("name", [name for name in HERE if name != "onnx"])
def test_lowering_again_gives_the_same_bytes(
    name: str, tiny_bundle_of: BundleOf, lower_tiny_again: Callable[[str], Lowered]
) -> None:
    bundle = tiny_bundle_of(name)
    files = {path: bundle.file(path).read_bytes() for path in bundle.manifest.files}
    assert lower_tiny_again(name).files == files


@pytest.mark.parametrize("name", HERE)
def test_a_file_that_is_no_model_is_refused(
    name: str, tmp_path: Path, tiny_manifest: Manifest
) -> None:
    opener = _opener(name)
    path = tmp_path / "model"
    path.write_bytes(b"no model")
    with pytest.raises(EngineError, match="refuses model"):
        opener(path, tiny_manifest, None)
