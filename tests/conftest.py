"""A tiny student that fulfils the graph's contract, in numpy and as ONNX, and scenes for it.

It finds objects by colour: a cell of the image attends to the memory's cells of similar colour and
takes over their labels. On flat colours that works, so the tests can ask for real masks.
"""

import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import settings
from numpy.typing import NDArray

from edge_vos.bundle import (
    Bundle,
    Manifest,
    MemoryPolicy,
    write_bundle,
)
from edge_vos.graph import GraphSpec
from edge_vos.manifest import PromptHeadEntry
from edge_vos.runtime.backends.runner import CallableRunner
from edge_vos.runtime.masks import write_palette_png
from edge_vos.runtime.model import LoadedModel, RunningGraph
from edge_vos.runtime.prompts.prompt_head import PromptHead

settings.register_profile("edge-vos", deadline=None, max_examples=40)
settings.load_profile("edge-vos")

REPOSITORY = Path(__file__).parents[1]
SIZE, CHANNELS, SLOTS = (64, 96), 5, 4
SHARPNESS = 200.0
Arrays = Mapping[str, NDArray[np.float32]]
LoadTiny = Callable[..., LoadedModel]
Scene = Callable[..., tuple[NDArray[np.uint8], NDArray[np.uint8]]]
MakeDavis = Callable[..., Path]

# The same as tiny_student below.
ONNX_TEXT = """
<ir_version: 9, opset_import: ["": 18]>
tiny (float[1,3,{H},{W}] image, float[1,{K},{H4},{W4}] prompt, float[1,{K},1,1] prompted,
      float[1,{K},1,1] active, float[{N},3,{h},{w}] memory_key, float[{N},{K},{h},{w}] memory_value,
      float[{N},1,1,1] memory_valid)
  => (float[1,{K},{H4},{W4}] probability, float[1,3,{h},{w}] key, float[1,{K},{h},{w}] value)
{{
  full = Constant <value = float {{255.0}}> ()
  sharp = Constant <value = float {{{SHARPNESS}}}> ()
  two = Constant <value = float {{2.0}}> ()
  one = Constant <value = float {{1.0}}> ()
  tiny_weight = Constant <value = float {{1e-6}}> ()
  closed = Constant <value = float {{10000.0}}> ()
  scaled = Div (image, full)
  key = AveragePool <kernel_shape = [16, 16], strides = [16, 16]> (scaled)
  cells = AveragePool <kernel_shape = [4, 4], strides = [4, 4]> (scaled)
  flat = Constant <value = int64[3] {{1, 3, -1}}> ()
  flat_cells = Reshape (cells, flat)
  queries = Transpose <perm = [0, 2, 1]> (flat_cells)
  key_axis = Transpose <perm = [1, 0, 2, 3]> (memory_key)
  keys = Reshape (key_axis, flat)
  product = MatMul (queries, keys)
  twice = Mul (two, product)
  squares = Mul (keys, keys)
  axis1 = Constant <value = int64[1] {{1}}> ()
  norms = ReduceSum <keepdims = 1> (squares, axis1)
  near = Sub (twice, norms)
  similar = Mul (sharp, near)
  value_axis = Transpose <perm = [1, 0, 2, 3]> (memory_value)
  value_shape = Constant <value = int64[3] {{1, {K}, -1}}> ()
  flat_values = Reshape (value_axis, value_shape)
  values = Transpose <perm = [0, 2, 1]> (flat_values)
  empty = Sub (one, memory_valid)
  penalty = Mul (closed, empty)
  grid = Constant <value = int64[4] {{{N}, 1, {h}, {w}}}> ()
  spread = Expand (penalty, grid)
  row = Constant <value = int64[3] {{1, 1, -1}}> ()
  penalties = Reshape (spread, row)
  logits = Sub (similar, penalties)
  affinity = Softmax <axis = -1> (logits)
  readout = MatMul (affinity, values)
  labels = Transpose <perm = [0, 2, 1]> (readout)
  map_shape = Constant <value = int64[4] {{1, {K}, {H4}, {W4}}}> ()
  predicted = Reshape (labels, map_shape)
  some = Add (predicted, tiny_weight)
  open = Sub (one, prompted)
  free = Mul (active, open)
  weights = Mul (some, free)
  total = ReduceSum <keepdims = 1> (weights, axis1)
  safe = Add (total, tiny_weight)
  share = Div (weights, safe)
  given = Mul (prompt, prompted)
  taken = ReduceSum <keepdims = 1> (given, axis1)
  left = Sub (one, taken)
  rest = Relu (left)
  shared = Mul (rest, share)
  probability = Add (given, shared)
  value = AveragePool <kernel_shape = [4, 4], strides = [4, 4]> (probability)
}}
"""


