"""The evaluator: each operator against coremltools' own reference, and what it refuses."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_vos.bundle import (
    Manifest,
)
from edge_vos.converters.coreml import mil
from edge_vos.converters.coreml.mil_operators import OPERATORS
from edge_vos.converters.quiet import quiet
from edge_vos.errors import EngineError, ShapeError
from edge_vos.graph import TensorSpec

with quiet("coremltools"):
    import coremltools as ct
    from coremltools import proto
    from coremltools.converters.mil import Builder as mb  # noqa: N813
    from coremltools.converters.mil.mil import types
    from coremltools.optimize import coreml as compression

Array = NDArray[np.float32]
Build = Callable[[Any], Any]
Saved = tuple[Path, Manifest]
IMAGE = (1, 6, 5, 7)


def _random(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


WEIGHT = _random(4, 3, 3, 3, seed=1)
OTHER = _random(*IMAGE, seed=2)
POINTS = np.clip(_random(1, 3, 4, 2, seed=3), -1.2, 1.2)
INDICES = np.random.default_rng(4).integers(0, 7, (1, 6, 5, 3)).astype(np.int32)


@pytest.fixture
def save(tmp_path: Path, tiny_manifest: Manifest) -> Callable[..., Saved]:
    """Convert and save a program with the input x and the output y."""

    def make(
        build: Build, *, half: bool = False, edit: Callable[[Any], Any] | None = None
    ) -> Saved:
        with quiet("coremltools"):
            program = mb.program(
                input_specs=[mb.TensorSpec(IMAGE, types.fp32)], opset_version=ct.target.iOS17
            )(build)
            precision = ct.precision.FLOAT16 if half else ct.precision.FLOAT32
            model = ct.convert(
                program,
                convert_to="mlprogram",
                minimum_deployment_target=ct.target.iOS17,
                compute_precision=precision,
                outputs=[ct.TensorType(dtype=np.float32)],
                skip_model_load=True,
            )
            if edit is not None:
                model = edit(model)
            path = tmp_path / "model.mlpackage"
            model.save(str(path))
        (output,) = model.get_spec().description.output
        shape = tuple(output.type.multiArrayType.shape)
        specs = (
            (TensorSpec("x", IMAGE, "float32", "x"),),
            (TensorSpec(output.name, shape, "float32", "y"),),
        )
        return path, replace(tiny_manifest, inputs=specs[0], outputs=specs[1])

    return make


def _run(saved: Saved, x: Array) -> Array:
    path, manifest = saved
    runner = mil.open_runner(path, manifest, 1)
    (y,) = runner.run({"x": x}).values()
    runner.close()
    return y


def _outcome(build: Build, x: Array) -> Array:
    """Let coremltools compute a program from constants, in numpy."""
    with quiet("coremltools"):
        program = mb.program(input_specs=[mb.TensorSpec((1,))], opset_version=ct.target.iOS17)(
            lambda unused: mb.add(x=build(mb.const(val=x)), y=0.0)
        )
    found: Array = program.functions["main"].outputs[0].op.x.val
    return found


# What numpy computes in coremltools while it builds a program.
KNOWN: Mapping[str, Build] = {
    "abs": lambda x: mb.abs(x=x),
    "add": lambda x: mb.add(x=x, y=OTHER),
    "cast": lambda x: mb.cast(x=mb.cast(x=x, dtype="int32"), dtype="fp32"),
    "clip": lambda x: mb.clip(x=x, alpha=-0.5, beta=0.75),
    "concat": lambda x: mb.concat(values=[x, mb.abs(x=x)], axis=-1),
    "exp": lambda x: mb.exp(x=x),
    "expand_dims": lambda x: mb.expand_dims(x=mb.squeeze(x=x, axes=[0]), axes=[-1, 1]),
    "floor": lambda x: mb.floor(x=x),
    "gather_along_axis": lambda x: mb.gather_along_axis(x=x, indices=INDICES, axis=3),
    "matmul": lambda x: mb.matmul(x=x, y=OTHER, transpose_y=True),
    "mul": lambda x: mb.mul(x=x, y=OTHER),
    "real_div": lambda x: mb.real_div(x=x, y=OTHER),
    "reduce_sum": lambda x: mb.reduce_sum(x=x, axes=[1, -1], keep_dims=True),
    "relu": lambda x: mb.relu(x=x),
    "relu6": lambda x: mb.relu6(x=mb.mul(x=x, y=np.float32(5.0))),
    "reshape": lambda x: mb.reshape(x=x, shape=[2, -1, 7]),
    "slice_by_index": lambda x: mb.slice_by_index(
        x=x,
        begin=[0, 2, 1, 0],
        end=[1, 0, 4, 6],
        stride=[1, 1, 1, 2],
        end_mask=[False, True, False, False],
        squeeze_mask=[True, False, False, False],
    ),
    "softmax": lambda x: mb.softmax(x=x, axis=1),
    "squeeze": lambda x: mb.squeeze(x=x, axes=[0]),
    "sub": lambda x: mb.sub(x=x, y=OTHER),
    "tanh": lambda x: mb.tanh(x=x),
    "tile": lambda x: mb.tile(x=x, reps=[2, 1, 1, 3]),
    "transpose": lambda x: mb.transpose(x=x, perm=[0, 3, 1, 2]),
}


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_an_operator_is_what_coremltools_says(name: str, save: Callable[..., Saved]) -> None:
    x = _random(*IMAGE)
    np.testing.assert_allclose(_run(save(KNOWN[name]), x), _outcome(KNOWN[name], x), 1e-6, 1e-6)


def test_a_convolution_by_hand(save: Callable[..., Saved]) -> None:
    def build(x: Any) -> Any:
        return mb.conv(
            x=x, weight=WEIGHT, groups=2, strides=[2, 1], pad_type="custom", pad=[1, 0, 2, 1]
        )

    x = _random(*IMAGE)
    padded = np.pad(x, ((0, 0), (0, 0), (1, 0), (2, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (2, 3))[:, :, ::2]
    expected = np.concatenate(
        [
            np.einsum("bchwij,ocij->bohw", windows[:, 3 * g :][:, :3], WEIGHT[2 * g :][:2])
            for g in (0, 1)
        ],
        axis=1,
    )
    np.testing.assert_allclose(_run(save(build), x), expected, atol=1e-5)


def test_activations_by_hand(save: Callable[..., Saved]) -> None:
    x = _random(*IMAGE)
    found = _run(save(lambda x: mb.silu(x=x)), x)
    np.testing.assert_allclose(found, x / (1 + np.exp(-x)), atol=1e-6)
    found = _run(save(lambda x: mb.gelu(x=x, mode="TANH_APPROXIMATION")), x)
    cubic = np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)
    np.testing.assert_allclose(found, 0.5 * x * (1 + np.tanh(cubic)), atol=1e-6)


def _upsample(x: Any, align_corners: bool) -> Any:
    return mb.upsample_bilinear(
        x=x, scale_factor_height=2.0, scale_factor_width=1.0, align_corners=align_corners
    )


def test_upsampling_by_hand(save: Callable[..., Saved]) -> None:
    x = _random(*IMAGE)
    found = _run(save(lambda x: _upsample(x, False)), x)
    above = np.concatenate([x[:, :, :1], x[:, :, :-1]], axis=2)
    below = np.concatenate([x[:, :, 1:], x[:, :, -1:]], axis=2)
    expected = np.stack([0.75 * x + 0.25 * above, 0.75 * x + 0.25 * below], axis=3)
    np.testing.assert_allclose(found, expected.reshape(1, 6, 10, 7), atol=1e-6)


def test_resampling_by_hand(save: Callable[..., Saved]) -> None:
    def build(x: Any) -> Any:
        return mb.resample(
            x=x,
            coordinates=POINTS,
            sampling_mode="bilinear",
            padding_mode="border",
            padding_value=0.0,
            coordinates_mode="normalized_minus_one_to_one",
            align_corners=True,
        )

    x = _random(*IMAGE)
    across = np.clip((POINTS[0, ..., 0] + 1) / 2 * 6, 0, 6)
    down = np.clip((POINTS[0, ..., 1] + 1) / 2 * 4, 0, 4)
    rows = np.maximum(0, 1 - np.abs(down[..., None] - np.arange(5)))
    columns = np.maximum(0, 1 - np.abs(across[..., None] - np.arange(7)))
    expected = np.einsum("bchw,pqh,pqw->bcpq", x, rows, columns)
    np.testing.assert_allclose(_run(save(build), x), expected, atol=1e-5)


def test_eight_bits_round_and_saturate(save: Callable[..., Saved]) -> None:
    def build(x: Any) -> Any:
        scale, zero = np.float32(0.125), np.uint8(16)
        steps = mb.quantize(input=x, scale=scale, zero_point=zero, output_dtype="uint8")
        return mb.dequantize(input=steps, scale=scale, zero_point=zero)

    x = _random(*IMAGE) * 20
    expected = (np.clip(np.rint(x / 0.125) + 16, 0, 255) - 16) * 0.125
    np.testing.assert_array_equal(_run(save(build), x), expected)


def _linear(model: Any) -> Any:
    config = compression.OpLinearQuantizerConfig(mode="linear", weight_threshold=1)
    return compression.linear_quantize_weights(
        model, compression.OptimizationConfig(global_config=config)
    )


def _palette(bits: int) -> Callable[[Any], Any]:
    config = compression.OpPalettizerConfig(mode="uniform", nbits=bits, weight_threshold=1)
    return lambda model: compression.palettize_weights(
        model, compression.OptimizationConfig(global_config=config)
    )


@pytest.mark.parametrize(
    ("edit", "worst"),
    [(_linear, 0.5 / 255), (_palette(6), 0.5 / 63), (_palette(4), 0.5 / 15)],
    ids=["linear", "palette6", "palette4"],
)
def test_compressed_weights_are_off_by_half_a_step_at_most(
    save: Callable[..., Saved], edit: Callable[[Any], Any], worst: float
) -> None:
    weight = _random(8, 6, 1, 1, seed=5)
    saved = save(lambda x: mb.conv(x=x, weight=weight), edit=edit)
    x = np.zeros(IMAGE, np.float32)
    x[0, np.arange(6), 0, np.arange(6)] = 1.0  # one column a channel
    found = _run(saved, x)[0, :, 0, :6]
    error = np.abs(found - weight[:, :, 0, 0]).max() / np.ptp(weight)
    assert 0 < error <= worst * 1.001


def test_fp16_is_rounded_after_every_operator(save: Callable[..., Saved]) -> None:
    def build(x: Any) -> Any:
        return mb.sub(x=mb.add(x=x, y=np.float32(2048)), y=np.float32(2048))

    x = np.full(IMAGE, 0.75, np.float32)
    assert np.all(_run(save(build), x) == 0.75)
    # From 2048 on fp16 counts in steps of 2.
    assert np.all(_run(save(build, half=True), x) == 0.0)
    assert np.all(_run(save(lambda x: mb.mul(x=x, y=np.float32(6e4)), half=True), x * 2) == np.inf)


def test_an_operator_that_is_not_in_the_table_is_refused_by_name(
    save: Callable[..., Saved],
) -> None:
    assert "erf" not in OPERATORS
    path, manifest = save(lambda x: mb.erf(x=x, name="strange"))
    with pytest.raises(EngineError, match=r"operator 'erf' \(strange"):
        mil.open_runner(path, manifest, 1)


@pytest.mark.parametrize(
    ("build", "what"),
    [
        (lambda x: mb.conv(x=x, weight=_random(2, 6, 3, 3), pad_type="same"), "padded as 'same'"),
        (lambda x: mb.gelu(x=x, mode="SIGMOID_APPROXIMATION"), "gelu of mode"),
        (lambda x: mb.concat(values=[x, x], axis=1, interleave=True), "interleaved concat"),
        (lambda x: _upsample(x, True), "aligns corners"),
        (
            lambda x: mb.slice_by_index(
                x=x, begin=[0] * 4, end=[0] * 4, stride=[1, 1, 1, -1],
                begin_mask=[True] * 4, end_mask=[True] * 4,
            ),
            "runs backwards",
        ),
    ],
)  # fmt: skip
def test_an_option_that_it_does_not_know_is_refused(
    save: Callable[..., Saved], build: Build, what: str
) -> None:
    with pytest.raises(EngineError, match=what):
        _run(save(build), _random(*IMAGE))


def test_the_weights_are_those_on_the_disk(save: Callable[..., Saved]) -> None:
    weight = np.arange(1, 49, dtype=np.float32).reshape(8, 6, 1, 1)
    saved = save(lambda x: mb.conv(x=x, weight=weight))
    x = np.ones(IMAGE, np.float32)
    before = _run(saved, x)
    (blob,) = saved[0].rglob("weight.bin")
    content = blob.read_bytes()
    assert content.count(weight.tobytes()) == 1
    changed = weight.copy()
    changed[3, 2] += 1.0
    blob.write_bytes(content.replace(weight.tobytes(), changed.tobytes()))
    difference = _run(saved, x) - before
    assert np.all(difference[:, 3] == 1.0)
    assert np.count_nonzero(difference.any(axis=(0, 2, 3))) == 1


def test_another_shape_another_system_and_no_package_are_refused(
    save: Callable[..., Saved], tmp_path: Path
) -> None:
    path, manifest = save(lambda x: mb.abs(x=x))
    wider = (replace(manifest.inputs[0], shape=(1, 6, 5, 8)),)
    with pytest.raises(ShapeError, match=r"input 'x' is \(\(1, 6, 5, 7\), 'float32'\)"):
        mil.open_runner(path, replace(manifest, inputs=wider), 1)
    with pytest.raises(ShapeError, match="another output"):
        mil.open_runner(path, replace(manifest, outputs=()), 1)
    (file,) = path.rglob("model.mlmodel")
    message = proto.Model_pb2.Model.FromString(file.read_bytes())
    message.specificationVersion += 1
    file.write_bytes(message.SerializeToString())
    with pytest.raises(EngineError, match="specification version 9"):
        mil.open_runner(path, manifest, 1)
    (tmp_path / "model").write_bytes(b"no model")
    with pytest.raises(EngineError, match="refuses model"):
        mil.open_runner(tmp_path / "model", manifest, 1)


def test_it_is_closed_once_and_for_all_and_checks_what_it_is_given(
    save: Callable[..., Saved],
) -> None:
    path, manifest = save(lambda x: mb.abs(x=x))
    runner = mil.open_runner(path, manifest, None)
    with pytest.raises(ShapeError, match="'x' is float64"):
        runner.run({"x": np.zeros(IMAGE)})  # type: ignore[dict-item]
    runner.close()
    runner.close()
    with pytest.raises(EngineError, match="was closed"):
        runner.run({"x": np.zeros(IMAGE, np.float32)})
