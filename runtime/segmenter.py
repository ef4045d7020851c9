"""Step through a video: prompts and frames in, masks out."""

import copy
import logging
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edge_vos.bundle import MemoryPolicy
from edge_vos.errors import PromptError
from edge_vos.runtime.frame_result import FrameResult
from edge_vos.runtime.labels import Event, ObjectState, in_frame, label_frame, states_in
from edge_vos.runtime.memory import MemoryBank
from edge_vos.runtime.model import Model
from edge_vos.runtime.objects.appearance import find_looks
from edge_vos.runtime.objects.presence import Presence
from edge_vos.runtime.objects.target_model import TargetModel, take_away
from edge_vos.runtime.objects.view import View, box_around
from edge_vos.runtime.objects.zoom import Zoom
from edge_vos.runtime.outlines.learning import learn_outlines, make_frames
from edge_vos.runtime.outlines.mending import mend
from edge_vos.runtime.outlines.outline import Outline
from edge_vos.runtime.outlines.seen import Seen
from edge_vos.runtime.preprocess import NEUTRAL, Letterbox, check_frame
from edge_vos.runtime.prompts.find_object import ObjectFinder
from edge_vos.runtime.prompts.methods import PromptMethods
from edge_vos.runtime.prompts.pending import Pending
from edge_vos.runtime.sources.frame import Frame
from edge_vos.runtime.timing.stage_timer import StageTimer

__all__ = ["FrameResult", "Segmenter"]

_log = logging.getLogger(__name__)

_NOTHING = np.empty((0, 0), np.uint8)
"""Stands where a mask is not read: most frames have no prompt."""


