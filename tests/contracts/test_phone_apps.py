"""The phone projects: their plain code runs here, call for call as the Python segmenter does.

Neither app is built: that takes an Android SDK, and Xcode. What imports nothing of a phone is
compiled and run, with this process as its engine. The rest is compiled against stubs.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from edge_vos.bundle import MemoryPolicy
from edge_vos.graph import OUTPUT_NAMES, GraphSpec
from edge_vos.runtime.model import LoadedModel, RunningGraph, open_bundle
from edge_vos.runtime.objects.view import View, box_around
from edge_vos.runtime.objects.zoom import Zoom
from edge_vos.runtime.preprocess import Letterbox
from edge_vos.runtime.segmenter import FrameResult, Segmenter
from tests.contracts.phone.compilers import COMPILER, kotlinc, swiftc
from tests.contracts.phone.discs import Discs
from tests.contracts.phone.program import BUNDLE, Answer, Calls, Mask, Tensors, running
from tests.runtime.web.conftest import clip_frames

REPOSITORY = Path(__file__).parents[2]
HERE = Path(__file__).parent / "phone"
EXAMPLES = REPOSITORY / "docs/examples"
KOTLIN = EXAMPLES / "android/app/src/main/kotlin/edgevos"
SWIFT = EXAMPLES / "ios/Sources"
SWIFT_CORE = sorted((SWIFT / "Core").glob("*.swift"))
GIVEN = REPOSITORY / "edge_vos/weights/calibration.png"
MOST_PIXELS_OFF = 3  # of 103,680 or more
MOST_OFF = {"image": 1, "prompt": 1e-5}  # OpenCV resizes 8 bits a little differently by machine


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kotlinc(tmp_path_factory.mktemp("kotlin"), KOTLIN / "core", HERE / "Check.kt")


@pytest.fixture(scope="module")
def kotlin(classes: Path) -> list[str]:
    path = f"{classes}:{COMPILER / 'lib/kotlin-stdlib.jar'}"
    return ["java", "-Xmx256m", "-cp", path, "edgevos.check.CheckKt"]


@pytest.fixture(scope="module")
def swift(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("swift")
    main = shutil.copy(HERE / "Check.swift", folder / "main.swift")
    swiftc("-O", "-o", folder / "check", *SWIFT_CORE, main)
    return [str(folder / "check")]


@pytest.fixture(params=["kotlin", "swift"])
def program(request: pytest.FixtureRequest) -> list[str]:
    """The command that runs a project's plain code."""
    command: list[str] = request.getfixturevalue(request.param)
    return command


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
        self.python = Segmenter(graph_, confirm=False)
        self._program = program
        self.compared = 0

    @contextmanager
    def begin(self) -> Iterator["Together"]:
        with running(self._program, self._repeat) as self.phone:
            yield self

    def _repeat(self, inputs: Tensors) -> Tensors:
        expected = self.calls.given[self.compared]
        assert set(inputs) == set(expected)
        for name, data in inputs.items():
            wanted = expected[name].ravel()
            different = np.flatnonzero(np.abs(data - wanted) > MOST_OFF.get(name, 0))
            assert not different.size, (
                self.compared,
                name,
                different[:5],
                data[different[:5]],
                wanted[different[:5]],
            )
        self.compared += 1
        return self.calls.answers[self.compared - 1]

    def step(self, frame: Mask, given: Mask | None = None) -> FrameResult:
        if given is not None:
            self.python.prompt(given)
        result = self.python.step(frame)
        found = self.phone.step(frame, given)
        assert self.compared == len(self.calls.given)  # two of a part in which something is shown
        assert found.view == result.view
        assert sorted(found.confidence) == [state.id for state in result.objects]
        for state in result.objects:
            assert found.confidence[state.id] == pytest.approx(state.confidence, abs=1e-5)
        # Their sums are added up in another order, so a pixel on an outline may fall elsewhere.
        assert np.count_nonzero(found.labels != result.mask) <= MOST_PIXELS_OFF
        return result

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
    assert together.compared > len(frames)


