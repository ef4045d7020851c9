"""Windows: every frame is played once, each window has its own mask, and what cannot be cut."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from edge_vos.errors import DatasetError, UsageError
from edge_vos.evaluate.davis import read_davis
from edge_vos.evaluate.run import score_trackers
from edge_vos.evaluate.sequences import Dataset
from edge_vos.evaluate.windows import window_dataset
from tests.conftest import MakeDavis


class Frozen:
    """A tracker that answers what it was told last."""

    def prompt(self, mask: np.ndarray) -> None:
        self.mask = mask

    def step(self, frame: np.ndarray) -> "Frozen":
        return self


@pytest.fixture
def plain(make_davis: MakeDavis) -> Dataset:
    """Two sequences of eleven frames: a square that moves by two and by four pixels a frame."""
    return read_davis(make_davis({"bus": 2, "swing": 4}, frames=11))


def test_every_frame_is_in_one_window_and_each_begins_with_its_own_mask(plain: Dataset) -> None:
    cut = window_dataset(plain, 4)
    names = ["bus@00000", "bus@00004", "bus@00008", "swing@00000", "swing@00004", "swing@00008"]
    assert [window.name for window in cut.sequences] == names
    assert [len(window) for window in cut.sequences] == [4, 4, 3] * 2
    played = [path for window in cut.sequences for path in window.frames]
    assert played == [path for sequence in plain.sequences for path in sequence.frames]
    for window in cut.sequences:
        played = list(window.play())
        assert played[0].given is not None
        assert played[0].truth is not None
        assert np.array_equal(played[0].given, played[0].truth)
        assert [entry.scored for entry in played] == [False, *[True] * (len(played) - 2), False]


def test_windows_bound_what_standing_still_costs(plain: Dataset) -> None:
    whole = score_trackers(plain, Frozen, metrics=("j",))
    cut = score_trackers(window_dataset(plain, 3), Frozen, metrics=("j",))
    # After one frame a square of 48 pixels overlaps with itself by 46 of 50 columns, or 44 of 52.
    assert cut.as_dict()["j_mean"] == pytest.approx(100 * (46 / 50 + 44 / 52) / 2)
    assert whole.as_dict()["j_mean"] < cut.as_dict()["j_mean"] - 15


def test_what_is_left_of_a_sequence_counts_only_if_it_can_be_scored(plain: Dataset) -> None:
    lengths = [len(window) for window in window_dataset(plain, 9).sequences]
    assert lengths == [9, 9]  # two frames have none between the first and the last


def test_a_window_that_begins_without_an_object_is_left_out(plain: Dataset) -> None:
    mask = plain.sequences[0].annotations[4]
    cv2.imwrite(str(mask), np.zeros_like(cv2.imread(str(mask))))
    names = [window.name for window in window_dataset(plain, 4).sequences]
    assert "bus@00004" not in names
    assert len(names) == 5


def test_what_cannot_be_cut_is_refused(plain: Dataset) -> None:
    with pytest.raises(UsageError, match="3 frames or more"):
        window_dataset(plain, 2)
    with pytest.raises(UsageError, match="youtube-vos"):
        window_dataset(replace(plain, protocol="youtube-vos"), 10)
    short = replace(plain.sequences[0], annotations={0: plain.sequences[0].annotations[0]})
    with pytest.raises(DatasetError, match="no window"):
        window_dataset(replace(plain, sequences=(short,)), 10)
