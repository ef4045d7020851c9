from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from edge_vos.bundle import (
    MemoryPolicy,
)
from edge_vos.errors import ShapeError
from edge_vos.graph import GraphSpec
from edge_vos.runtime.memory import FORGET_FRAMES, PREVIOUS, REFERENCE, MemoryBank

POLICY = MemoryPolicy(mem_every=3, write_confidence=0.6)
GRAPH = GraphSpec((32, 32), 11, 4, key_channels=1, value_channels=2)


def _bank(slots: int = 4) -> MemoryBank:
    return MemoryBank(replace(GRAPH, slots=slots), POLICY)


def _write(
    bank: MemoryBank,
    frame_index: int,
    confidence: dict[int, float],
    given: tuple[int, ...] = (),
    *,
    is_part: bool = False,
) -> tuple[int, ...]:
    """Write an entry whose content is the frame's index, and half of that for the whole frame."""
    key = np.full(GRAPH.shape("key"), frame_index, np.float32)
    value = np.full(GRAPH.shape("value"), -frame_index, np.float32)
    wide = (key / 2, value / 2) if is_part else None
    return bank.write(
        key, value, frame_index=frame_index, confidence=confidence, given=given, wide=wide
    )


def _valid(bank: MemoryBank) -> list[int]:
    return [int(slot) for slot in np.flatnonzero(bank.valid)]


def test_the_first_reference_is_also_the_previous_frame() -> None:
    bank = _bank()
    assert _valid(bank) == []
    assert _write(bank, 7, {1: 1.0}, given=(1,)) == (PREVIOUS, REFERENCE)
    assert bank.slots == {REFERENCE: 7, PREVIOUS: 7}
    assert _valid(bank) == [0, 1]


def test_the_ring_is_written_every_few_frames_and_the_oldest_gives_way() -> None:
    bank = _bank()
    _write(bank, 0, {1: 1.0}, given=(1,))
    for frame_index in range(1, 11):
        _write(bank, frame_index, {1: 0.9})
    assert bank.slots == {REFERENCE: 0, PREVIOUS: 10, 2: 9, 3: 6}


def test_the_whole_frame_of_the_newest_reference_stays() -> None:
    bank = _bank()
    _write(bank, 2, {1: 1.0}, given=(1,), is_part=True)
    assert bank.key[:3, 0, 0, 0].tolist() == [2, 2, 1]
    assert bank.references == {REFERENCE}
    for frame_index in range(3, 20):
        _write(bank, frame_index, {1: 0.9})
    assert bank.slots == {REFERENCE: 2, PREVIOUS: 19, 2: 2, 3: 17}
    _write(bank, 20, {1: 1.0}, given=(1,), is_part=True)  # a correction: the older one gives way
    assert bank.slots == {REFERENCE: 20, PREVIOUS: 20, 2: 20, 3: 17}
    assert (bank.key[2] == 10).all()
    _write(bank, 22, {1: 1.0}, given=(1,))  # the whole frame itself
    for frame_index in range(23, 40):
        _write(bank, frame_index, {1: 0.9})
    assert bank.references == {REFERENCE, 3}
    assert bank.slots[2] > 22


def test_references_come_before_whole_frames() -> None:
    bank = _bank()
    for index in range(1, 4):
        _write(bank, index, dict.fromkeys(range(1, index + 1), 1.0), given=(index,), is_part=True)
    assert len(bank.references) == 3
    assert sorted(bank.slots.values()) == [1, 2, 3, 3]  # the last one is the previous frame, too
    assert not (bank.key == 1.5).any()


def test_the_previous_frame_is_forgotten_once_nothing_was_seen_for_long() -> None:
    bank = _bank()
    _write(bank, 0, {1: 1.0, 2: 1.0}, given=(1, 2))
    for frame_index in range(1, FORGET_FRAMES):
        assert _write(bank, frame_index, {1: 0.0, 2: 0.0}) == (PREVIOUS,)
    assert _write(bank, FORGET_FRAMES, {1: 0.0, 2: 0.0}) == ()
    assert bank.slots == {REFERENCE: 0}
    assert _valid(bank) == [REFERENCE]
    assert PREVIOUS in _write(bank, FORGET_FRAMES + 1, {1: 0.0, 2: 0.9})
    assert bank.slots[PREVIOUS] == FORGET_FRAMES + 1