PROMPT_ONNX_TEXT = """
< ir_version: 8, opset_import: ["" : 17] >
prompted (float[1,3,{H},{W}] image, float[1,4,{H4},{W4}] prompt)
    => (float[1,1,{H4},{W4}] probability)
< float[4] weights = {{1, -1, 1, 1}}, int64[4] weights_shape = {{1, 4, 1, 1}},
  float nothing = {{0}}, float low = {{0}}, float high = {{1}} >
{{
  kernel = Reshape (weights, weights_shape)
  shown = Conv (prompt, kernel)
  cells = AveragePool <kernel_shape = [4, 4], strides = [4, 4]> (image)
  grey = ReduceMean <axes = [1]> (cells)
  black = Mul (grey, nothing)
  sum = Add (shown, black)
  probability = Clip (sum, low, high)
}}
"""


def _pool(array: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    batch, channels, height, width = array.shape
    blocks = array.reshape(batch, channels, height // side, side, width // side, side)
    return blocks.mean(axis=(3, 5), dtype=np.float32)


def _tiny_student(inputs: Arrays) -> dict[str, NDArray[np.float32]]:
    scaled = inputs["image"] / np.float32(255)
    key, cells = _pool(scaled, 16), _pool(scaled, 4)
    channels = inputs["prompt"].shape[1]
    keys = inputs["memory_key"].transpose(1, 0, 2, 3).reshape(3, -1)
    values = inputs["memory_value"].transpose(1, 0, 2, 3).reshape(channels, -1)
    valid = np.broadcast_to(
        inputs["memory_valid"], (len(inputs["memory_valid"]), 1, *key.shape[2:])
    )
    near = 2 * cells.reshape(3, -1).T @ keys - (keys * keys).sum(axis=0)
    logits = SHARPNESS * near - 1e4 * (1 - valid.reshape(-1))
    affinity = np.exp(logits - logits.max(axis=1, keepdims=True))
    affinity /= affinity.sum(axis=1, keepdims=True)
    predicted = (affinity @ values.T).T.reshape(1, channels, *cells.shape[2:])
    weights = (predicted + 1e-6) * inputs["active"] * (1 - inputs["prompted"])
    share = weights / (weights.sum(axis=1, keepdims=True) + 1e-6)
    given = inputs["prompt"] * inputs["prompted"]
    rest = np.maximum(1 - given.sum(axis=1, keepdims=True), 0)
    probability = (given + rest * share).astype(np.float32)
    return {"probability": probability, "key": key, "value": _pool(probability, 4)}


@pytest.fixture(scope="session")
def tiny_manifest() -> Manifest:
    """The manifest of the tiny student: 64x96, four objects, four slots."""
    return Manifest.of_graph(
        GraphSpec(SIZE, CHANNELS, SLOTS, key_channels=3, value_channels=CHANNELS),
        name="tiny",
        backend="onnx",
        model_file="model.onnx",
        precision="fp32",
        sampler="native",
        target="cpu",
        memory=MemoryPolicy(mem_every=3, write_confidence=0.6),
        macs=1,
        weights_sha256="0" * 64,
        report={"executed": True, "passed": True},
    )


@pytest.fixture(scope="session")
def prompted_manifest(tiny_manifest: Manifest) -> Manifest:
    """The tiny student's manifest with a prompt head, for images of 64x96 too."""
    return replace(
        tiny_manifest,
        prompt_head=PromptHeadEntry(
            model_file="prompt/model.onnx",
            size=SIZE,
            precision="fp32",
            parameters=1,
            macs=1,
            weights_sha256="2" * 64,
            report={
                "executed": True,
                "passed": True,
                "tolerance": {"mask_iou": 0.999, "max_abs_error": 1e-4, "mean_abs_error": 1e-5},
            },
        ),
    )


@pytest.fixture(scope="session")
def tiny_prompt_onnx() -> bytes:
    """A prompt head as an ONNX file: the object is its mask so far, its box and its clicks."""
    onnx_parser = pytest.importorskip("onnx.parser")
    height, width = SIZE
    text = PROMPT_ONNX_TEXT.format(H=height, W=width, H4=height // 4, W4=width // 4)
    return onnx_parser.parse_model(text).SerializeToString()


@pytest.fixture
def prompted_bundle(
    tmp_path: Path, prompted_manifest: Manifest, tiny_onnx: bytes, tiny_prompt_onnx: bytes
) -> Bundle:
    """The tiny student with its prompt head as a bundle on disk."""
    files = {"model.onnx": tiny_onnx, "prompt/model.onnx": tiny_prompt_onnx}
    return write_bundle(tmp_path / "prompted.bundle", prompted_manifest, files)


@pytest.fixture
def load_tiny(tiny_manifest: Manifest) -> LoadTiny:
    """Make the tiny student ready to step, in numpy; a keyword replaces a manifest's field."""

    def load(**changes: object) -> LoadedModel:
        manifest = replace(tiny_manifest, **changes)  # type: ignore[arg-type]
        runner = CallableRunner(_tiny_student)
        return LoadedModel(manifest, runner, "callable", "0", None, 0.0, None)

    return load


@pytest.fixture
def tiny_model(load_tiny: LoadTiny) -> LoadedModel:
    """The tiny student in numpy."""
    return load_tiny()


def _tiny_head(inputs: Arrays) -> dict[str, NDArray[np.float32]]:
    """Find what is in the box and not dark, or of the clicks' colours; the mask so far stays."""
    cells = _pool(inputs["image"] / np.float32(255), 4)[0]
    on, beside, box, mask = inputs["prompt"][0]

    def alike(spots: NDArray[np.float32]) -> NDArray[np.bool_]:
        places = [(y, x) for y, x in np.argwhere(spots > 0.6)]
        near = [np.abs(cells - cells[:, y : y + 1, x : x + 1]).sum(axis=0) < 0.2 for y, x in places]
        return np.any(near, axis=0) if near else np.zeros(spots.shape, bool)

    found = (mask > 0.5) | ((box > 0.5) & (cells.max(axis=0) > 0.5)) | alike(on)
    found &= ~alike(beside)
    return {"probability": np.where(found, 0.98, 0.02).astype(np.float32)[np.newaxis, np.newaxis]}


class TinyHead(PromptHead):
    """A prompt head that goes by flat colours, and counts how often it was asked."""

    def __init__(self) -> None:
        self.calls: list[dict[str, NDArray[np.float32]]] = []
        super().__init__(CallableRunner(self._run), (64, 96))

    def _run(self, inputs: Arrays) -> dict[str, NDArray[np.float32]]:
        self.calls.append(dict(inputs))
        return _tiny_head(inputs)


@pytest.fixture
def tiny_head() -> TinyHead:
    """The tiny student's prompt head."""
    return TinyHead()


@pytest.fixture
def tiny_prompted(tiny_model: LoadedModel, tiny_head: TinyHead) -> RunningGraph:
    """The tiny student with its prompt head."""
    return RunningGraph(tiny_model.runner, tiny_model.graph, tiny_model.memory, tiny_head)


@pytest.fixture(scope="session")
def tiny_onnx() -> bytes:
    """The tiny student as an ONNX file."""
    onnx_parser = pytest.importorskip("onnx.parser")
    (height, width), k, n = SIZE, CHANNELS, SLOTS
    text = ONNX_TEXT.format(
        H=height, W=width, H4=height // 4, W4=width // 4, h=height // 16, w=width // 16,
        K=k, N=n, SHARPNESS=SHARPNESS,
    )  # fmt: skip
    return onnx_parser.parse_model(text).SerializeToString()


@pytest.fixture
def tiny_bundle(tmp_path: Path, tiny_manifest: Manifest, tiny_onnx: bytes) -> Bundle:
    """The tiny student as a bundle on disk."""
    return write_bundle(tmp_path / "tiny.bundle", tiny_manifest, {"model.onnx": tiny_onnx})


@pytest.fixture
def tiny_inputs(tiny_manifest: Manifest) -> dict[str, NDArray[np.float32]]:
    """Inputs as in mid-stream: two objects, a full memory, the second one prompted."""
    rng = np.random.default_rng(0)
    inputs = {spec.name: rng.random(spec.shape, np.float32) for spec in tiny_manifest.inputs}
    inputs["image"] *= 255
    inputs["active"][:] = np.array([1, 1, 1, 0, 0], np.float32).reshape(1, -1, 1, 1)
    inputs["prompted"][:] = np.array([0, 0, 1, 0, 0], np.float32).reshape(1, -1, 1, 1)
    inputs["memory_valid"][:] = 1
    return inputs


COLOURS = np.array([[40, 40, 40], [0, 0, 230], [0, 230, 0], [230, 0, 0], [0, 230, 230]], np.uint8)


@pytest.fixture
def scene() -> Callable[..., tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Make a frame and its mask: squares of flat colours at (left, top), object 1 first.

    At multiples of 32 they fill whole cells of the memory.
    """

    def draw(
        *corners: tuple[int, int], size: tuple[int, int] = (128, 192), side: int = 64
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        mask = np.zeros(size, np.uint8)
        for object_id, (left, top) in enumerate(corners, start=1):
            mask[top : top + side, left : left + side] = object_id
        return COLOURS[mask], mask

    return draw


@pytest.fixture
def without_pyav(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read and write video as the base install does."""
    for module in ("sources.video_file", "sinks.video.encoders"):
        monkeypatch.setattr(f"edge_vos.runtime.{module}.has_pyav", lambda: False)


@pytest.fixture
def square_davis(tmp_path: Path) -> Path:
    """Draw a square that moves over noise, in DAVIS 2016 layout."""
    rng = np.random.default_rng(0)
    ground = rng.integers(0, 80, (72, 128, 3), dtype=np.uint8)
    root = tmp_path / "davis"
    for kind in ("JPEGImages", "Annotations"):
        (root / kind / "480p" / "square").mkdir(parents=True)
    for index in range(6):
        frame, mask = ground.copy(), np.zeros((72, 128), np.uint8)
        mask[20:50, 10 + 5 * index : 40 + 5 * index] = 255
        frame[mask > 0] = (40, 120, 230)
        name = f"480p/square/{index:05d}"
        cv2.imwrite(str(root / "JPEGImages" / f"{name}.jpg"), frame)
        cv2.imwrite(str(root / "Annotations" / f"{name}.png"), mask)
    return root


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy, in which nothing is left over from earlier builds."""
    folder = tmp_path_factory.mktemp("wheel")
    tree = folder / "tree"
    tree.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, tree)
    for name in ("edge_vos", "converters", "runtime", "devices"):
        shutil.copytree(
            REPOSITORY / name, tree / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    _pip(sys.executable, "wheel", "--no-deps", "-w", str(folder), str(tree))
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def base_install(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel without extras in an empty environment; give its folder of programs."""
    folder = tmp_path_factory.mktemp("base") / "venv"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    _pip(str(folder / "bin" / "python"), "install", "--quiet", str(wheel))
    return folder / "bin"


def _pip(python: str, *arguments: str) -> None:
    done = subprocess.run([python, "-m", "pip", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, f"pip {' '.join(arguments)}\n{done.stdout}\n{done.stderr}"


@pytest.fixture
def make_davis(tmp_path: Path, scene: Scene) -> MakeDavis:
    """Write sequences, each of so many frames with so many moving squares, in DAVIS layout."""

    def make(
        sequences: Mapping[str, int],
        *,
        objects: int = 1,
        frames: int = 5,
        resolution: str = "480p",
        val: str | None = None,
    ) -> Path:
        root = tmp_path / "DAVIS"
        for name, step_px in sequences.items():
            pictures = root / "JPEGImages" / resolution / name
            masks = root / "Annotations" / resolution / name
            pictures.mkdir(parents=True)
            masks.mkdir(parents=True)
            for index in range(frames):
                left = 8 + index * step_px
                frame, mask = scene(*[(left, 8 + 60 * i) for i in range(objects)], side=48)
                cv2.imwrite(
                    str(pictures / f"{index:05d}.jpg"), frame, [cv2.IMWRITE_JPEG_QUALITY, 98]
                )
                if objects == 1:
                    cv2.imwrite(str(masks / f"{index:05d}.png"), mask * 255)
                else:
                    write_palette_png(masks / f"{index:05d}.png", mask)
        if val is not None:
            listing = root / val
            listing.parent.mkdir(parents=True)
            listing.write_text("\n".join(sequences) + "\n")
        return root

    return make
