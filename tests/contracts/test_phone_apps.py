"""The phone projects: their plain code runs here, call for call as the Python segmenter does.

Neither app is built: that takes an Android SDK, and Xcode. What imports nothing of a phone is
compiled and run, with this process as its engine. The rest is compiled against stubs.
"""

import shutil
import struct
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from edge_vos.bundle import MemoryPolicy, shipped_bundle_path
from edge_vos.graph import OUTPUT_NAMES, GraphSpec
from edge_vos.runtime.model import LoadedModel, RunningGraph, open_bundle
from edge_vos.runtime.preprocess import Letterbox
from edge_vos.runtime.segmenter import Segmenter
from tests.runtime.web.conftest import clip_frames

REPOSITORY = Path(__file__).parents[2]
HERE = Path(__file__).parent / "phone"
EXAMPLES = REPOSITORY / "docs/examples"
KOTLIN = EXAMPLES / "android/app/src/main/kotlin/edgevos"
SWIFT = EXAMPLES / "ios/Sources"
SWIFT_CORE = sorted((SWIFT / "Core").glob("*.swift"))
COMPILER = REPOSITORY / "build/kotlin/node_modules/kotlin-compiler"
BUNDLE = shipped_bundle_path("fast")
GIVEN = REPOSITORY / "edge_vos/weights/calibration.png"
COMPILE_S = 300
MOST_PIXELS_OFF = 3  # of 103,680

Mask = NDArray[np.uint8]
Tensors = dict[str, NDArray[np.float32]]


def _kotlinc(folder: Path, *sources: Path, others: Path | None = None) -> Path:
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


def _swiftc(*arguments: str | Path) -> None:
    """Run the Swift compiler; warnings are errors."""
    if shutil.which("swiftc") is None:
        pytest.skip("no Swift compiler: Apple's, or swiftlang of Debian 13")
    command = ["swiftc", "-warnings-as-errors", "-swift-version", "5", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=COMPILE_S)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _kotlinc(tmp_path_factory.mktemp("kotlin"), KOTLIN / "core", HERE / "Check.kt")


@pytest.fixture(scope="module")
def kotlin(classes: Path) -> list[str]:
    path = f"{classes}:{COMPILER / 'lib/kotlin-stdlib.jar'}"
    return ["java", "-Xmx256m", "-cp", path, "edgevos.check.CheckKt"]


