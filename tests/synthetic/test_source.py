from itertools import islice

import numpy as np
import pytest

from edge_vos.errors import SourceError
from edge_vos.runtime.sources.opening import open_source
from edge_vos.synthetic.occluders import LONGEST, Schedule
from edge_vos.synthetic.scene import Scene
from edge_vos.synthetic.source import CLEAR_FRAMES, SceneRequest, parse_scene

SMALL = "synthetic://?size=96x128&objects=3"


def test_the_same_seed_gives_the_same_frames_and_another_does_not() -> None:
    one, same = (list(open_source(f"{SMALL}&frames=4&seed=5")) for _ in range(2))
    other = list(open_source(f"{SMALL}&frames=4&seed=6"))
    for a, b in zip(one, same, strict=True):
        assert np.array_equal(a.image, b.image)
        assert a.truth is not None
        assert b.truth is not None
        assert np.array_equal(a.truth, b.truth)
    assert not np.array_equal(one[0].image, other[0].image)


def test_frames_carry_their_masks() -> None:
    with open_source(f"{SMALL}&frames=5&fps=10") as source:
        frames = list(source)
    assert (source.size, source.frames, source.fps, source.has_truth) == ((96, 128), 5, 10.0, True)
    assert [frame.index for frame in frames] == list(range(5))
    assert [frame.timestamp_s for frame in frames] == [0.0, 0.1, 0.2, 0.3, 0.4]
    for frame in frames:
        assert (frame.image.shape, frame.image.dtype) == ((96, 128, 3), np.uint8)
        assert frame.truth is not None
        assert (frame.truth.shape, frame.truth.dtype) == ((96, 128), np.uint8)
        assert frame.truth.max() <= 3


@pytest.mark.parametrize("objects", [1, 3, 10])
@pytest.mark.parametrize("seed", range(4))
def test_every_object_shows_in_the_first_frame(objects: int, seed: int) -> None:
    _, truth = Scene((120, 160), objects, seed).render(0.0)
    areas = np.bincount(truth.ravel(), minlength=objects + 1)
    assert len(areas) == objects + 1
    assert areas[1:].min() >= 30


def test_masks_fit_the_pixels() -> None:
    """Where two objects' interiors lie, and nowhere else, the picture is that of the objects."""
    _, truth = Scene((120, 160), 1, 3).render(0.0)
    inside = np.stack([_colour_of(moment) for moment in (0.0, 1.0, 2.0)])
    assert truth.any()
    assert np.abs(inside - inside[0]).max() < 30  # the object keeps its colours as it moves


def _colour_of(moment_s: float) -> np.ndarray:
    image, truth = Scene((120, 160), 1, 3).render(moment_s)
    return image[truth == 1].mean(axis=0)


def test_objects_move_and_hide_one_another() -> None:
    scene = Scene((120, 160), 4, 1)
    areas = np.array([np.bincount(scene.render(t / 5)[1].ravel(), minlength=5) for t in range(60)])
    assert (areas[:, 1:].min(axis=0) < 0.6 * areas[:, 1:].max(axis=0)).any()
    first, later = scene.render(0.0)[1], scene.render(0.5)[1]
    assert np.count_nonzero(first != later) > 100


def test_it_ends_by_itself_only_when_it_is_not_looped() -> None:
    assert open_source("synthetic://").frames == 300
    endless = open_source(SMALL, loop=True)
    assert (endless.frames, endless.is_endless) == (None, True)
    assert len(list(islice(endless, 4))) == 4
    assert open_source(f"{SMALL}&frames=7", loop=True).frames == 7


def test_options_are_read() -> None:
    request = parse_scene("synthetic://?size=64x80&objects=2&frames=9&seed=4&fps=12.5")
    assert request == SceneRequest((64, 80), 2, 9, 4, 12.5)
    assert parse_scene("synthetic://") == SceneRequest()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("?sise=64x64", "no option 'sise'"),
        ("?size=64", "size='64'"),
        ("?size=8x8", "size=8x8"),
        ("?objects=11", "objects=11"),
        ("?objects=0", "objects=0"),
        ("?objects=many", "objects='many'"),
        ("?frames=0", "frames=0"),
        ("?seed=-1", "seed=-1"),
        ("?fps=0", "fps=0"),
        ("?fps=nan", "fps=nan"),
        ("somewhere?seed=1", "'somewhere'"),
    ],
)
def test_wrong_options_are_refused(options: str, message: str) -> None:
    with pytest.raises(SourceError, match=message.replace("?", r"\?")):
        open_source(f"synthetic://{options}")


def test_a_long_occlusion_takes_no_memory_and_has_an_end() -> None:
    schedule = Schedule(0, LONGEST)
    assert schedule.phase(10 + LONGEST - 1) == ("hidden", 1.0, 0)
    assert schedule.phase(10 + LONGEST) == ("leave", 0.1, 0)
    assert schedule.phase(schedule.cycle_frames) == ("approach", 0.1, 1)
    with pytest.raises(SourceError, match="occlude=1000001"):
        open_source(f"synthetic://?occlude={LONGEST + 1}")


def test_objects_are_hidden_again_and_again() -> None:
    frames = CLEAR_FRAMES + 150
    plain, occluded = (
        list(open_source(f"synthetic://?size=64x80&objects=2&frames={frames}{option}"))
        for option in ("", "&occlude=20")
    )
    schedule = Schedule(CLEAR_FRAMES, 20)
    assert schedule.cycle_frames == 90
    hidden = 0
    for one, other in zip(plain, occluded, strict=True):
        assert one.truth is not None
        assert other.truth is not None
        changed = (one.image != other.image).any(axis=2)
        assert not (changed & (other.truth > 0)).any()
        phase = schedule.phase(one.index)[0]
        if phase in ("clear", "regain"):
            assert not changed.any()
        if phase == "hidden":
            hidden += 1
            assert not other.truth.any()
            assert changed[one.truth > 0].mean() > 0.9
    assert hidden == 40
