"""A teacher labels footage, and the folder is training data like any other."""

from pathlib import Path

import numpy as np
import pytest

from edge_vos.distill.data.footage import Footage, load_stills, load_videos
from edge_vos.distill.labelling.annotate import (
    image_size,
    label_stills,
    label_videos,
    write_footage,
)
from edge_vos.errors import SinkError
from edge_vos.model.checkpoint import default_weights_path, load_student
from edge_vos.model.student import Student
from edge_vos.runtime.masks import jaccard


@pytest.fixture(scope="module")
def teacher() -> Student:
    return load_student(default_weights_path())


def test_what_the_teacher_labels_can_be_trained_on(
    footage: Footage, teacher: Student, tmp_path: Path
) -> None:
    said: list[str] = []
    folder = tmp_path / "footage"
    write_footage(
        folder,
        label_videos(teacher, footage.videos, said.append),
        label_stills(teacher, footage.stills, said.append),
    )
    assert len(said) == 2
    (video,), (still,) = load_videos(folder), load_stills(folder)
    assert video.name == "square"
    assert len(video.frames) == len(video.masks) == 8
    truth = footage.videos[0].masks
    assert np.mean([jaccard(a > 0, b > 0) for a, b in zip(video.masks, truth, strict=True)]) > 0.7
    assert jaccard(still.labels == 1, footage.stills[0].labels == 1) > 0.6
    with pytest.raises(SinkError, match="exists"):
        write_footage(folder, [], [])


def test_videos_of_one_name_are_all_kept(footage: Footage, tmp_path: Path) -> None:
    (video,) = footage.videos
    write_footage(tmp_path / "footage", [video, video, video], [])
    names = [found.name for found in load_videos(tmp_path / "footage")]
    assert names == ["square", "square~2", "square~3"]


def test_a_failure_leaves_no_folder(footage: Footage, teacher: Student, tmp_path: Path) -> None:
    def interrupted(_: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_footage(tmp_path / "footage", label_videos(teacher, footage.videos, interrupted), [])
    assert not list(tmp_path.iterdir())


def test_later_masks_of_a_video_are_not_looked_at(footage: Footage, teacher: Student) -> None:
    (video,) = footage.videos
    blank = type(video)(video.name, video.frames, [video.masks[0]] + [video.masks[0] * 0] * 7)
    (expected,) = label_videos(teacher, [video], lambda _: None)
    (found,) = label_videos(teacher, [blank], lambda _: None)
    assert all(np.array_equal(a, b) for a, b in zip(expected.masks, found.masks, strict=True))


def test_the_network_sees_480_pixels_at_most() -> None:
    assert image_size((360, 640, 3), 480) == (272, 480)
    assert image_size((480, 300, 3), 480) == (480, 304)
    assert image_size((40, 50, 3), 480) == (64, 64)
