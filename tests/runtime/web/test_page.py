"""The page in headless Chromium with a camera that plays a clip: what it promises, measured."""

import gzip
import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import jsonschema
import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from edge_vos.bundle import Bundle
from edge_vos.cli.demo import find_clip
from edge_vos.runtime.interactive.prompt_draft import Stroke
from edge_vos.runtime.labels import ObjectState
from edge_vos.runtime.masks import jaccard
from edge_vos.runtime.model import LoadedModel, open_bundle
from edge_vos.runtime.objects.view import View, box_around
from edge_vos.runtime.objects.zoom import Zoom
from edge_vos.runtime.preprocess import Letterbox
from edge_vos.runtime.prompts.find_object import ObjectFinder
from edge_vos.runtime.prompts.prompt import Prompt
from edge_vos.runtime.segmenter import Segmenter
from edge_vos.runtime.web.package import engine_files
from edge_vos.runtime.web.site import write_site
from tests.runtime.web.conftest import (
    FRAMES,
    REPOSITORY,
    Drive,
    clip_frames,
    run_drive,
    served,
    write_y4m,
)

MOST_GZIP_BYTES = 6_000_000
BOX_XYWH = (115, 25, 220, 290)
"""Around the clip's object, in its 640x360 pixels."""


def _parts(box_xywh: tuple[int, int, int, int], height: int, width: int) -> list[list[float]]:
    x, y, across, down = box_xywh
    return [[x / width, y / height], [(x + across) / width, (y + down) / height]]


PLACE = _parts(BOX_XYWH, 360, 640)
ROCK, ITS_END = (527, 176), (606, 190)
"""A thing in that picture, and a part of it that a tap in its middle leaves out."""
HEAD = {"wide": [[0.3, 0.08], [0.68, 0.72]], "tall": [[0.35, 0.08], [0.85, 0.72]]}
"""Around the driver's head in the demo's clip."""


def test_a_browser_that_does_not_answer_ends_in_time(tools: Path, tmp_path: Path) -> None:
    silent = tmp_path / "silent"
    silent.write_text("#!/bin/sh\nexec sleep 987\n")
    silent.chmod(0o755)
    wish = {"task": "probe", "url": "", "tools": str(tools), "chromium": str(silent)}
    answer = run_drive({**wish, "out": str(tmp_path)}, 4)
    assert "nothing in 4 s; it waited for: start Chromium" in answer["failed"]
    assert not [p for p in psutil.process_iter(["cmdline"]) if "987" in (p.info["cmdline"] or ())]


def test_the_recording_passes_on_every_build(site: Path, drive: Drive, wide: Bundle) -> None:
    with served(site) as server:
        found = drive("builds", server.address, builds=["threaded", "single", "compat"])
    schema = json.loads((REPOSITORY / "devices/schemas/bench.schema.json").read_text())
    for build, one in found.items():
        assert one["build"] == build
        assert one["golden"]["passed"], one["golden"]
        prompts = one["golden"]["prompts"]
        assert prompts["passed"]
        assert prompts["calls"] > 0
        assert prompts["maskIou"] >= prompts["limitIou"] >= 0.85
        jsonschema.validate(one["report"], schema)
    assert found["threaded"]["threads"] > 1
    assert found["single"]["threads"] == found["compat"]["threads"] == 1