def test_arrays_hold_what_the_slots_say_and_are_written_in_place() -> None:
    bank = _bank()
    arrays = [bank.key, bank.value, bank.valid]
    _write(bank, 0, {1: 1.0}, given=(1,))
    for frame_index in range(1, 9):
        _write(bank, frame_index, {1: 0.9})
        for slot, written in bank.slots.items():
            assert (bank.key[slot] == written).all()
            assert (bank.value[slot] == -written).all()
    assert arrays[0] is bank.key
    assert arrays[1] is bank.value
    assert arrays[2] is bank.valid


@pytest.mark.parametrize(
    ("confidence", "written"),
    [
        ({1: 0.6}, True),
        ({1: 0.59}, False),
        ({1: 0.9, 2: 0.5}, False),
        ({1: 0.9, 2: 0.0}, True),  # an object out of sight keeps nobody else from being stored
        ({1: 0.0}, False),
    ],
)
def test_the_ring_takes_only_confident_frames(confidence: dict[int, float], written: bool) -> None:
    bank = _bank()
    _write(bank, 0, dict.fromkeys(confidence, 1.0), given=tuple(confidence))
    assert (_write(bank, 3, confidence) == (PREVIOUS, 2)) == written
    assert bank.slots[PREVIOUS] == 3


def test_a_frame_that_was_not_confident_is_made_up_for_as_soon_as_one_is() -> None:
    bank = _bank()
    _write(bank, 0, {1: 1.0}, given=(1,))
    for frame_index, confidence in enumerate((0.9, 0.9, 0.1, 0.1, 0.9, 0.9), start=1):
        _write(bank, frame_index, {1: confidence})
    assert bank.slots[2] == 5
    assert 3 not in bank.slots


def test_a_correction_is_permanent_and_the_third_reference_replaces_the_first() -> None:
    bank = _bank()
    for frame_index in (0, 10, 20):
        _write(bank, frame_index, {1: 1.0}, given=(1,))
    assert bank.references == {0, 2}
    assert {slot: bank.slots[slot] for slot in (0, 2)} == {0: 20, 2: 10}


def test_the_first_reference_stays_while_an_object_depends_on_it() -> None:
    bank = _bank()
    _write(bank, 0, {1: 1.0}, given=(1,))
    for frame_index in (10, 20, 30):
        _write(bank, frame_index, {1: 0.9, 2: 1.0}, given=(2,))
    assert bank.slots[REFERENCE] == 0
    assert bank.home == {1: REFERENCE, 2: 2}
    assert bank.slots[2] == 30
    _write(bank, 40, {2: 1.0}, given=(2,))  # object 1 was dropped
    assert bank.slots[REFERENCE] == 40


def test_objects_given_in_different_frames_take_up_the_ring() -> None:
    bank = _bank()
    for object_id in (1, 2, 3):
        _write(bank, 10 * object_id, dict.fromkeys(range(1, object_id + 1), 0.9), (object_id,))
    assert bank.references == {0, 2, 3}
    assert _write(bank, 50, dict.fromkeys((1, 2, 3), 0.9)) == (PREVIOUS,)


def test_when_no_slot_is_left_objects_that_are_seen_move_to_the_new_reference() -> None:
    bank = _bank()
    for object_id in (1, 2, 3):
        _write(bank, 10 * object_id, dict.fromkeys(range(1, object_id + 1), 0.9), (object_id,))
    assert _write(bank, 40, {1: 0.0, 2: 0.9, 3: 0.9, 4: 1.0}, given=(4,)) == (PREVIOUS, 2)
    assert bank.home == {1: 0, 2: 2, 3: 3, 4: 2}
    assert _write(bank, 50, {1: 0.0, 2: 0.0, 3: 0.0, 4: 0.0, 5: 1.0}, given=(5,)) == (PREVIOUS,)
    assert bank.home == {1: 0, 2: 2, 3: 3, 4: 2}