@pytest.fixture(scope="module")
def swift(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("swift")
    main = shutil.copy(HERE / "Check.swift", folder / "main.swift")
    _swiftc("-O", "-o", folder / "check", *SWIFT_CORE, main)
    return [str(folder / "check")]


@pytest.fixture(params=["kotlin", "swift"])
def program(request: pytest.FixtureRequest) -> list[str]:
    """The command that runs a project's plain code."""
    command: list[str] = request.getfixturevalue(request.param)
    return command


Answer = Callable[[Tensors], Tensors]


@dataclass
class Found:
    """What a program says of a step."""

    box: tuple[int, ...]
    confidence: dict[int, float]
    labels: Mask


class Phone:
    """A program that runs, asked over its pipe; numbers are big-endian."""

    def __init__(self, to: IO[bytes], of: IO[bytes], engines: Sequence[Answer]) -> None:
        self._to, self._of, self._engines = to, of, engines

    def step(self, frame: Mask, given: Mask | None = None) -> Found:
        self._ask(b"S" + self._frame(frame) + struct.pack(">?", given is not None))
        numbers, data = self._answer(b"" if given is None else given.tobytes())
        states = np.array(numbers[4:], ">i4").reshape(-1, 2)
        confidence = dict(
            zip(states[:, 0].tolist(), states[:, 1].copy().view(">f4").tolist(), strict=True)
        )
        return Found(tuple(numbers[:4]), confidence, np.reshape(data, numbers[2:4]))

    def in_box(self, frame: Mask, *box: int) -> Mask:
        self._ask(b"B" + self._frame(frame))
        return np.reshape(self._answer(struct.pack(">4i", *box))[1], frame.shape[:2])

    def at(self, frame: Mask, x: int, y: int) -> Mask:
        self._ask(b"T" + self._frame(frame))
        return np.reshape(self._answer(struct.pack(">2i", x, y))[1], frame.shape[:2])

    def pixel(
        self, size: tuple[int, int], view: tuple[int, int], x: int, y: int, *, mirrored: bool
    ) -> list[int]:
        return self._answer(b"P" + struct.pack(">4i?2i", *size, *view, mirrored, x, y))[0]

    def overlay(self, labels: Mask) -> list[int]:
        return self._answer(b"O" + struct.pack(">i", labels.size) + labels.tobytes())[0]

    def show_box(self, *box: int) -> None:
        self._ask(b"b" + struct.pack(">4i", *box))

    def show_tap(self, x: int, y: int) -> None:
        self._ask(b"t" + struct.pack(">2i", x, y))

    def drop_last(self) -> None:
        self._ask(b"d")

    def told(self, frame: Mask) -> str:
        """Step the session; what it follows, or what it refuses."""
        self._ask(b"n" + self._frame(frame))
        return bytes(self._answer()[1]).decode()

    def objects(self) -> list[int]:
        return self._answer(b"I")[0]

    def drop(self, object_id: int) -> None:
        self._ask(b"D" + struct.pack(">i", object_id))

    def reset(self) -> None:
        self._ask(b"R")

    @staticmethod
    def _frame(frame: Mask) -> bytes:
        rgba = cv2.cvtColor(frame, cv2.COLOR_BGR2RGBA)
        return struct.pack(">2i", *frame.shape[:2]) + rgba.tobytes()

    def _ask(self, data: bytes) -> None:
        self._to.write(data)

    def _answer(self, data: bytes = b"") -> tuple[list[int], Mask]:
        self._ask(data)
        self._to.flush()
        while (kind := self._read(1)) == b"E":
            self._infer(*self._integers(2))
        assert kind in b"SMPOIN", kind
        (count,) = self._integers(1)
        numbers = self._integers(count)
        return numbers, np.frombuffer(self._read(*self._integers(1)), np.uint8)

    def _infer(self, graph: int, count: int) -> None:
        inputs = {}
        for _ in range(count):
            name = self._read(*struct.unpack(">h", self._read(2))).decode()
            (length,) = self._integers(1)
            inputs[name] = np.frombuffer(self._read(4 * length), ">f4").astype(np.float32)
        outputs = self._engines[graph](inputs)
        self._ask(struct.pack(">i", len(outputs)))
        for name, data in outputs.items():
            self._ask(struct.pack(">h", len(name)) + name.encode() + struct.pack(">i", data.size))
            self._ask(data.astype(">f4").tobytes())
        self._to.flush()

    def _integers(self, count: int) -> list[int]:
        return list(struct.unpack(f">{count}i", self._read(4 * count)))

    def _read(self, count: int) -> bytes:
        data = self._of.read(count)
        assert len(data) == count, "the program ended"
        return data


@contextmanager
def _running(program: list[str], *engines: Answer) -> Iterator[Phone]:
    process = subprocess.Popen(
        [*program, str(BUNDLE / "manifest.json")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield Phone(process.stdin, process.stdout, engines)
        process.stdin.write(b"Q")
        process.stdin.close()
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
        process.wait()
        with suppress(BrokenPipeError):
            process.stdin.close()
        process.stdout.close()


class Calls:
    """An engine that keeps what it was given and what it answered, by call."""

    def __init__(self, run: Answer) -> None:
        self.run_ = run
        self.given: list[Tensors] = []
        self.answers: list[Tensors] = []

    def run(self, inputs: Tensors) -> Tensors:
        self.given.append({name: data.copy() for name, data in inputs.items()})
        outputs = {name: data.copy() for name, data in self.run_(inputs).items()}
        self.answers.append(outputs)
        return outputs

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def model() -> Iterator[LoadedModel]:
    opened = open_bundle(BUNDLE, threads=1)
    yield opened
    opened.close()


class Together:
    """A program and the Python segmenter on the same frames; the engine runs once for both."""

    def __init__(
        self, program: list[str], graph: GraphSpec, policy: MemoryPolicy, run: Answer
    ) -> None:
        self.calls = Calls(run)
        graph_ = RunningGraph(self.calls, graph, policy)
        self.python = Segmenter(graph_, confirm=False, zoom=False)
        self._program = program
        self.compared = 0

    @contextmanager
    def begin(self) -> Iterator["Together"]:
        with _running(self._program, self._repeat) as self.phone:
            yield self

    def _repeat(self, inputs: Tensors) -> Tensors:
        expected = self.calls.given[-1]
        assert set(inputs) == set(expected)
        for name, data in inputs.items():
            wanted = expected[name].ravel()
            different = np.flatnonzero(data != wanted)
            assert not different.size, (
                len(self.calls.given) - 1,
                name,
                different[:5],
                data[different[:5]],
            )
        self.compared += 1
        return self.calls.answers[-1]

    def step(self, frame: Mask, given: Mask | None = None) -> None:
        if given is not None:
            self.python.prompt(given)
        result = self.python.step(frame)
        found = self.phone.step(frame, given)
        assert sorted(found.confidence) == [state.id for state in result.objects]
        for state in result.objects:
            assert found.confidence[state.id] == pytest.approx(state.confidence, abs=1e-5)
        # Their sums are added up in another order, so a pixel on an outline may fall elsewhere.
        assert np.count_nonzero(found.labels != result.mask) <= MOST_PIXELS_OFF

    def drop(self, object_id: int) -> None:
        self.python.drop(object_id)
        self.phone.drop(object_id)

    def reset(self) -> None:
        self.python.reset()
        self.phone.reset()


def _iou(one: Mask, other: Mask) -> float:
    both, either = (one > 0) & (other > 0), (one > 0) | (other > 0)
    return float(both.sum() / max(either.sum(), 1))


def _frames(count: int, size: tuple[int, int]) -> list[Mask]:
    return [np.asarray(cv2.resize(frame, size[::-1]), np.uint8) for frame in clip_frames(count)]


def _first_mask(size: tuple[int, int]) -> Mask:
    with Image.open(GIVEN) as picture:
        mask = (np.array(picture) == 1).view(np.uint8)
    return np.asarray(cv2.resize(mask, size[::-1], interpolation=cv2.INTER_NEAREST), np.uint8)


def test_a_clip_is_followed_as_by_python(program: list[str], model: LoadedModel) -> None:
    size = model.graph.size
    frames, first = _frames(40, size), _first_mask(size)
    other = np.zeros(size, np.uint8)
    other[40:100, 300:380] = 2
    together = Together(program, model.graph, model.memory, model.runner.run)
    with together.begin():
        assert together.phone.objects() == [1]
        for index, frame in enumerate(frames):
            given = {0: first, 10: other, 26: first}.get(index)
            if index == 20:
                together.drop(1)
            if index == 34:
                together.reset()
                given = first
            together.step(frame, given)
            if index == 12:
                assert together.phone.objects() == [1, 2, 3]
    assert together.compared == len(frames)


def test_memory_is_kept_as_by_python(program: list[str], model: LoadedModel) -> None:
    """Objects that come and go, are sure and unsure, and more references than there is room for."""
    graph, rng, visible = model.graph, np.random.default_rng(0), {1: 0.9}
    height, width = graph.shape("probability")[2:]

    def run(inputs: Tensors) -> Tensors:
        outputs = {name: rng.random(graph.shape(name), np.float32) for name in OUTPUT_NAMES}
        probability = outputs["probability"]
        probability[:] = 0.0
        probability[0, 0] = 1.0
        for object_id, sure in visible.items():
            part = (0, slice(None), slice(10, 30), slice(8 * object_id, 8 * object_id + 6))
            probability[part] = 0.0
            probability[0, object_id, 10:30, 8 * object_id : 8 * object_id + 6] = sure
            probability[0, 0, 10:30, 8 * object_id : 8 * object_id + 6] = 1.0 - sure
        return outputs

    frame = np.full((*graph.size, 3), 90, np.uint8)
    together = Together(program, graph, MemoryPolicy(5, 0.6), run)

    def shown(*ids: int) -> Mask:
        mask = np.zeros(graph.size, np.uint8)
        for object_id in ids:
            mask[40:120, 32 * object_id : 32 * object_id + 24] = object_id
        return mask

    with together.begin():
        together.step(frame, shown(1))
        for index in range(1, 110):
            visible.clear()
            living = sorted(together.python._living)
            if not 20 <= index < 55:  # long enough to be forgotten
                visible.update({i: float(rng.choice([0.55, 0.7, 0.95])) for i in living})
            given = {8: (2,), 60: (3,), 63: (1, 4), 66: (2,), 70: (5,), 71: (6,), 80: (1,)}.get(
                index
            )
            if index in (64, 90):
                together.drop(3 if index == 64 else 1)
            if given:
                visible.update(dict.fromkeys(given, 0.95))
            together.step(frame, shown(*given) if given else None)
    assert together.compared == 110
    valid = {tuple(call["memory_valid"].ravel()) for call in together.calls.given}
    assert (1, 0, 1, 1) in valid  # the previous frame was forgotten
    assert (height, width) == (60, 108)


@pytest.mark.parametrize("size", [(480, 640), (640, 480), (1080, 1920), (97, 61)])
def test_frames_of_any_size_fit(
    program: list[str], model: LoadedModel, size: tuple[int, int]
) -> None:
    graph = model.graph
    (frame,) = _frames(1, size)
    labels = np.zeros(size, np.uint8)
    labels[size[0] // 4 : size[0] // 2, size[1] // 5 : size[1] // 2] = 2
    labels[size[0] // 2 :, size[1] // 2 :] = 7
    asked: list[Tensors] = []

    def run(inputs: Tensors) -> Tensors:
        asked.append(inputs)
        return {name: np.zeros(graph.shape(name), np.float32) for name in OUTPUT_NAMES}

    with _running(program, run) as phone:
        found = phone.step(frame, labels)
    box = Letterbox.fit(size, graph.size)
    assert found.box == (box.top, box.left, *box.content_size)
    (inputs,) = asked
    away = np.abs(inputs["image"] - box.image(frame).ravel())
    assert away.max() <= 1  # OpenCV's bilinear resize has weights of 11 bits
    assert away.mean() < 0.2
    expected = box.coverage(labels, graph.channels).ravel()
    assert np.abs(inputs["prompt"] - expected).max() < 1e-5
    assert np.flatnonzero(inputs["prompted"]).tolist() == [0, 2, 7]
    assert np.flatnonzero(inputs["active"]).tolist() == [0, 2, 7]


@pytest.mark.parametrize("is_small", [False, True])
def test_a_box_and_a_tap_become_masks(
    program: list[str], model: LoadedModel, *, is_small: bool
) -> None:
    """Each is looked at twice; what is small at a tap, once more before, in the whole frame.

    What the head finds in 8 bits depends on the machine; so does whether it is small.
    """
    size = (480, 640)
    (frame,) = _frames(1, size)
    left, top, width, height = cv2.boundingRect(_first_mask(size))
    head = model.prompt_head
    assert head is not None

    def what_is_shown(inputs: Tensors) -> Tensors:
        return {"probability": inputs["prompt"].max(axis=1, keepdims=True)}

    calls = Calls(what_is_shown if is_small else head.runner.run)
    head_python = type(head)(calls, head.size)
    box, tap = (left, top, width, height), (left + width // 2, top + height // 2)
    expected = [head_python.mask(frame, box), head_python.mask(frame, None, [tap], [1])]
    asked: list[Tensors] = []

    def run(inputs: Tensors) -> Tensors:
        asked.append(inputs)
        return calls.answers[len(asked) - 1]

    with _running(program, run, run) as phone:
        found = [phone.in_box(frame, *box), phone.at(frame, *tap)]
    for ours, theirs in zip(found, expected, strict=True):
        assert theirs.any()
        assert _iou(ours, theirs) > 0.98
    assert len(asked) == len(calls.given)
    assert len(asked) in ((5,) if is_small else (4, 5))
    for inputs, given in zip(asked, calls.given, strict=True):
        assert np.abs(inputs["image"] - given["image"].ravel()).max() <= 1
        away = np.abs(inputs["prompt"] - given["prompt"].ravel())
        # A few pixels of the outline that the closer look is given may fall elsewhere.
        assert np.mean(away > 1e-5) < 0.01


def test_a_user_shows_and_drops_objects(program: list[str], model: LoadedModel) -> None:
    size = (120, 160)
    (frame,) = _frames(1, size)
    graph, head = model.graph, model.prompt_head
    assert head is not None
    cells = (1, 1, head.size[0] // 4, head.size[1] // 4)
    sure = [1.0]

    def step(inputs: Tensors) -> Tensors:
        return {name: np.zeros(graph.shape(name), np.float32) for name in OUTPUT_NAMES}

    def look(inputs: Tensors) -> Tensors:
        return {"probability": np.full(cells, sure[0], np.float32)}

    with _running(program, step, look) as phone:
        assert phone.told(frame) == "nothing"
        for index in range(1, graph.channels):
            if index % 2:
                phone.show_box(20, 20, 40, 40)
            else:
                phone.show_tap(80, 60)
            assert phone.told(frame) == ", ".join(map(str, range(1, index + 1)))
        phone.show_tap(80, 60)
        assert phone.told(frame) == "All objects are in use: drop one first."
        phone.drop_last()
        sure[0] = 0.0
        phone.show_tap(80, 60)
        assert phone.told(frame) == "No object was found there: drag another box."
        assert phone.told(frame) == ", ".join(map(str, range(1, graph.channels - 1)))


def test_where_a_finger_points(program: list[str]) -> None:
    with _running(program) as phone:
        # A frame 640 wide and 480 high in a view of 1000x2000 fills its width, 625 from the top.
        for place, pixel in (
            ((500, 1000), [320, 240]),
            ((0, 625), [0, 0]),
            ((999, 1374), [639, 479]),
        ):
            assert phone.pixel((480, 640), (1000, 2000), *place, mirrored=False) == pixel
        assert phone.pixel((480, 640), (1000, 2000), 0, 0, mirrored=True) == [639, 0]
        colours = np.array(phone.overlay(np.array([0, 1, 2, 11], np.uint8)), ">i4").view(">u4")
    assert colours[0] == 0
    assert (colours[1:] >> 24).tolist() == [0x90] * 3
    assert len(set(colours.tolist())) == 3  # the eleventh has the first one's colour


def test_the_android_app_compiles_against_stubs(classes: Path, tmp_path: Path) -> None:
    _kotlinc(tmp_path, KOTLIN / "app", HERE / "android", others=classes)
    assert (tmp_path / "edgevos/app/MainActivity.class").exists()


def test_the_ios_app_agrees_with_stubs(tmp_path: Path) -> None:
    for name in ("CoreML", "UIKit", "AVFoundation", "SwiftUI"):
        module = ("-emit-module", "-module-name", name, "-emit-module-path")
        stub = HERE / "ios" / f"{name}.swift"
        _swiftc(
            "-parse-as-library", *module, tmp_path / f"{name}.swiftmodule", "-I", tmp_path, stub
        )
    app = sorted((SWIFT / "App").glob("*.swift"))
    _swiftc("-parse-as-library", "-typecheck", "-I", tmp_path, *SWIFT_CORE, *app)
