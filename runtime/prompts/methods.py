"""How a segmenter is shown objects: prompts for the next frame, names, and undo."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edge_vos.errors import PromptError
from edge_vos.runtime.objects.names import check_name
from edge_vos.runtime.prompts.checks import (
    check_mask,
    check_points,
    no_free_object,
    points_beside_only,
)
from edge_vos.runtime.prompts.pending import Pending
from edge_vos.runtime.prompts.prompt import Point, Prompt, prompts_of_mask

_MOST_UNDO = 10  # each may hold a copy of memory


@dataclass(frozen=True)
class _Before:
    """Hold what a prompt changed, as it was before, and what undoes the step that it was in."""

    pending: Pending
    names: dict[int, str]
    given_ids: dict[int, int]
    next_names: list[str]
    ever: set[int]
    restore: Callable[[], None] | None = None


class PromptMethods:
    """Take what a user shows; ``Segmenter`` is one and steps through frames.

    Args:
        channels: K, the background and the objects.
    """

    def __init__(self, channels: int) -> None:
        self._channels = channels
        self._living: set[int] = set()
        self._ever: set[int] = set()
        self._pending = Pending()
        self._undo: list[_Before] = []
        self._names: dict[int, str] = {}
        self._given_ids: dict[int, int] = {}
        self._next_names: list[str] = []

    @property
    def object_ids(self) -> tuple[int, ...]:
        """Return the ids of all living objects, those just prompted included, ascending."""
        return tuple(sorted(self._living.union(self._pending.prompts)))

    def prompt(self, given: NDArray[np.uint8] | Prompt) -> tuple[int, ...]:
        """Show objects, new or to be corrected, for the next frame.

        Args:
            given: a prompt of one object; or (H, W) uint8, a label map of the next frame's size,
                of which every id, from 1 to K - 1, is given. Other objects go on as before.

        Returns:
            the ids that it is for, ascending.

        Raises:
            PromptError: if it is empty, not a label map, holds an id of K or more, all ids are in
                use, or it contradicts what was shown of the object in that frame.
        """
        if isinstance(given, Prompt):
            return (self._show([given])[0],)
        check_mask(given, self._channels)
        return self._show(prompts_of_mask(given))

    def correct(
        self, object_id: int, points: Sequence[Point], labels: Sequence[int] | None = None
    ) -> None:
        """Give points that refine the mask which an object has in the next frame.

        To correct the frame that was just stepped, step it again. All points that an object was
        given in one frame count.

        Args:
            object_id: a living object, or one that was just prompted.
            points: pixels of the next frame, as (x, y).
            labels: 1 for each point on the object, 0 for each beside it; ``None`` is all on it.

        Raises:
            PromptError: if there is no such object, or a point or label is wrong.
        """
        self._check_living(object_id)
        self._show([Prompt(object_id, points=_pixels(points), labels=_signs(labels))])

    def undo(self) -> None:
        """Take the last prompt back.

        One that was not stepped yet is forgotten. One of the frame that was just stepped is
        taken out of memory too: step that frame again, and it is as if it was never given.

        Raises:
            PromptError: if nothing was prompted since the frame before.
        """
        if not self._undo:
            raise PromptError(
                "There is nothing to undo",
                "a prompt for the next frame, or in the last one",
                "Drop the object, or prompt it anew",
            )
        before = self._undo.pop()
        self._pending = before.pending
        self._names, self._given_ids = dict(before.names), dict(before.given_ids)
        self._next_names, self._ever = list(before.next_names), set(before.ever)
        if before.restore is not None:
            before.restore()

    def name(self, object_id: int, name: str) -> None:
        """Say what an object is called in results from now on, until it is dropped.

        Args:
            object_id: a living object, or one that was just prompted.
            name: one line of at most 40 characters; empty takes its name away.

        Raises:
            PromptError: if there is no such object, or it cannot be called so.
        """
        self._check_living(object_id)
        self._names[object_id] = check_name(name)

    def number(self, object_id: int, given_id: int) -> None:
        """Say what id the user knows an object by, which outputs show instead of its own.

        A model has few ids. Whoever has larger ones maps them to these, and says so here.

        Args:
            object_id: a living object, or one that was just prompted.
            given_id: from 1; no other living object's.

        Raises:
            PromptError: if there is no such object, or another one has that id.
        """
        self._check_living(object_id)
        taken = {self._given_ids.get(i, i): i for i in self.object_ids if i != object_id}
        if given_id < 1 or given_id in taken:
            raise PromptError(f"The id {given_id} for object {object_id}", "an id of its own")
        self._given_ids[object_id] = given_id

    def name_next(self, names: Sequence[str]) -> None:
        """Say what the next new objects are called, in turn, unless their prompt names them.

        Args:
            names: each as in :meth:`name`; they replace those that are left from before.

        Raises:
            PromptError: if an object cannot be called so.
        """
        self._next_names = [check_name(name) for name in names]

    def prompt_box(
        self,
        box_xywh: tuple[int, int, int, int],
        object_id: int | None = None,
        beside: Sequence[tuple[int, int]] = (),
        name: str | None = None,
    ) -> int:
        """Give a box around an object; its mask is found in the next frame.

        Args:
            box_xywh: left, top, width and height in the next frame.
            object_id: the object; ``None`` is a new one.
            beside: pixels, as (x, y), that are not on the object.
            name: what it is called; ``None`` leaves its name as it is.

        Returns:
            the object's id.

        Raises:
            PromptError: if the id is not one of the model's, all are in use, it cannot be called
                so, or a point is no two whole numbers.
        """
        points = _pixels(beside)
        prompt = Prompt(object_id, None, (box_xywh,), points, (0,) * len(points), name)
        return self._show([prompt])[0]

    def prompt_point(
        self,
        xy: tuple[int, int] | Sequence[tuple[int, int]],
        object_id: int | None = None,
        beside: Sequence[tuple[int, int]] = (),
        name: str | None = None,
    ) -> int:
        """Give one point or several on an object; its mask is found in the next frame.

        Args:
            xy: a pixel of the next frame, or several of one object.
            object_id: as of :meth:`prompt_box`, like ``beside`` and ``name``.
            beside: see there.
            name: see there.

        Returns:
            the object's id.

        Raises:
            PromptError: for the same reasons.
        """
        on, off = _pixels(xy), _pixels(beside)
        return self.prompt_points((*on, *off), [1] * len(on) + [0] * len(off), object_id, name)

    def prompt_points(
        self,
        points: Sequence[Point],
        labels: Sequence[int] | None = None,
        object_id: int | None = None,
        name: str | None = None,
    ) -> int:
        """Give points on an object and beside it; its mask is found in the next frame.

        The points of a living object refine the mask that it has, as ``correct`` does.

        Args:
            points: pixels of the next frame, as (x, y).
            labels: 1 for each point on the object, 0 for each beside it; ``None`` is all on it.
            object_id: the object; ``None`` is a new one.
            name: what it is called; ``None`` leaves its name as it is.

        Returns:
            the object's id.

        Raises:
            PromptError: if the id is not one of the model's, all are in use, it cannot be called
                so, or a point or label is wrong.
        """
        prompt = Prompt(object_id, None, (), _pixels(points), _signs(labels), name)
        return self._show([prompt])[0]

    def _take_prompts(self) -> tuple[Pending, list[_Before]]:
        """Return the prompts for a frame, which are gone whether it is refused or not."""
        taken = self._pending, self._undo
        self._pending, self._undo = Pending(), []
        return taken

    def _keep_prompts(
        self, undo: list[_Before], pending: Pending, restore: Callable[[], None]
    ) -> None:
        """Keep what the prompts of a frame changed, until another one is stepped."""
        self._undo = [one if one.restore else replace(one, restore=restore) for one in undo]
        self._pending = pending

    def _forget_prompts(self, object_id: int) -> None:
        self._names.pop(object_id, None)
        self._given_ids.pop(object_id, None)
        self._pending = self._pending.without(object_id)
        self._undo.clear()

    def _forget_all_prompts(self) -> None:
        self._ever.clear()
        self._pending = Pending()
        self._undo.clear()
        self._names.clear()
        self._given_ids.clear()
        self._next_names.clear()

    def _show(self, prompts: Sequence[Prompt]) -> tuple[int, ...]:
        """Add prompts for the next frame, all of them or none."""
        before = _Before(
            self._pending, dict(self._names), dict(self._given_ids), list(self._next_names),
            set(self._ever),
        )  # fmt: skip
        pending, object_ids = self._pending, []
        for prompt in prompts:
            object_id = self._object_id(prompt.object_id)
            if prompt.is_points and 1 not in prompt.signs and object_id not in self.object_ids:
                raise points_beside_only()
            pending = pending.add(object_id, prompt)
            object_ids.append(object_id)
        for object_id, prompt in zip(object_ids, prompts, strict=True):
            if prompt.name is not None:
                self._names[object_id] = prompt.name
            elif object_id not in self.object_ids:  # nor is it one that a refused prompt named
                self._names[object_id] = self._next_names.pop(0) if self._next_names else ""
        self._pending = pending
        self._ever.update(object_ids)
        self._undo = [*self._undo[1 - _MOST_UNDO :], before]
        return tuple(object_ids)

    def _check_living(self, object_id: int) -> None:
        if object_id not in self.object_ids:
            living = ", ".join(map(str, self.object_ids)) or "none"
            raise PromptError(
                f"There is no object {object_id}", f"a living object: {living}", "Prompt it first"
            )

    def _object_id(self, object_id: int | None) -> int:
        last = self._channels - 1
        if object_id is None:
            free = [i for i in range(1, last + 1) if i not in self.object_ids]
            if not free:
                raise no_free_object(last)
            return min(free, key=lambda i: (i in self._ever, i))
        if not 1 <= object_id <= last:
            raise PromptError(
                f"The object id {object_id}", f"an id from 1 to {last}", "Choose another id"
            )
        return object_id


def _pixels(points: Point | Sequence[Point]) -> tuple[Point, ...]:
    return tuple(check_points(points)) if len(points) else ()


def _signs(labels: Sequence[int] | None) -> tuple[int, ...] | None:
    return None if labels is None else tuple(labels)