def test_the_view_follows_as_in_python(program: list[str], model: LoadedModel) -> None:
    """A small object crosses a large frame, ever faster; it grows at once, and is hidden once."""
    discs = Discs(model.graph, *_frames(1, Discs.size))
    together = Together(program, model.graph, model.memory, discs.find)
    views = []
    with together.begin():
        for index in range(40):
            disc = (60 + index * (index + 20) // 2, 100 + 11 * index, 20 if index < 12 else 80)
            is_hidden = 24 <= index < 27
            result = together.step(
                discs.frame({} if is_hidden else {1: disc}),
                None if index else discs.mask(1, disc),
            )
            assert result.objects[0].lost == is_hidden
            views.append(result.view)
    is_whole = [view == View.whole(discs.size) for view in views]
    assert np.flatnonzero(is_whole).tolist() == [25, 26, 27, 28]
    heights = [view.size[0] for view in views]
    assert heights[0] == heights[12] < heights[13] < heights[14]
    assert len(set(views)) > 30


def test_objects_come_one_after_another(program: list[str], model: LoadedModel) -> None:
    """The view grows for the second, shrinks slowly without it, and leaps to what is shown anew."""
    discs = Discs(model.graph, *_frames(1, Discs.size))
    together = Together(program, model.graph, model.memory, discs.find)
    heights, wides = [], []
    calls = together.calls
    with together.begin():
        for index in range(40):
            there = {1: (700 - 2 * index, 300, 25), 2: (560 + index, 520, 15)}
            if index == 20:
                together.drop(2)
            shown = {0: 1, 8: 2, 30: 1}.get(index)
            given = discs.mask(shown, there[shown]) if shown else None
            before = len(calls.given)
            view = together.step(discs.frame(there), given).view
            assert view != View.whole(discs.size)
            assert len(calls.given) - before == (2 if shown else 1)
            if shown:  # all of the frame comes first, and then the view, with the same memory
                wide, near = calls.given[before:]
                assert 0 < 2 * wide["prompt"][0, shown].sum() < near["prompt"][0, shown].sum()
                assert np.array_equal(wide["memory_valid"], near["memory_valid"])
                wides.append(calls.answers[before]["key"][0])
            heights.append(view.size[0])
    assert heights[7] < heights[8]
    assert heights[30] < heights[29] < heights[20]
    memory = calls.given[-1]["memory_key"]
    is_kept = [any(np.array_equal(wide, key) for key in memory) for wide in wides]
    assert is_kept == [False, False, True]


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

    shows = {4: (1,), 8: (2,), 60: (3,), 63: (1, 4), 66: (2,), 70: (5,), 71: (6,), 80: (1,)}
    with together.begin():
        together.step(frame, shown(1))
        for index in range(1, 110):
            visible.clear()
            living = sorted(together.python._living)
            if not 20 <= index < 55:  # long enough to be forgotten
                visible.update({i: float(rng.choice([0.55, 0.7, 0.95])) for i in living})
            given = shows.get(index)
            if index in (64, 90):
                together.drop(3 if index == 64 else 1)
            if given:
                visible.update(dict.fromkeys(given, 0.95))
            together.step(frame, shown(*given) if given else None)
    assert together.compared == 110 + 9  # twice where something is shown
    valid = {tuple(call["memory_valid"].ravel()) for call in together.calls.given}
    assert (1, 0, 1, 1) in valid  # the previous frame was forgotten
    assert (height, width) == (60, 108)


@pytest.mark.parametrize("size", [(480, 640), (640, 480), (1080, 1920), (97, 61)])
@pytest.mark.parametrize("share", [2, 30])
def test_frames_of_any_size_fit(
    program: list[str], model: LoadedModel, size: tuple[int, int], share: int
) -> None:
    """Two objects whose sides are a share of the frame's."""
    graph = model.graph
    (frame,) = _frames(1, size)
    labels = np.zeros(size, np.uint8)
    height, width = (side // share for side in size)
    labels[size[0] // 2 - height : size[0] // 2, size[1] // 2 - width : size[1] // 2] = 2
    labels[size[0] // 2 : size[0] // 2 + height, size[1] // 2 : size[1] // 2 + width] = 7
    asked: list[Tensors] = []

    def run(inputs: Tensors) -> Tensors:
        asked.append(inputs)
        return {name: np.zeros(graph.shape(name), np.float32) for name in OUTPUT_NAMES}

    with running(program, run) as phone:
        found = phone.step(frame, labels)
    view = Zoom(graph.size).view(size, [box_around(labels)], anew=True)
    assert found.view == view
    assert (view == View.whole(size)) == (share == 2 or size == (97, 61))
    box = Letterbox.fit(view.size, graph.size)
    *wide, inputs = asked
    assert len(wide) == (view != View.whole(size))
    away = np.abs(inputs["image"] - box.image(view.of(frame)).ravel())
    assert away.max() <= MOST_OFF["image"]
    assert away.mean() < 0.2
    expected = box.coverage(view.of(labels), graph.channels).ravel()
    assert np.abs(inputs["prompt"] - expected).max() < 1e-5
    assert np.flatnonzero(inputs["prompted"]).tolist() == [0, 2, 7]
    assert np.flatnonzero(inputs["active"]).tolist() == [0, 2, 7]


@pytest.mark.parametrize("is_small", [False, True])
def test_a_box_and_a_tap_become_masks(
    program: list[str], model: LoadedModel, *, is_small: bool
) -> None:
    """A box is looked at twice, a tap three times: at last closer, or closer at what is small.

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

    with running(program, run, run) as phone:
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

    with running(program, step, look) as phone:
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
    with running(program) as phone:
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
    kotlinc(tmp_path, KOTLIN / "app", HERE / "android", others=classes)
    assert (tmp_path / "edgevos/app/MainActivity.class").exists()


def test_the_ios_app_agrees_with_stubs(tmp_path: Path) -> None:
    for name in ("CoreML", "UIKit", "AVFoundation", "SwiftUI"):
        module = ("-emit-module", "-module-name", name, "-emit-module-path")
        stub = HERE / "ios" / f"{name}.swift"
        swiftc("-parse-as-library", *module, tmp_path / f"{name}.swiftmodule", "-I", tmp_path, stub)
    app = sorted((SWIFT / "App").glob("*.swift"))
    swiftc("-parse-as-library", "-typecheck", "-I", tmp_path, *SWIFT_CORE, *app)
