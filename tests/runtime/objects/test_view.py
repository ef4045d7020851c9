"""A part of a frame."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_vos.runtime.objects.view import View, joined


@given(
    st.tuples(st.floats(-500, 1500), st.floats(-500, 1500)),
    st.tuples(st.floats(1, 2000), st.floats(1, 2000)),
    st.tuples(st.integers(1, 800), st.integers(1, 800)),
)
def test_a_view_lies_in_its_frame(
    centre: tuple[float, float], size: tuple[float, float], frame_size: tuple[int, int]
) -> None:
    view = View.at(centre, size, frame_size)
    assert 0 <= view.top <= view.bottom <= frame_size[0]
    assert 0 <= view.left <= view.right <= frame_size[1]
    assert view.size == tuple(
        min(round(side), limit) for side, limit in zip(size, frame_size, strict=True)
    )


def test_a_view_is_centred_where_there_is_room() -> None:
    assert View.at((50, 30), (20, 40), (100, 200)) == View(20, 40, 30, 70)
    assert View.at((5, 99), (20, 40), (100, 200)) == View(80, 100, 0, 40)


def test_a_part_is_put_back_where_it_was_taken() -> None:
    frame = np.arange(12, dtype=np.uint8).reshape(3, 4)
    view = View(1, 3, 2, 4)
    placed = view.placed(view.of(frame).copy(), (3, 4))
    np.testing.assert_array_equal(placed, [[0, 0, 0, 0], [0, 0, 6, 7], [0, 0, 10, 11]])
    assert View.whole((3, 4)).placed(frame, (3, 4)) is frame


@pytest.mark.parametrize(
    ("box", "is_cut"),
    [
        ((30, 20, 10, 10), False),
        ((20, 20, 10, 10), True),
        ((30, 10, 10, 10), True),
        ((30, 20, 30, 10), True),
        ((30, 20, 10, 20), True),
    ],
)
def test_a_view_knows_which_boxes_it_cuts(box: tuple[int, int, int, int], *, is_cut: bool) -> None:
    assert View(10, 40, 20, 60).cuts(box, (100, 200)) == is_cut
    assert not View(0, 40, 0, 60).cuts(box, (40, 60))  # the frame ends there


def test_boxes_are_joined() -> None:
    assert joined([(5, 6, 10, 2), (1, 8, 3, 30)]) == (1, 6, 14, 32)