@pytest.mark.parametrize("name", ["model.tflite", "prompt/model.tflite"])
def test_a_damaged_model_is_refused_by_name(
    site: Path, drive: Drive, tmp_path: Path, name: str
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(site, broken)
    for model in broken.glob(f"models/*/{name}"):
        data = bytearray(model.read_bytes())
        data[len(data) // 2] ^= 1
        model.write_bytes(data)
    with served(broken) as server:
        found = drive("denied", server.address)
    assert f"/{name} is damaged" in found["loading"]
    assert "edge-vos web" in found["loading"]


@pytest.mark.parametrize("way", list(HEAD))
def test_masks_are_those_of_python(
    site: Path, drive: Drive, tmp_path: Path, wide: Bundle, tall: Bundle, way: str
) -> None:
    overlaps = _follow(site, drive, tmp_path, wide if way == "wide" else tall, way)
    assert min(overlaps) >= 0.98, overlaps


def test_in_32_bits_probabilities_are_those_of_python(
    tools: Path, drive: Drive, tmp_path: Path, exact: Bundle
) -> None:
    write_site(tmp_path / "site", (exact,), engine_files(tools))
    overlaps = _follow(tmp_path / "site", drive, tmp_path, exact, "tall", most=1e-4)
    assert min(overlaps) >= 0.98, overlaps


def _follow(
    site: Path, drive: Drive, folder: Path, bundle: Bundle, way: str, most: float | None = None
) -> list[float]:
    """Follow a clip in the page and in Python, and return how far their masks overlap."""
    frames = clip_frames(clip=find_clip("carphone_pristine.mp4"))
    height, width = frames[0].shape[:2]
    cut = slice(0, width) if way == "wide" else slice(10, 10 + height * 3 // 4)
    size = (640, 480) if way == "wide" else (480, 640)
    frames = [cv2.resize(frame[:, cut], size) for frame in frames]
    camera = write_y4m(folder / "camera.y4m", frames)
    with served(site) as server:
        found = drive(
            "follow", server.address, camera=str(camera), frames=FRAMES, box=HEAD[way],
            probabilities=most is not None,
        )  # fmt: skip
    overlaps, covered = _compare(found, bundle, folder, most)
    assert {step["model"] for step in found["steps"]} == {f"models/{bundle.path.stem}"}
    assert min(covered) > 0
    whole = View.whole(tuple(found["frame"]))
    assert any(View(**step["view"]) != whole for step in found["steps"])
    return overlaps


def _compare(
    found: dict[str, Any], bundle: Bundle, folder: Path, most: float | None = None
) -> tuple[list[float], list[int]]:
    """Step Python through the same pixels from the same prompt."""
    model = open_bundle(bundle.path, threads=1)
    segmenter = _GivenPictures(model)
    zoom = Zoom(model.graph.size)
    frame_size = tuple(found["frame"])
    shown = _read(folder / "shown.bin", frame_size)
    views = [View(**step["view"]) for step in found["steps"]]
    assert views[0] == zoom.view(frame_size, [box_around(shown)], anew=True)
    for view in (View.whole(frame_size), views[0]):  # first from afar, then from close
        letterbox = Letterbox.fit(view.size, model.graph.size)
        segmenter.cells.append(letterbox.coverage(view.of(shown), model.graph.channels))
    (segmenter.wide,) = _pictures(folder / "wide.bin", [(*found["wideSize"], 4)])
    sizes = [step["size"] for step in found["steps"]]
    contents = _pictures(folder / "content.bin", [(*size, 4) for size in sizes])
    masks = _pictures(folder / "mask.bin", sizes)
    overlaps, covered = [], []
    for index, (rgba, mask, view) in enumerate(zip(contents, masks, views, strict=True)):
        if index:
            assert view == zoom.view(frame_size), index
        states = [ObjectState(1, one["areaPx"], tuple(one["box"]), 1, one["lost"])
                  for one in found["steps"][index]["objects"]]  # fmt: skip
        zoom.update(view, states, frame_size, shown=not index)
        if not index:
            segmenter.prompt(np.full(mask.shape, 1, np.uint8))
        result = segmenter.step(np.ascontiguousarray(rgba[..., 2::-1]))
        overlaps.append(jaccard(result.mask == 1, mask == 1))
        covered.append(int(np.count_nonzero(mask)))
        if most is not None:
            shape = result.probability.shape
            stored = np.fromfile(folder / "probability.bin", np.float32).reshape(-1, *shape)
            assert np.abs(stored[index] - result.probability).max() <= most
    return overlaps, covered


class _GivenPictures(Segmenter):
    """Takes the prompt, and the frame from afar, as the page had them: the frame is not here."""

    wide: NDArray[np.uint8]

    def __init__(self, model: LoadedModel) -> None:
        super().__init__(model, zoom=False)
        self.cells: list[NDArray[np.float32]] = []

    def _fill(
        self, letterbox: Letterbox, mask: NDArray[np.uint8], given: set[int], living: list[int]
    ) -> None:
        super()._fill(letterbox, mask, given, living)
        if given:
            self._inputs["prompt"][:] = self.cells.pop(0)

    def _look_wide(self, *of_the_view: Any) -> dict[str, NDArray[np.float32]] | None:
        _, _, _, given, living = of_the_view
        wide = np.ascontiguousarray(self.wide[..., 2::-1])
        mask = np.ones(wide.shape[:2], np.uint8)
        return super()._look_wide(wide, View(0, 1, 0, 1), mask, given, living)


def _pictures(path: Path, shapes: Sequence[Sequence[int]]) -> list[NDArray[np.uint8]]:
    """Read pictures of several sizes, one after the other."""
    ends = np.cumsum([np.prod(shape) for shape in shapes])
    parts = np.split(np.fromfile(path, np.uint8), ends)
    assert not parts.pop().size
    return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]


def _read(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    return np.fromfile(path, np.uint8).reshape(shape)


def test_prompts_find_what_python_finds(
    site: Path, drive: Drive, tmp_path: Path, wide: Bundle
) -> None:
    frame = clip_frames(1)[0]
    content = cv2.resize(frame, (428, 240), interpolation=cv2.INTER_AREA)
    stroke = Stroke(((210, 90), (240, 225)), 21).paint(np.zeros(frame.shape[:2], np.uint8))
    pictures = {}
    for name, picture in {
        "frame": cv2.cvtColor(frame, cv2.COLOR_BGR2RGBA),
        "content": cv2.cvtColor(content, cv2.COLOR_BGR2RGBA),
        "stroke": stroke,
    }.items():
        path, (height, width) = tmp_path / f"{name}.bin", picture.shape[:2]
        path.write_bytes(picture.tobytes())
        pictures[name] = {"path": str(path), "height": height, "width": width}
    left, top, across, down = BOX_XYWH
    low = (left + across // 2, top + down - 20)
    prompts: list[dict[str, Any]] = [
        {"kind": "box", "box": BOX_XYWH},
        {"kind": "points", "points": [ROCK], "labels": [1]},
        {"kind": "points", "points": [ROCK, (10, 10)], "labels": [1, 0]},
        {"kind": "points", "points": [low], "labels": [0], "after": 0},
        {"kind": "points", "points": [ITS_END], "labels": [1], "after": 1},
        {"kind": "brush", "add": True},
    ]
    with served(site) as server:
        found = drive(
            "prompts", server.address, viewport={"width": 844, "height": 390}, **pictures,
            prompts=[{"id": 1, **prompt} for prompt in prompts],
        )  # fmt: skip
    head = open_bundle(wide.path, threads=1).prompt_head
    finder = ObjectFinder(lambda: head)
    overlaps = []
    for prompt, one in zip(prompts, found, strict=True):
        if prompt["kind"] == "brush":
            expected = stroke
        else:
            box = (prompt["box"],) if "box" in prompt else ()
            asked = Prompt(
                1, boxes_xywh=box, points=prompt.get("points", ()), labels=prompt.get("labels")
            )
            now = None
            if one["now"] is not None:
                now = np.array(one["now"], np.float32).reshape(240, 428)
                now = (cv2.resize(now, (640, 360)) > 0.5).astype(np.uint8)
            expected = finder.find(frame, asked, now)
        overlaps.append(jaccard(np.array(one["mask"]).reshape(360, 640) == 1, expected == 1))
    assert min(overlaps) >= 0.9, overlaps


def test_it_isolates_itself_and_works_without_its_server(
    site: Path, drive: Drive, tmp_path: Path
) -> None:
    description = json.loads((site / "site.json").read_text())
    with served(site) as elsewhere, served(site, headers={}) as server:

        def close() -> None:
            server.shutdown()
            server.server_close()

        found = drive(
            "offline", server.address, close=close, box=PLACE, elsewhere=elsewhere.address,
            kept=len(description["later"]) + 10,
        )  # fmt: skip
        assert elsewhere.asked == []
    assert (found["build"], found["navigations"]) == ("threaded", 2)
    assert found["upload"] == ["TypeError", "TypeError"]
    assert found["golden"]["passed"]
    assert found["methods"] == ["GET"]
    assert {method for method, _ in server.asked} == {"GET"}


def test_the_first_load_is_small(site: Path) -> None:
    """What a phone loads before it can follow something: one model, the largest build."""
    description = json.loads((site / "site.json").read_text())
    kept_back = (".mp4", ".png")
    own = [path for path in site.iterdir() if path.is_file() and path.suffix not in kept_back]
    engine = [site / "engine/index.js", site / "engine/wasm-utils.js"]
    engine += sorted((site / "engine/wasm").glob("litert_wasm_threaded*"))
    for model in description["models"]:
        names = ("manifest.json", "model.tflite", "prompt/model.tflite")
        needed = [site / model["folder"] / name for name in names]
        packed = sum(len(gzip.compress(path.read_bytes(), 9)) for path in own + engine + needed)
        assert packed <= MOST_GZIP_BYTES, model["folder"]


def test_the_masks_stay_on_the_object_when_the_phone_is_turned(
    site: Path, drive: Drive, tmp_path: Path
) -> None:
    with served(site) as server:
        found = drive("turn", server.address)
    assert found["frame"] == [640, 360]
    assert found["before"] != found["steps"][0]["model"]
    sizes = [step["size"] for step in found["steps"]]
    contents = _pictures(tmp_path / "content.bin", [(*size, 4) for size in sizes])
    truth = [(content[..., 0] > 180) & (content[..., 1] < 110) for content in contents]
    masks = _pictures(tmp_path / "mask.bin", sizes)
    overlaps = [jaccard(a, b == 1) for a, b in zip(truth, masks, strict=True)]
    assert min(overlaps) >= 0.8, (overlaps, found["said"])


def test_a_person_uses_it(site: Path, drive: Drive) -> None:
    with served(site) as server:
        found = drive("person", server.address, box=PLACE, tap=[0.11, 0.63])
    assert found["begun"] == 0  # a preview is no object yet
    assert found["named"] == "the rider"
    assert found["after"] < 0.9 * found["before"], found
    assert found["green"] == [0, 177, 64, 255]
    assert found["recorded"]["size"] == [360, 640]
    assert found["recorded"]["name"].startswith("edge-vos-")
    assert found["objects"] == 0


@pytest.mark.parametrize(
    ("flags", "more", "message", "build"),
    [
        ([], {"noRelaxedSimd": True}, "relaxed SIMD", "compat"),
        ([], {"noStorage": True, "plain": True}, "threads", "single"),
        ([], {"noStorage": True}, "storage", "threaded"),
        ([], {"noCamera": True}, "The camera is not allowed", "threaded"),
        (["--js-flags=--no-enable-sse4-1"], {}, "no WebAssembly SIMD", None),
    ],
    ids=["relaxed SIMD", "threads", "storage", "camera", "SIMD"],
)
def test_what_is_denied_is_named_and_the_rest_works(
    site: Path,
    drive: Drive,
    tmp_path: Path,
    flags: list[str],
    more: dict[str, Any],
    message: str,
    build: str | None,
) -> None:
    headers = {} if more.get("plain") else None
    if more.get("noRelaxedSimd"):  # Chromium has no switch for it: the page asks in vain
        site = shutil.copytree(site, tmp_path / "asking")
        asking = (site / "engine.js").read_text()
        assert "253, 128, 2, 11" in asking
        (site / "engine.js").write_text(asking.replace("253, 128, 2, 11", "253, 255, 2, 11"))
    with served(site, headers) as server:
        found = drive("denied", server.address, flags=flags, box=PLACE, **more)
    assert message in " ".join((found["loading"], found.get("toast", "")))
    assert (found["build"] if build else None) == build


def test_the_code_is_checked(tools: Path) -> None:
    page = REPOSITORY / "runtime/web/page"
    for project in ("tsconfig.json", "tsconfig.sw.json"):
        command = [str(tools / "node_modules/.bin/tsc"), "-p", str(page / project)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout
