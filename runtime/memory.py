"""Keep the memory entries of past frames in a constant number of slots."""

import copy
from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from edge_vos.bundle import MemoryPolicy
from edge_vos.errors import ShapeError
from edge_vos.graph import GraphSpec

REFERENCE, PREVIOUS = 0, 1

FORGET_FRAMES = 30
"""After so many frames in which no object was seen, the previous frame is not remembered: it knows
what came in front of them, and then only that there is nothing, which speaks against finding them.
"""


class MemoryBank:
    """Hold keys and values in arrays that are allocated once and given to the engine as they are.

    Slot 0 is a reference, slot 1 the previous frame, the rest a ring. A frame that the user
    prompted is a reference: it is permanent. It takes slot 0 when that is empty and a ring slot
    otherwise; when there are more than N - 2 references, the oldest that no object depends on
    gives way to it. An object depends on the last reference in which the user gave its mask. Only
    when that leaves no slot at all may it depend on a reference that shows it well without that.
    Where the newest reference is a part of its frame, a slot of the ring holds that whole frame, if
    references leave one: what is lost is searched for in whole frames.

    Attributes:
        key: (N, Ck, h, w) float32.
        value: (N, Cv, h, w) float32.
        valid: (N, 1, 1, 1) float32, 0 for an empty slot.

    Args:
        graph: gives the shapes.
        policy: when a frame goes to the ring.

    Raises:
        ShapeError: if the graph has fewer than two slots.
    """

    def __init__(self, graph: GraphSpec, policy: MemoryPolicy) -> None:
        if graph.slots < 2:
            raise ShapeError(f"A memory of {graph.slots} slots", "at least 2")
        self.policy = policy
        self.key = np.zeros(graph.shape("memory_key"), np.float32)
        self.value = np.zeros(graph.shape("memory_value"), np.float32)
        self.valid = np.zeros(graph.shape("memory_valid"), np.float32)
        self._written: dict[int, int] = {}  # slot -> frame index
        self._home: dict[int, int] = {}  # object id -> slot of the reference it depends on
        self._references: set[int] = set()
        self._wide: int | None = None  # the slot of the newest reference's whole frame
        self._objects = graph.channels
        self._blank: NDArray[np.float32] | None = None  # what memory holds of one that is nowhere
        self._forgotten: set[int] = set()  # to be blanked
        self._last_kept = 0
        self._unseen = 0

    @property
    def slots(self) -> dict[int, int]:
        """Return the frame index of every slot in use."""
        return dict(self._written)

    @property
    def references(self) -> frozenset[int]:
        """Return the permanent slots."""
        return frozenset(self._references)

    @property
    def home(self) -> dict[int, int]:
        """Return the reference's slot that each object depends on, by object id."""
        return dict(self._home)

    def restore(self, saved: "MemoryBank") -> None:
        """Be again as a copy was, in the same arrays.

        Args:
            saved: what ``copy.deepcopy`` made of this one.
        """
        arrays = {"key": self.key, "value": self.value, "valid": self.valid}
        for name, array in arrays.items():
            array[:] = getattr(saved, name)
        vars(self).update({**vars(copy.deepcopy(saved)), **arrays})

    def clear(self) -> None:
        """Empty every slot."""
        self.valid[:] = 0.0
        self._written.clear()
        self._home.clear()
        self._references.clear()
        self._wide = None
        self._forgotten.clear()
        self._unseen = 0

    def forget(self, object_id: int) -> None:
        """Blank an object in every slot, so that its id is as good as one never used.

        Each identity has channels of its own (``edge_vos.model.identity``), which get what the
        engine itself writes for an id that is not in use. Where that was not seen yet, because all
        were in use from the first frame on, it is done at the next frame without the object.

        Args:
            object_id: from 1 to K - 1; it is no longer among the living.
        """
        self._forgotten.add(object_id)
        self._blank_forgotten()

    def write(
        self,
        key: NDArray[np.float32],
        value: NDArray[np.float32],
        *,
        frame_index: int,
        confidence: Mapping[int, float],
        given: Collection[int] = (),
        wide: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None,
    ) -> tuple[int, ...]:
        """Store a frame's entry where it belongs.

        Args:
            key: (1, Ck, h, w) float32, as the graph returned it.
            value: (1, Cv, h, w) float32.
            frame_index: larger than at the call before.
            confidence: for every living object, in [0, 1]; 0 for one that is not seen.
            given: the living objects whose mask the user gave for this frame.
            wide: key and value of the whole frame, where these are a part's in which something
                was given.

        Returns:
            the slots that were written. A reference is not among them when every slot is a
            reference that another object, unseen in this frame, depends on.
        """
        self._home = {i: s for i, s in self._home.items() if i in confidence and i not in given}
        self._learn_blank(value, confidence)
        self._blank_forgotten()
        self._forgotten.difference_update(confidence)  # given anew: too late
        self._unseen = 0 if given or any(confidence.values()) else self._unseen + 1
        slots = [PREVIOUS]
        if self._unseen >= FORGET_FRAMES:
            slots.clear()
            self.valid[PREVIOUS] = 0.0
            self._written.pop(PREVIOUS, None)
        if given:
            self._wide = None
            kept = self._reference_slot(confidence, bool(wide))
        else:
            kept = self._ring_slot(frame_index, confidence)
        if kept is not None:
            slots.append(kept)
            self._last_kept = frame_index
            if given:
                self._references.add(kept)
                self._home.update(dict.fromkeys(given, kept))
        for slot in slots:
            self._put(slot, key, value, frame_index)
        if wide is not None and (ring := self._ring()):
            self._wide = ring[0]
            self._put(self._wide, *wide, frame_index)
        return tuple(slots)

    def _put(
        self, slot: int, key: NDArray[np.float32], value: NDArray[np.float32], frame_index: int
    ) -> None:
        self.key[slot] = key[0]
        self.value[slot] = value[0]
        self.valid[slot] = 1.0
        self._written[slot] = frame_index

    def _channels(self, object_id: int) -> slice:
        own = self.value.shape[1] // self._objects
        return slice(object_id * own, (object_id + 1) * own)

    def _learn_blank(self, value: NDArray[np.float32], living: Collection[int]) -> None:
        if self._blank is None and self.value.shape[1] % self._objects == 0:
            unused = next((i for i in range(1, self._objects) if i not in living), None)
            if unused is not None:
                self._blank = value[0, self._channels(unused)].copy()

    def _blank_forgotten(self) -> None:
        if self._blank is None:
            return
        for object_id in self._forgotten:
            self.value[:, self._channels(object_id)] = self._blank
        self._forgotten.clear()

    def _ring(self) -> list[int]:
        """Return the ring's slots that hold no reference, empty ones first, then oldest first."""
        taken = self._references | {self._wide}
        ring = (slot for slot in range(2, len(self.valid)) if slot not in taken)
        return sorted(ring, key=lambda slot: self._written.get(slot, -1))

    def _ring_slot(self, frame_index: int, confidence: Mapping[int, float]) -> int | None:
        due = frame_index - self._last_kept >= self.policy.mem_every
        seen = [value for value in confidence.values() if value > 0.0]
        confident = bool(seen) and min(seen) >= self.policy.write_confidence
        ring = self._ring()
        return ring[0] if due and confident and ring else None

    def _reference_slot(self, confidence: Mapping[int, float], is_part: bool) -> int | None:
        if REFERENCE not in self._references:
            return REFERENCE
        oldest_first = sorted(self._references, key=self._written.__getitem__)
        needed = set(self._home.values())
        ring = self._ring()
        if len(oldest_first) >= max(1, len(self.valid) - 2 - is_part):
            for slot in oldest_first:
                if slot not in needed:
                    return slot
        if ring:
            return ring[0]
        # Every slot is a reference that is needed. The new one shows other objects too: those that
        # it shows well can depend on it instead, and their slot is the one it takes.
        for slot in oldest_first:
            moving = [object_id for object_id, home in self._home.items() if home == slot]
            if all(confidence[i] >= self.policy.write_confidence for i in moving):
                return slot
        return None
