"""Prompts of any frames from a file, and several boxes and clicks an object, by `segment`."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner, Result

from edge_vos.bundle import Bundle
from edge_vos.cli import app
from edge_vos.cli.video.prompts import Prompts
from edge_vos.errors import PromptError, UsageError
from edge_vos.runtime.masks import jaccard, read_mask

Draw = Callable[..., tuple[NDArray[np.uint8], NDArray[np.uint8]]]
RED, GREEN = (10, 20), (120, 60)


@pytest.fixture
def clip(tmp_path: Path, scene: Draw) -> Path:
    """Eight images of a red and a green square on a little noise."""
    folder = tmp_path / "clip"
    folder.mkdir()
    image = scene(RED, GREEN)[0]
    for index in range(8):
        noise = np.random.default_rng(index).integers(0, 12, image.shape, np.uint8)
        cv2.imwrite(str(folder / f"{index:05d}.png"), cv2.add(image, noise))
    return folder


def _segment(bundle: Bundle, clip: Path, *arguments: str) -> Result:
    masks = str(clip.parent / "masks")
    asked = ["segment", str(clip), "--model", str(bundle.path), "-o", masks, *arguments]
    return CliRunner().invoke(app, asked)


def _file(clip: Path, *prompts: dict[str, object]) -> str:
    path = clip.parent / "prompts.json"
    path.write_text(json.dumps({"prompts": prompts}))
    return str(path)


FIRST = {"frame": 0, "object": 1, "box": [6, 16, 72, 72], "name": "cup"}


def test_a_correction_in_mid_video_is_scripted(
    tiny_bundle: Bundle, clip: Path, scene: Draw
) -> None:
    truth = scene(RED, GREEN)[1]
    file = _file(
        clip,
        FIRST,
        {"frame": 3, "object": 2, "points": [[150, 90]]},
        {"frame": 5, "object": 1, "box": [6, 16, 72, 40]},
    )
    result = _segment(tiny_bundle, clip, "--prompts", file, "--json", "-o", "none")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert (document["object_ids"], document["refused"]) == ([1, 2], [])
    masks = [read_mask(clip.parent / "masks" / f"{index:05d}.png") for index in range(8)]
    assert jaccard(masks[2] > 0, truth == 1) > 0.8
    assert jaccard(masks[3] == 2, truth == 2) > 0.8
    assert np.count_nonzero(masks[5] == 1) < 0.8 * np.count_nonzero(masks[4] == 1)


def test_objects_may_come_later_than_the_first_frame(tiny_bundle: Bundle, clip: Path) -> None:
    file = _file(clip, {**FIRST, "frame": 2})
    result = _segment(tiny_bundle, clip, "--prompts", file, "--name", "mug")
    assert result.exit_code == 0, result.output
    masks = [read_mask(clip.parent / "masks" / f"{index:05d}.png") for index in range(8)]
    assert [bool(mask.any()) for mask in masks] == [False] * 2 + [True] * 6


@pytest.mark.parametrize(
    ("prompt", "what"),
    [
        ({"frame": 8, "object": 1, "points": [[5, 5]]}, "there are prompts for frame 8"),
        ({"frame": 2, "object": 5, "points": [[5, 5]]}, "The object id 5"),
        ({"frame": 2, "object": 1, "points": [[500, 5]]}, "The point 500,5 in frame 2"),
        ({"frame": 2, "object": 1, "box": [-50, 5, 20, 20]}, "The box -50,5,20,20 in frame 2"),
        ({"frame": 2, "objekt": 1, "points": [[5, 5]]}, "entry 1: the key 'objekt'"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    tiny_bundle: Bundle, clip: Path, prompt: dict[str, object], what: str
) -> None:
    result = _segment(tiny_bundle, clip, "--prompts", _file(clip, FIRST, prompt))
    assert isinstance(result.exception, PromptError)
    assert what in str(result.exception)
    assert result.exception.expected
    assert result.exception.next_step
    assert not (clip.parent / "masks").exists()


def test_what_is_refused_on_the_way_does_not_end_the_run(tiny_bundle: Bundle, clip: Path) -> None:
    beside = {"frame": 2, "object": 3, "points": [[5, 5]], "labels": [0]}
    everything = {"frame": 4, "object": 1, "points": [[5, 5], [40, 50]], "labels": [0, 0]}
    file = _file(clip, FIRST, beside, everything)
    result = _segment(tiny_bundle, clip, "--prompts", file, "--json")
    assert isinstance(result.exception, PromptError)
    assert "Frame 2: There are points beside the object, and none on it" in str(result.exception)
    assert "correct it and run again" in str(result.exception)
    document = json.loads(result.stdout)
    assert (document["frames"], document["object_ids"]) == (8, [1])
    assert document["refused"][0].startswith("Frame 2: ")


def test_a_live_source_takes_prompts_for_its_first_frame(tiny_bundle: Bundle, clip: Path) -> None:
    asked = ["live", str(clip), "--headless", "--model", str(tiny_bundle.path), "--json"]
    good = CliRunner().invoke(app, [*asked, "--prompts", _file(clip, FIRST)])
    assert good.exit_code == 0, good.output
    assert json.loads(good.stdout)["object_ids"] == [1]
    bad = CliRunner().invoke(app, [*asked, "--prompts", _file(clip, FIRST, {**FIRST, "frame": 3})])
    assert isinstance(bad.exception, UsageError)
    assert "prompts for frame 3 of a live source" in str(bad.exception)


def test_boxes_and_clicks_name_their_object() -> None:
    prompts = Prompts(
        boxes=("2=1,2,30,40", "60,2,30,40", "2=5,60,30,40"),
        points=("2=9,9,12,12", "3=70,70"),
        negatives=("2=20,20", "0,0"),
    )
    two, three, new = prompts.first
    assert (two.object_id, two.boxes_xywh) == (2, ((1, 2, 30, 40), (5, 60, 30, 40)))
    assert two.points == ((9, 9), (12, 12), (20, 20), (0, 0))
    assert two.signs == (1, 1, 0, 0)
    assert (three.object_id, three.signs) == (3, (1, 0))
    assert (new.object_id, new.signs) == (None, (0,))


@pytest.mark.parametrize(
    "words",
    [{"boxes": ("x=1,2,3,4",)}, {"points": ("0=1,2",)}, {"points": ("-1=1,2",)},
     {"points": ("=1,2",)}, {"points": ("1=1,2", "1=1,2"), "negatives": ("1=1,2",)}],
)  # fmt: skip
def test_what_names_no_object_is_refused(words: dict[str, tuple[str, ...]]) -> None:
    with pytest.raises((UsageError, PromptError), match="Expected"):
        Prompts(**words)
