import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_vos.devices.bench.live import LiveRequest, measure_live, open_live
from edge_vos.devices.bench.measurement import Measurement, MeasurementLimit
from edge_vos.errors import PromptError, SourceError, SourceLost
from edge_vos.runtime.backends.runner import CallableRunner
from edge_vos.runtime.model import LoadedModel
from edge_vos.runtime.segmenter import Segmenter
from edge_vos.runtime.sinks.recording import Recording
from edge_vos.runtime.sources.frame import RawFrame, Source

SCENE = "synthetic://?size=64x96&objects=2&fps=200"
STAGES = ["capture", "pre", "infer", "post", "memory", "draw", "display", "end_to_end", "interval"]
FILLED = 12  # frames until the tiny student's memory is full


def measure(model: LoadedModel, request: LiveRequest, steps: int = 20) -> Measurement:
    return measure_live(model, open_live(request), request, MeasurementLimit(steps, None))


@pytest.fixture
def frames(tmp_path: Path, scene: Callable[..., tuple[Any, Any]]) -> Path:
    """A folder of 20 frames in which a square moves."""
    folder = tmp_path / "frames"
    folder.mkdir()
    for index in range(20):
        cv2.imwrite(str(folder / f"{index:05d}.png"), scene((8 + index, 32))[0])
    return folder


def prompt(segmenter: Segmenter, size: tuple[int, int]) -> None:
    mask = np.zeros(size, np.uint8)
    mask[32:96, 8:72] = 1
    segmenter.prompt(mask)


def test_a_scene_is_measured_from_capture_to_display(tiny_model: LoadedModel) -> None:
    shares: list[float] = []
    request = LiveRequest(SCENE)
    found = measure_live(
        tiny_model, open_live(request), request, MeasurementLimit(20, None), shares.append
    )
    assert (found.samples, found.warmup, found.objects, found.frame_size) == (
        20, FILLED, 2, (64, 96),
    )  # fmt: skip
    assert list(found.samples_ms) == STAGES
    assert {len(series) for series in found.samples_ms.values()} == {20}
    assert found.live is not None
    assert (found.live.source, found.live.source_fps) == (SCENE, 200.0)
    assert (found.live.recording, found.live.ended) == (False, "stopped")
    samples = {stage: np.asarray(series) for stage, series in found.samples_ms.items()}
    assert (samples["end_to_end"] >= samples["display"]).all()
    assert (samples["display"] >= samples["capture"] + samples["infer"]).all()
    assert found.duration_s == pytest.approx(samples["interval"].sum() / 1e3)
    assert shares[-1] == 1.0


def test_frames_that_were_left_out_are_counted_from_the_warm_up_on(
    tiny_model: LoadedModel,
) -> None:
    """One step after the warm-up waits until ten more frames have come."""
    gave = threading.Condition()
    given, steps = 0, 0

    def raw_frames() -> Iterator[RawFrame]:
        nonlocal given
        for raw in open_live(LiveRequest(SCENE))._raw_frames:
            with gave:
                given += 1
                gave.notify_all()
            yield raw

    def step(inputs: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps == FILLED + 3:  # those of the warm-up have been delivered by then
            with gave:
                until = given + 10
                assert gave.wait_for(lambda: given >= until, 20)
        return tiny_model.runner.run(inputs)

    source = Source("test", raw_frames(), fps=1000.0, size=(64, 96), frames=None, has_truth=True)
    model = replace(tiny_model, runner=CallableRunner(step))
    found = measure_live(model, source, LiveRequest("test"), MeasurementLimit(5, None))
    assert found.live is not None
    assert found.live.dropped >= 8


def test_a_recording_is_made_and_removed(
    tiny_model: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    kept = tmp_path.parent / f"{tmp_path.name}-kept.mkv"
    close = Recording.close

    def keep(recording: Recording) -> None:
        close(recording)
        shutil.copy(recording.files[0], kept)

    monkeypatch.setattr(Recording, "close", keep)
    found = measure(tiny_model, LiveRequest(SCENE, record=True))
    assert found.live is not None
    assert found.live.recording
    assert list(tmp_path.iterdir()) == []
    video = cv2.VideoCapture(str(kept))
    count = 0
    while video.read()[0]:
        count += 1
    assert count == FILLED + 20


def test_a_file_plays_the_camera_and_its_end_ends_the_measurement(
    tiny_model: LoadedModel, frames: Path
) -> None:
    found = measure(tiny_model, LiveRequest(str(frames), prompt=prompt), 1000)
    assert found.live is not None
    assert found.live.ended == "end"
    assert (found.warmup, found.objects, found.frame_size) == (FILLED, 1, (128, 192))
    assert found.samples + found.live.dropped <= 20 - FILLED
    assert found.samples >= 1


def test_a_source_that_ends_in_the_warm_up_is_refused(tiny_model: LoadedModel) -> None:
    with pytest.raises(SourceError, match=r"in the warm-up, after [1-5] frames"):
        measure(tiny_model, LiveRequest(SCENE + "&frames=5"))


def test_a_camera_that_is_lost_in_the_warm_up_says_so(tiny_model: LoadedModel) -> None:
    def raw_frames() -> Iterator[RawFrame]:
        scene = open_live(LiveRequest(SCENE))
        yield from (raw for raw, _ in zip(scene._raw_frames, range(3), strict=False))
        raise SourceLost("The camera 0 was unplugged")

    source = Source("0", raw_frames(), fps=30.0, size=(64, 96), frames=None, has_truth=True)
    with pytest.raises(SourceLost, match="unplugged"):
        measure_live(tiny_model, source, LiveRequest("0"), MeasurementLimit(5, None))


def test_a_source_without_truth_wants_a_prompt(frames: Path) -> None:
    with pytest.raises(PromptError, match="Add --box X,Y,W,H or --mask FILE"):
        open_live(LiveRequest(str(frames)))


def test_a_prompt_that_does_not_fit_leaves_nothing_open(
    tiny_model: LoadedModel, frames: Path
) -> None:
    closed: list[bool] = []

    def refuse(segmenter: Segmenter, size: tuple[int, int]) -> None:
        raise PromptError("a box that is too large")

    request = LiveRequest(str(frames), prompt=refuse)
    source = open_live(request)
    source.close = lambda: closed.append(True)  # type: ignore[method-assign]
    with pytest.raises(PromptError, match="too large"):
        measure_live(tiny_model, source, request, MeasurementLimit(5, None))
    assert closed == [True]
