"""Step through a video: prompts and frames in, masks out."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edge_vos.bundle import MemoryPolicy
from edge_vos.errors import PromptError
from edge_vos.runtime.frame_result import FrameResult
from edge_vos.runtime.interactive.prompts import (
    check_mask,
    check_points,
    check_size,
    correct_mask,
    mask_from_box,
    mask_from_point,
)
from edge_vos.runtime.labels import Event, ObjectState, label_frame
from edge_vos.runtime.memory import MemoryBank
from edge_vos.runtime.model import Model
from edge_vos.runtime.objects.appearance import find_looks
from edge_vos.runtime.objects.names import check_name
from edge_vos.runtime.objects.presence import Presence
from edge_vos.runtime.preprocess import NEUTRAL, Letterbox, check_frame
from edge_vos.runtime.sources.frame import Frame
from edge_vos.runtime.timing.stage_timer import StageTimer

__all__ = ["FrameResult", "Segmenter"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Prompt:
    """Hold a prompt until the frame that it is for: the mask is made from that frame."""

    object_ids: frozenset[int]
    make_mask: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]


class Segmenter:
    """Keep a mask of prompted objects through a video, in constant memory.

    Args:
        model: the student, loaded into an engine: what ``open_bundle`` returns, or any graph
            that runs.
        policy: when frames go to memory; ``None`` is the model's.
        confirm: take masks away from what is not the object, or not yet surely: see ``presence``.
    """

    def __init__(
        self, model: Model, policy: MemoryPolicy | None = None, *, confirm: bool = True
    ) -> None:
        self.model = model
        self.graph = model.graph
        self.memory = MemoryBank(model.graph, policy if policy is not None else model.memory)
        self._inputs = {
            **model.graph.blank_inputs(),
            "image": np.full(model.graph.shape("image"), NEUTRAL, np.float32),
            "memory_key": self.memory.key,
            "memory_value": self.memory.value,
            "memory_valid": self.memory.valid,
        }
        self._letterbox: Letterbox | None = None
        self._living: set[int] = set()
        self._lost: frozenset[int] = frozenset()
        self._ever: set[int] = set()
        self._pending: list[_Prompt] = []
        self._presence = Presence() if confirm else None
        self._names: dict[int, str] = {}
        self._given_ids: dict[int, int] = {}
        self._next_names: list[str] = []
        self._frame_index = 0

    @property
    def object_ids(self) -> tuple[int, ...]:
        """Return the ids of all living objects, those just prompted included, ascending."""
        pending = (prompt.object_ids for prompt in self._pending)
        return tuple(sorted(self._living.union(*pending)))

    def prompt(self, mask: NDArray[np.uint8]) -> tuple[int, ...]:
        """Give the masks of objects, new or to be corrected, for the next frame.

        Args:
            mask: (H, W) uint8 label map of the next frame's size; every id in it, from 1 to K - 1,
                is given. Objects that are not in it go on as before.

        Returns:
            the ids in it, ascending.

        Raises:
            PromptError: if it is empty, not a label map, or holds an id of K or more.
        """
        object_ids = check_mask(mask, self.graph.channels)
        given = mask.copy()
        self._add(_Prompt(frozenset(object_ids), lambda _: given))
        return object_ids

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
        given = self._object_id(object_id)
        not_on = check_points(beside)

        def make(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
            mask = mask_from_box(frame, box_xywh)
            if not_on:
                mask = correct_mask(frame, mask, not_on, [0] * len(not_on))
            return mask * given

        self._add(_Prompt(frozenset({given}), make), name)
        return given

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
            object_id: the object; ``None`` is a new one.
            beside: pixels, as (x, y), that are not on the object.
            name: what it is called; ``None`` leaves its name as it is.

        Returns:
            the object's id.

        Raises:
            PromptError: if the id is not one of the model's, all are in use, it cannot be called
                so, or a point is no two whole numbers.
        """
        given = self._object_id(object_id)
        on, off = check_points(xy), check_points(beside)
        points, labels = [*on, *off], [1] * len(on) + [0] * len(off)

        def make(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
            return mask_from_point(frame, points, labels) * given

        self._add(_Prompt(frozenset({given}), make), name)
        return given

    def drop(self, object_id: int) -> None:
        """Forget an object; when it was the last one, memory is emptied.

        Memory forgets it too, so its id can be given out again at once.

        Raises:
            PromptError: if there is no such object.
        """
        self._check_living(object_id)
        self._living.discard(object_id)
        self._lost -= {object_id}
        self._names.pop(object_id, None)
        self._given_ids.pop(object_id, None)
        self._discard_pending(object_id)
        self.memory.forget(object_id)
        if not self._living:
            self.memory.clear()

    def reset(self) -> None:
        """Forget all objects, names, prompts and frames."""
        self.memory.clear()
        self._living.clear()
        self._lost = frozenset()
        self._ever.clear()
        self._pending.clear()
        if self._presence is not None:
            self._presence.clear()
        self._names.clear()
        self._given_ids.clear()
        self._next_names.clear()
        self._frame_index = 0

    def step(self, frame: NDArray[np.uint8] | Frame) -> FrameResult:
        """Find all objects in the next frame.

        A frame or prompt that is refused changes nothing, except that the prompts are gone.

        Args:
            frame: (H, W, 3) uint8, BGR, or a source's frame, which holds such an image; its size
                may differ from the frame's before.

        Raises:
            ShapeError: if it is not a colour frame.
            PromptError: if there is no object yet, or a prompt does not fit the frame.
            EngineError: if the engine fails.
        """
        timer = StageTimer()
        image = frame.image if isinstance(frame, Frame) else frame
        prompts, self._pending = self._pending, []
        letterbox = self._fit(check_frame(image))
        mask, given = _merge(prompts, image)
        living = sorted(self._living | given)
        if not living:
            raise PromptError(
                "There is nothing to follow yet", "a mask, box or point", "Give a prompt first"
            )
        letterbox.image(image, out=self._inputs["image"])
        self._fill(letterbox, mask, given, living)
        timer.end("pre")
        outputs = self.model.runner.run(self._inputs)
        timer.end("infer")
        probability = outputs["probability"][0]
        mask, objects = label_frame(probability, living, letterbox, self._inputs["image"])
        if self._presence is not None:
            looks = find_looks(outputs["key"][0], probability, living)
            objects = self._presence.confirm(mask, objects, looks, given)
        objects = tuple(
            replace(
                state,
                name=self._names.get(state.id, ""),
                given_id=self._given_ids.get(state.id, 0),
                event=self._event(state),
            )
            for state in objects
        )
        self._lost = frozenset(state.id for state in objects if state.lost)
        timer.end("post")
        self._remember(outputs, objects, given)
        timer.end("memory")
        self._living = set(living)
        self._frame_index += 1
        return FrameResult(mask, probability, objects, timer.ms, self._frame_index - 1)

    def _event(self, state: ObjectState) -> Event | None:
        if state.lost == (state.id in self._lost):
            return None
        return "lost" if state.lost else "found"

    def _add(self, prompt: _Prompt, name: str | None = None) -> None:
        called = None if name is None else check_name(name)
        for object_id in sorted(prompt.object_ids):
            if called is not None:
                self._names[object_id] = called
            elif object_id not in self.object_ids:  # nor is it one that a refused prompt named
                self._names[object_id] = self._next_names.pop(0) if self._next_names else ""
            self._discard_pending(object_id)
        self._ever |= prompt.object_ids
        self._pending.append(prompt)

    def _check_living(self, object_id: int) -> None:
        if object_id not in self.object_ids:
            living = ", ".join(map(str, self.object_ids)) or "none"
            raise PromptError(f"There is no object {object_id}", f"a living object: {living}")

    def _discard_pending(self, object_id: int) -> None:
        kept = (replace(p, object_ids=p.object_ids - {object_id}) for p in self._pending)
        self._pending = [prompt for prompt in kept if prompt.object_ids]

    def _object_id(self, object_id: int | None) -> int:
        last = self.graph.channels - 1
        if object_id is None:
            free = [i for i in range(1, last + 1) if i not in self.object_ids]
            if not free:
                raise PromptError(
                    f"All {last} objects are in use", f"at most {last} objects", "Drop one first"
                )
            return min(free, key=lambda i: (i in self._ever, i))
        if not 1 <= object_id <= last:
            raise PromptError(f"The object id {object_id}", f"an id from 1 to {last}")
        return object_id

    def _fit(self, frame_size: tuple[int, int]) -> Letterbox:
        if self._letterbox is None or self._letterbox.frame_size != frame_size:
            self._letterbox = Letterbox.fit(frame_size, self.graph.size)
            self._inputs["image"].fill(NEUTRAL)
        return self._letterbox

    def _fill(
        self, letterbox: Letterbox, mask: NDArray[np.uint8], given: set[int], living: list[int]
    ) -> None:
        for name in ("prompt", "prompted", "active"):
            self._inputs[name].fill(0.0)
        self._inputs["active"][0, [0, *living]] = 1.0
        if given:
            self._inputs["prompt"][:] = letterbox.coverage(mask, self.graph.channels)
            self._inputs["prompted"][0, sorted(given)] = 1.0
            # The background is given only where nothing else can be there: every object is given,
            # and memory has no say.
            if given == set(living) and not self.memory.valid.any():
                self._inputs["prompted"][0, 0] = 1.0

    def _remember(
        self,
        outputs: dict[str, NDArray[np.float32]],
        objects: tuple[ObjectState, ...],
        given: set[int],
    ) -> None:
        written = self.memory.write(
            outputs["key"],
            outputs["value"],
            frame_index=self._frame_index,
            confidence={state.id: state.confidence for state in objects},
            given=given,
        )
        if given and len(written) == 1:
            _log.warning(
                "frame %d is no reference: the memory is full of references that other objects "
                "depend on; drop one of them, or convert with more slots",
                self._frame_index,
            )


def _merge(prompts: list[_Prompt], frame: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], set[int]]:
    """Make one mask of all prompts; a later one lies on top."""
    if not prompts:
        return np.empty((0, 0), np.uint8), set()  # nobody reads it: most frames have no prompt
    merged = np.zeros(frame.shape[:2], np.uint8)
    for prompt in prompts:
        mask = prompt.make_mask(frame)
        check_size(mask, merged.shape)
        for object_id in prompt.object_ids:
            merged[mask == object_id] = object_id
    given = {object_id for prompt in prompts for object_id in prompt.object_ids}
    for object_id in sorted(given):
        if not (merged == object_id).any():
            raise PromptError(
                f"Object {object_id} is covered by the prompts after it",
                "at least one pixel of each object",
                "Give overlapping objects in one mask",
            )
    return merged, given