class Segmenter(PromptMethods):
    """Keep a mask of prompted objects through a video, in constant memory.

    How objects are shown stands in ``PromptMethods``.

    Args:
        model: the student, loaded into an engine: what ``open_bundle`` returns, or any graph
            that runs.
        policy: when frames go to memory; ``None`` is the model's.
        confirm: take masks away from what is not the object, or not yet surely: see
            ``edge_vos.runtime.objects.target_model`` and ``presence``.
        zoom: look at the part of the frame where the objects are, not always at all of it: see
            ``edge_vos.runtime.objects.zoom``.
        learn_outlines: learn from each mask that shows objects how the network's outlines have to
            be moved: some seconds in that frame, some milliseconds in each one after it. See
            ``edge_vos.runtime.outlines``.
    """

    def __init__(
        self,
        model: Model,
        policy: MemoryPolicy | None = None,
        *,
        confirm: bool = True,
        zoom: bool = True,
        learn_outlines: bool = False,
    ) -> None:
        super().__init__(model.graph.channels)
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
        self._lost: frozenset[int] = frozenset()
        self.finder = ObjectFinder(lambda: model.prompt_head)
        self._presence = Presence() if confirm else None
        self._zoom = Zoom(model.graph.size) if zoom else None
        self._targets = TargetModel() if confirm else None
        self._learns_outlines = learn_outlines
        self._outlines: dict[int, Outline] = {}
        self._frame_index = 0

    def drop(self, object_id: int) -> None:
        """Forget an object; when it was the last one, memory is emptied.

        Memory forgets it too, so its id can be given out again at once.

        Raises:
            PromptError: if there is no such object.
        """
        self._check_living(object_id)
        self._living.discard(object_id)
        self._lost -= {object_id}
        self._forget_prompts(object_id)
        self.memory.forget(object_id)
        self._outlines.pop(object_id, None)
        if self._targets is not None:
            self._targets.forget(object_id)
        if not self._living:
            self.memory.clear()

    def reset(self) -> None:
        """Forget all objects, names, prompts and frames."""
        self.memory.clear()
        self._living.clear()
        self._lost = frozenset()
        self._forget_all_prompts()
        if self._presence is not None:
            self._presence.clear()
        if self._targets is not None:
            self._targets.clear()
        if self._zoom is not None:
            self._zoom.clear()
        self._outlines.clear()
        self._frame_index = 0

    def step(self, frame: NDArray[np.uint8] | Frame, view: View | None = None) -> FrameResult:
        """Find all objects in the next frame.

        A frame or prompt that is refused changes nothing, except that the prompts are gone.

        Args:
            frame: (H, W, 3) uint8, BGR, or a source's frame, which holds such an image; its size
                may differ from the frame's before.
            view: the part of the frame to look at; ``None`` chooses it.

        Raises:
            ShapeError: if it is not a colour frame.
            PromptError: if there is no object yet, or a prompt does not fit the frame.
            EngineError: if the engine fails.
        """
        timer = StageTimer()
        image = frame.image if isinstance(frame, Frame) else frame
        pending, undo = self._take_prompts()
        frame_size = check_frame(image)
        given = set(pending.prompts)
        shown = self._draw(pending, image)
        restore = self._snapshot() if given else None
        living = sorted(self._living | given)
        if not living:
            raise PromptError(
                "There is nothing to follow yet", "a mask, box or point", "Give a prompt first"
            )
        view = view or self._view(frame_size, shown, given)
        timer.end("pre")
        if wide := self._look_wide(image, view, shown, given, living):
            timer.end("infer")
        letterbox = self._letter(image, view)
        self._fill(letterbox, view.of(shown), given, living)
        timer.end("pre")
        outputs = self.model.runner.run(self._inputs)
        timer.end("infer")
        self._correct(outputs, wide, given, living)
        probability = outputs["probability"][0]
        mask, objects = label_frame(probability, living, letterbox, self._inputs["image"])
        mask = view.placed(mask, frame_size)
        objects = tuple(in_frame(state, view) for state in objects)
        if self._presence is not None:
            looks = find_looks(outputs["key"][0], probability, living)
            wide_looks = (
                find_looks(wide["key"][0], wide["probability"][0], living) if wide else None
            )
            objects = self._presence.confirm(mask, objects, looks, given, wide_looks)
        if self._zoom is not None:
            self._zoom.update(view, objects, frame_size, shown=bool(given))
        if outlines := {i: one for i, one in self._outlines.items() if i not in given}:
            seen = Seen(view, letterbox, probability, outputs["key"][0], view.of(mask))
            mask = view.placed(mend(view.of(image), seen, outlines), frame_size)
            objects = states_in(mask, objects)
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
        if restore is not None:
            self._keep_prompts(undo, pending.after(image, mask), restore)
        self._remember(outputs, objects, given, wide)
        timer.end("memory")
        self._living = set(living)
        self._frame_index += 1
        if exact := self._exact(pending):
            self._learn(image, shown, exact)
            timer.end("post")
        key = outputs["key"][0]
        return FrameResult(mask, probability, objects, timer.ms, self._frame_index - 1, view, key)

    def look(self, image: NDArray[np.uint8], view: View) -> Seen:
        """Find the living objects in a part of a picture, and remember nothing of it.

        Args:
            image: (H, W, 3) uint8, BGR.
            view: the part to look at.

        Raises:
            EngineError: if the engine fails.
        """
        living = sorted(self._living)
        letterbox = self._letter(image, view)
        self._fill(letterbox, _NOTHING, set(), living)
        outputs = self.model.runner.run(self._inputs)
        self._correct(outputs, None, set(), living)
        probability = outputs["probability"][0]
        mask, _ = label_frame(probability, living, letterbox, self._inputs["image"])
        return Seen(view, letterbox, probability, outputs["key"][0], mask)

    def _correct(
        self,
        outputs: dict[str, NDArray[np.float32]],
        wide: dict[str, NDArray[np.float32]] | None,
        given: set[int],
        living: list[int],
    ) -> None:
        """Take cells away from objects that look like what was beside them when they were shown."""
        if self._targets is None:
            return
        if given:
            looks = [look for look in (outputs, wide) if look is not None]
            self._targets.learn([(x["key"][0], x["probability"][0]) for x in looks], given)
        others = [object_id for object_id in living if object_id not in given]
        doubted = self._targets.doubted(outputs["key"][0], outputs["probability"][0], others)
        if doubted:
            take_away(outputs, doubted)

    def _event(self, state: ObjectState) -> Event | None:
        if state.lost == (state.id in self._lost):
            return None
        return "lost" if state.lost else "found"

    def _snapshot(self) -> Callable[[], None]:
        """Return what makes everything as it is now, for undo."""
        memory, presence = copy.deepcopy(self.memory), copy.deepcopy(self._presence)
        zoom, targets = copy.deepcopy(self._zoom), copy.deepcopy(self._targets)
        outlines = dict(self._outlines)
        living, lost, frame_index = set(self._living), self._lost, self._frame_index

        def restore() -> None:
            self.memory.restore(memory)
            self._presence = copy.deepcopy(presence)
            self._zoom, self._targets = copy.deepcopy(zoom), copy.deepcopy(targets)
            self._living, self._lost, self._frame_index = set(living), lost, frame_index
            self._outlines = dict(outlines)

        return restore

    def _draw(self, pending: Pending, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Make the label map of all prompts."""

        def find_current() -> NDArray[np.uint8]:
            view = self._view(image.shape[:2], _NOTHING, set())
            return view.placed(self.look(image, view).mask, image.shape[:2])

        if not pending.prompts:
            return _NOTHING
        return pending.draw(image, self.finder, self._living, find_current)

    def _exact(self, pending: Pending) -> list[int]:
        """Return the objects whose outlines are learnt: those that masks alone show."""
        if not self._learns_outlines:
            return []
        return [i for i, p in pending.prompts.items() if p.mask is not None and not p.points]

    def _learn(self, image: NDArray[np.uint8], shown: NDArray[np.uint8], exact: list[int]) -> None:
        truth = np.where(np.isin(shown, exact), shown, np.uint8(0))
        frames = make_frames([self.look], image, truth, self.graph.size)
        self._outlines = {**self._outlines, **learn_outlines(frames, exact)}

    def _view(self, frame_size: tuple[int, int], shown: NDArray[np.uint8], given: set[int]) -> View:
        """Choose the part of the frame to look at."""
        if self._zoom is None:
            return View.whole(frame_size)
        boxes = [box_around(shown)] if given else []
        return self._zoom.view(frame_size, boxes, anew=given >= self._living)

    def _look_wide(
        self,
        image: NDArray[np.uint8],
        view: View,
        shown: NDArray[np.uint8],
        given: set[int],
        living: list[int],
    ) -> dict[str, NDArray[np.float32]] | None:
        """Look at a whole frame in which something is shown and of which the view is a part.

        What is lost is searched for in whole frames. So memory has to know what lies outside the
        view, and how the object looks from afar; or else other things are taken for it.
        """
        whole = View.whole(image.shape[:2])
        if not given or view == whole:
            return None
        self._fill(self._letter(image, whole), shown, given, living)
        outputs = self.model.runner.run(self._inputs)
        return {name: tensor.copy() for name, tensor in outputs.items()}  # the next call reuses it

    def _letter(self, image: NDArray[np.uint8], view: View) -> Letterbox:
        """Put a part of the frame into the network's image."""
        if self._letterbox is None or self._letterbox.frame_size != view.size:
            before, self._letterbox = self._letterbox, Letterbox.fit(view.size, self.graph.size)
            if before is None or before.content_size != self._letterbox.content_size:
                self._inputs["image"].fill(NEUTRAL)
        self._letterbox.image(view.of(image), out=self._inputs["image"])
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
        wide: dict[str, NDArray[np.float32]] | None,
    ) -> None:
        written = self.memory.write(
            outputs["key"],
            outputs["value"],
            frame_index=self._frame_index,
            confidence={state.id: state.confidence for state in objects},
            given=given,
            wide=(wide["key"], wide["value"]) if wide else None,
        )
        if given and len(written) == 1:
            _log.warning(
                "frame %d is no reference: the memory is full of references that other objects "
                "depend on; drop one of them, or convert with more slots",
                self._frame_index,
            )
