"""A golden repeats on the engine that made it, and catches one that differs."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_vos.bundle import GOLDEN_FILE, Bundle, Manifest, write_bundle
from edge_vos.converters.verify.golden import run_script
from edge_vos.errors import BundleError
from edge_vos.runtime.backends.runner import CallableRunner, Runner
from edge_vos.runtime.golden import (
    Golden,
    GoldenLimits,
    GoldenReport,
    Script,
    check_golden,
    relative_norm,
    replay,
    tolerance_of,
)
from edge_vos.runtime.model import LoadedModel

Arrays = dict[str, NDArray[np.float32]]
TOLERANCE: GoldenLimits = {
    "mask_iou": 0.999,
    "max_abs_error": 1e-4,
    "mean_abs_error": 1e-5,
    "norm_error": 1e-4,
}
ROUGH: GoldenLimits = {
    "mask_iou": 0.9,
    "max_abs_error": None,
    "mean_abs_error": 2e-2,
    "norm_error": 0.2,
}


@pytest.fixture
def golden(tiny_model: LoadedModel) -> Golden:
    """Two objects at first, one more half way; images at half size."""
    manifest, rng, frames = tiny_model.manifest, np.random.default_rng(0), 4
    (height, width), channels = manifest.size, manifest.channels
    prompt = np.zeros((frames, *manifest.shape("prompt")[1:]), np.float32)
    prompt[0, 1, 2:8, 2:10], prompt[0, 2, 10:14, 12:20] = 1.0, 1.0
    prompt[0, 0] = 1.0 - prompt[0].sum(0)
    prompt[2, 3, 8:12, 2:6] = 1.0
    prompted, active = np.zeros((2, frames, channels), np.float32)
    prompted[0, :3], prompted[2, 3] = 1.0, 1.0
    active[:, :3], active[2:, 3] = 1.0, 1.0
    writes = np.zeros((frames, manifest.slots), np.bool_)
    writes[0, 0], writes[:, 1], writes[2, 2] = True, True, True
    image = rng.integers(0, 256, (frames, 3, height // 2, width // 2), np.uint8)
    script = Script(image, prompt, prompted, active, writes)
    return run_script(tiny_model.runner, manifest.graph, script)


def _check(runner: Runner, model: LoadedModel, golden: Golden) -> GoldenReport:
    return check_golden(runner, model.graph, golden, **TOLERANCE)


def _changed(model: LoadedModel, change: Callable[[Arrays], None]) -> CallableRunner:
    def run(inputs: dict[str, NDArray[np.float32]]) -> Arrays:
        outputs = {name: array.copy() for name, array in model.runner.run(inputs).items()}
        change(outputs)
        return outputs

    return CallableRunner(run)  # type: ignore[arg-type]


def test_the_engine_that_made_it_passes(tiny_model: LoadedModel, golden: Golden) -> None:
    report = _check(tiny_model.runner, tiny_model, golden)
    assert report.passed
    assert report.frames == 4
    assert report.mask_iou == 1.0
    assert report.max_abs_error < 1e-5
    assert report.entry_error < 2**-10


def test_the_loop_feeds_on_its_own_memory(tiny_model: LoadedModel, golden: Golden) -> None:
    seen: list[Arrays] = []

    def spy(inputs: dict[str, NDArray[np.float32]]) -> Arrays:
        seen.append(dict(inputs))
        return tiny_model.runner.run(inputs)

    outputs = list(replay(CallableRunner(spy), tiny_model.graph, golden.script))  # type: ignore[arg-type]
    assert [call["memory_valid"].ravel().tolist() for call in seen] == [
        [0, 0, 0, 0],
        [1, 1, 0, 0],
        [1, 1, 0, 0],
        [1, 1, 1, 0],
    ]
    np.testing.assert_array_equal(seen[3]["memory_key"][0], outputs[0]["key"][0])
    np.testing.assert_array_equal(seen[3]["memory_value"][1], outputs[2]["value"][0])
    image = seen[1]["image"]
    assert image.shape == (1, 3, 64, 96)
    np.testing.assert_array_equal(image[0, :, ::2, ::2], golden.script.image[1])
    np.testing.assert_array_equal(image[0, :, 1::2, 1::2], golden.script.image[1])


@pytest.mark.parametrize("name", ["probability", "key", "value"])
@pytest.mark.parametrize("wrong", [0.01, float("nan")])
def test_an_engine_that_is_off_fails(
    tiny_model: LoadedModel, golden: Golden, name: str, wrong: float
) -> None:
    def change(outputs: Arrays) -> None:
        outputs[name][0, 1, 1, 1] += wrong

    assert not _check(_changed(tiny_model, change), tiny_model, golden).passed


@pytest.mark.parametrize("name", ["probability", "key", "value"])
def test_a_quantized_engine_is_judged_on_average(
    tiny_model: LoadedModel, golden: Golden, name: str
) -> None:
    def at_one_place(outputs: Arrays) -> None:
        outputs[name][0, 1, 1, 1] += 0.02

    def everywhere(outputs: Arrays) -> None:
        outputs[name] += 0.1

    def not_a_number(outputs: Arrays) -> None:
        outputs[name][0, 1, 1, 1] = np.nan

    for change, passed in ((at_one_place, True), (everywhere, False), (not_a_number, False)):
        changed = _changed(tiny_model, change)
        report = check_golden(changed, tiny_model.graph, golden, **ROUGH)
        assert report.passed is passed, change.__name__
    assert report.frames == 4


def test_the_norm_of_an_error_is_a_part_of_what_was_expected() -> None:
    rng = np.random.default_rng(0)
    exact = rng.normal(size=(1, 8, 4, 4)).astype(np.float32)
    found = exact + rng.normal(size=exact.shape).astype(np.float32) * np.float32(0.1)
    error = relative_norm(found, exact)
    assert error == pytest.approx(0.1, rel=0.2)
    assert relative_norm(exact, exact) == 0
    assert relative_norm(-exact, exact) == pytest.approx(2)
    assert relative_norm(found * 1000, exact * 1000) == pytest.approx(error, rel=1e-5)
    assert np.isnan(relative_norm(found * np.float32(np.nan), exact))


def test_a_golden_survives_a_bundle(
    tmp_path: Path, tiny_manifest: Manifest, golden: Golden
) -> None:
    files = {"model.onnx": b"", GOLDEN_FILE: golden.to_bytes()}
    bundle = write_bundle(tmp_path / "a.bundle", tiny_manifest, files)
    again = Golden.load(bundle)
    assert again.to_bytes() == golden.to_bytes()
    assert again.probability.dtype == np.uint16


def _bundle(path: Path, manifest: Manifest, content: bytes) -> Bundle:
    return write_bundle(path, manifest, {"model.onnx": b"", GOLDEN_FILE: content})


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x05\x06" + b"\0" * 18])
def test_a_golden_that_cannot_be_read_is_refused(
    tmp_path: Path, tiny_manifest: Manifest, content: bytes
) -> None:
    bundle = _bundle(tmp_path / "a.bundle", tiny_manifest, content)
    with pytest.raises(BundleError, match=r"golden\.npz of .* cannot be read"):
        Golden.load(bundle)


def test_a_golden_of_another_shape_is_refused_by_name(
    tmp_path: Path, tiny_manifest: Manifest, golden: Golden
) -> None:
    changes = {
        "active": replace(golden, script=replace(golden.script, active=np.ones((4, 2)))),
        "key": replace(golden, key=golden.key.astype(np.float32)),  # type: ignore[arg-type]
        "image": replace(golden, script=replace(golden.script, image=np.zeros((4, 3), np.uint8))),
        "probability": replace(golden, probability=golden.probability[:2]),
    }
    for name, changed in changes.items():
        bundle = _bundle(tmp_path / f"{name}.bundle", tiny_manifest, changed.to_bytes())
        with pytest.raises(BundleError, match=f"{name} in golden"):
            Golden.load(bundle)


def test_a_bundle_without_a_tolerance_is_refused(tmp_path: Path, tiny_manifest: Manifest) -> None:
    bundle = _bundle(tmp_path / "a.bundle", tiny_manifest, b"")
    with pytest.raises(BundleError, match="states no tolerance"):
        tolerance_of(bundle)
    report = {**tiny_manifest.report, "tolerance": TOLERANCE}
    stated = _bundle(tmp_path / "b.bundle", replace(tiny_manifest, report=report), b"")
    assert tolerance_of(stated) == TOLERANCE


@pytest.mark.parametrize(
    ("stated", "understood"),
    [
        ({"mask_iou": 0.9, "max_abs_error": 1e-4}, True),
        ({"mask_iou": 0.9, "max_abs_error": None, "mean_abs_error": 0.1, "jf_drop": 1.0}, True),
        ({"mask_iou": 0.99, "golden_iou": 0.9, "max_abs_error": 1e-4}, True),
        ({"mask_iou": 0.9, "max_abs_error": None}, False),
        ({"max_abs_error": 1e-4}, False),
        ({"mask_iou": 0.9, "max_abs_error": "much"}, False),
        ("none", False),
    ],
)
def test_a_tolerance_bounds_something(
    tmp_path: Path, tiny_manifest: Manifest, stated: object, understood: bool
) -> None:
    report = {**tiny_manifest.report, "tolerance": stated}
    bundle = _bundle(tmp_path / "a.bundle", replace(tiny_manifest, report=report), b"")
    if understood:
        assert tolerance_of(bundle)["mask_iou"] == 0.9
    else:
        with pytest.raises(BundleError, match="states no tolerance"):
            tolerance_of(bundle)
