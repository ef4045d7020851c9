"""When an object counts as lost, and when as back."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edge_vos.runtime.labels import ObjectState
from edge_vos.runtime.objects.appearance import Look
from edge_vos.runtime.objects.presence import (
    BACK_AREA,
    BACK_CONFIDENCE,
    BACK_FRAMES,
    DOUBT_FRAMES,
    GONE_FRAMES,
    SHRED_AREA,
    SHRED_UNLIKE,
    Presence,
)

SEEN = ObjectState(1, 400, (10, 10, 20, 20), 0.9, lost=False)
LOST = ObjectState(1, 0, (0, 0, 0, 0), 0.0, lost=True)


def show(
    presence: Presence,
    state: ObjectState,
    given: bool = False,
    look: NDArray[np.float32] | None = None,
    whole: bool = True,
) -> bool:
    """Let an object be found; return whether its mask stays."""
    mask = np.zeros((60, 80), np.uint8)
    left, top, width, height = state.box_xywh
    mask[top : top + height, left : left + width] = state.id
    mask[0, 0] = 2
    looks = {} if look is None else {state.id: Look(look, whole)}
    (confirmed,) = presence.confirm(mask, [state], looks, [state.id] if given else [])
    assert mask[0, 0] == 2
    assert np.count_nonzero(mask == state.id) == confirmed.area_px
    assert confirmed in (state, LOST)
    return not confirmed.lost


def test_an_object_that_is_missed_for_a_moment_shows_again_at_once() -> None:
    presence = Presence()
    shown = [show(presence, s) for s in (SEEN, *[LOST] * (GONE_FRAMES - 1), SEEN)]
    assert shown == [True, *[False] * (GONE_FRAMES - 1), True]


def test_an_object_that_is_gone_shows_again_after_sightings_in_a_row() -> None:
    presence = Presence()
    for state in (SEEN, *[LOST] * GONE_FRAMES):
        show(presence, state)
    flicker = [SEEN] * (BACK_FRAMES - 1)
    assert not any(show(presence, state) for state in (*flicker, LOST, *flicker))
    assert show(presence, SEEN)
    assert show(presence, replace(SEEN, confidence=0.1))  # it is back: no more questions


def test_a_shred_of_an_object_is_shown_only_if_it_looks_like_a_part_of_it() -> None:
    presence = Presence()
    look = np.ones(4, np.float32)
    show(presence, SEEN, given=True, look=look)
    share = round(SHRED_AREA * SEEN.area_px)
    shred, small = (
        replace(SEEN, area_px=px, box_xywh=(10, 10, px, 1)) for px in (share - 1, share)
    )
    mixed = 2 * np.sqrt(SHRED_UNLIKE) * np.array([1, 0, 0, 0], np.float32)
    assert show(presence, shred, look=look + 0.99 * mixed, whole=False)
    assert not show(presence, shred, look=look + 1.01 * mixed, whole=False)
    assert not show(presence, shred)
    assert show(presence, small, look=look + 1.01 * mixed, whole=False)
    assert show(presence, small)
    assert show(presence, shred, look=look + 1.01 * mixed)


def test_a_speck_a_flood_or_a_guess_is_no_sighting() -> None:
    presence = Presence()
    for state in (SEEN, *[LOST] * GONE_FRAMES):
        show(presence, state)
    small, large = (round(part * SEEN.area_px) for part in BACK_AREA)
    speck = replace(SEEN, area_px=small - 1, box_xywh=(10, 10, small - 1, 1))
    flood = replace(SEEN, area_px=large + 40, box_xywh=(10, 10, 40, large // 40 + 1))
    guess = replace(SEEN, confidence=BACK_CONFIDENCE - 0.01)
    assert not any(show(presence, state) for state in [speck, flood, guess] * BACK_FRAMES)
    enough = replace(SEEN, area_px=small, box_xywh=(10, 10, small, 1), confidence=BACK_CONFIDENCE)
    assert [show(presence, enough) for _ in range(BACK_FRAMES)][-1]


def test_what_was_never_seen_may_have_any_area() -> None:
    presence = Presence()
    for _ in range(GONE_FRAMES):
        show(presence, LOST)
    assert [show(presence, SEEN) for _ in range(BACK_FRAMES)][-1]


def test_what_the_user_shows_is_there_at_once() -> None:
    presence = Presence()
    for state in (SEEN, *[LOST] * GONE_FRAMES):
        show(presence, state)
    assert show(presence, replace(SEEN, area_px=4, box_xywh=(0, 5, 4, 1)), given=True)
    assert show(presence, SEEN)


def test_a_dropped_object_is_forgotten() -> None:
    presence = Presence()
    for state in (SEEN, *[LOST] * GONE_FRAMES):
        show(presence, state)
    presence.confirm(np.zeros((60, 80), np.uint8), [], {})
    assert show(presence, SEEN)


def test_what_looks_like_something_else_is_taken_away_but_not_for_ever() -> None:
    presence = Presence()
    mine, other = np.array([[3, 0], [0, 3]], np.float32)
    assert show(presence, SEEN, given=True, look=mine)
    first, last = DOUBT_FRAMES
    shown = [show(presence, SEEN, look=other) for _ in range(last + BACK_FRAMES)]
    assert shown.index(False) == first - 1
    assert shown.index(True, first) == last + BACK_FRAMES - 2
    assert show(presence, SEEN, look=other)


def test_the_object_is_back_when_it_looks_like_itself() -> None:
    presence = Presence()
    mine, other = np.array([[3, 0], [0, 3]], np.float32)
    show(presence, SEEN, given=True, look=mine)
    for _ in range(2 * GONE_FRAMES):
        show(presence, SEEN, look=other)
    assert [show(presence, SEEN, look=mine) for _ in range(BACK_FRAMES)] == [False, False, True]