@pytest.mark.parametrize("slots", [2, 3])
def test_a_small_memory_keeps_the_newest_correction(slots: int) -> None:
    bank = _bank(slots)
    for frame_index in range(8):
        _write(bank, frame_index, {1: 1.0}, given=(1,) if frame_index in (0, 4) else ())
    assert bank.slots[REFERENCE] == 4


def test_clearing_empties_every_slot() -> None:
    bank = _bank()
    _write(bank, 5, {1: 1.0}, given=(1,))
    bank.clear()
    assert (_valid(bank), bank.slots, bank.references, bank.home) == ([], {}, frozenset(), {})
    assert _write(bank, 6, {2: 1.0}, given=(2,)) == (PREVIOUS, REFERENCE)


def test_a_memory_of_one_slot_is_refused() -> None:
    with pytest.raises(ShapeError, match="at least 2"):
        _bank(1)


class AnyVideo(RuleBasedStateMachine):
    """Prompt, step, lose and drop objects in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.bank = _bank()
        self.living: set[int] = set()
        self.frame_index = 0

    @rule(given=st.sets(st.integers(1, 10), min_size=1, max_size=3), data=st.data())
    def prompt(self, given: set[int], data: st.DataObject) -> None:
        self._step(given, data)

    @rule(data=st.data())
    def step(self, data: st.DataObject) -> None:
        if self.living:
            self._step(set(), data)

    @rule(data=st.data())
    def drop(self, data: st.DataObject) -> None:
        if len(self.living) > 1:
            self.living.discard(data.draw(st.sampled_from(sorted(self.living))))

    def _step(self, given: set[int], data: st.DataObject) -> None:
        self.living |= given
        levels = st.sampled_from([0.0, 0.3, 0.6, 0.95])
        confidence = {i: 1.0 if i in given else data.draw(levels) for i in sorted(self.living)}
        before, home = self.bank.slots, self.bank.home
        references = self.bank.references
        self.frame_index += data.draw(st.integers(1, 4))
        written = _write(self.bank, self.frame_index, confidence, tuple(given))
        assert written[0] == PREVIOUS
        assert len(written) <= 2
        for slot in written[1:]:
            depended = [i for i, s in home.items() if s == slot and i in self.living - given]
            if given and depended:  # nothing else was left, and the new frame shows them well
                assert references == {0, 2, 3}
                assert all(confidence[i] >= POLICY.write_confidence for i in depended)
            if not given:
                assert slot not in references | {REFERENCE}
                assert min(c for c in confidence.values() if c) >= POLICY.write_confidence
                assert before.get(slot, -1) == min(before.get(s, -1) for s in {2, 3} - references)

    @invariant()
    def every_slot_is_what_it_says(self) -> None:
        bank = self.bank
        assert set(bank.slots) == set(_valid(bank)) <= {0, 1, 2, 3}
        assert bank.references <= {0, 2, 3}
        assert set(bank.home.values()) <= bank.references
        for slot, frame_index in bank.slots.items():
            assert (bank.key[slot] == frame_index).all()
        if self.frame_index:
            assert bank.slots[PREVIOUS] == self.frame_index
            assert REFERENCE in bank.references


TestAnyVideo = AnyVideo.TestCase
TestAnyVideo.settings = settings(stateful_step_count=20)


@given(st.lists(st.sampled_from([0.1, 0.9]), max_size=40))
def test_ring_entries_are_at_least_mem_every_apart(confidences: list[float]) -> None:
    bank = _bank()
    _write(bank, 0, {1: 1.0}, given=(1,))
    kept = [0]
    for frame_index, confidence in enumerate(confidences, start=1):
        if len(_write(bank, frame_index, {1: confidence})) == 2:
            kept.append(frame_index)
    assert all(later - earlier >= POLICY.mem_every for earlier, later in pairwise(kept))
