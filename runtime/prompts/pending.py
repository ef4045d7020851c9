"""Prompts that wait for the next frame, and those that were given in the frame before."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from edge_vos.errors import PromptError
from edge_vos.runtime.prompts.find_object import ObjectFinder
from edge_vos.runtime.prompts.prompt import Prompt

LabelMap = NDArray[np.uint8]


@dataclass(frozen=True)
class Shown:
    """Hold a frame in which objects were shown, to know it again when it is stepped once more.

    Args:
        frame: (H, W, 3) uint8, BGR; a copy.
        prompts: what was shown, by object.
        mask: (H, W) uint8 label map that came of it.
    """

    frame: NDArray[np.uint8]
    prompts: Mapping[int, Prompt]
    mask: LabelMap


@dataclass(frozen=True)
class Pending:
    """Hold the prompts for the next frame; each change is a new one.

    Args:
        prompts: by object, in the order in which they lie on each other.
        shown: the last frame, if objects were shown in it by points.
    """

    prompts: Mapping[int, Prompt] = field(default_factory=dict)
    shown: Shown | None = None

    def add(self, object_id: int, prompt: Prompt) -> "Pending":
        """Return these and one more.

        Raises:
            PromptError: if a pixel is now both on the object and beside it.
        """
        before = self.prompts.get(object_id)
        joined = prompt if before is None else before.join(prompt)
        return replace(self, prompts={**_without(self.prompts, object_id), object_id: joined})

    def without(self, object_id: int) -> "Pending":
        """Return these without an object's, and without what was shown of it before."""
        shown = self.shown
        if shown is not None:
            shown = replace(shown, prompts=_without(shown.prompts, object_id))
        return Pending(_without(self.prompts, object_id), shown)

    def after(self, frame: NDArray[np.uint8], mask: LabelMap) -> "Pending":
        """Return what is kept once the frame was stepped.

        Args:
            frame: (H, W, 3) uint8, BGR.
            mask: (H, W) uint8 label map that was found in it.
        """
        if not any(prompt.points for prompt in self.prompts.values()):
            return Pending()
        earlier = self._earlier(frame)
        shown = {
            i: earlier[i].join(prompt) if i in earlier else prompt
            for i, prompt in self.prompts.items()
        }
        return Pending(shown=Shown(frame.copy(), {**earlier, **shown}, mask.copy()))

    def draw(
        self,
        frame: NDArray[np.uint8],
        finder: ObjectFinder,
        living: set[int],
        find_current: Callable[[], LabelMap],
    ) -> LabelMap:
        """Make one label map of all prompts; a later one lies on top.

        Points of a living object refine the mask that it has in this frame, and all points that
        it was given in this frame count.

        Args:
            frame: (H, W, 3) uint8, BGR.
            finder: makes the masks.
            living: the objects that are followed.
            find_current: finds them in this frame, without the prompts.

        Raises:
            PromptError: if a prompt does not fit the frame, nothing is found, or an object is
                covered by those after it.
        """
        merged = np.zeros(frame.shape[:2], np.uint8)
        current: LabelMap | None = None
        earlier = self._earlier(frame)
        for object_id, given in self.prompts.items():
            known, prompt = None, given
            if given.is_points and object_id in living:
                given.check_frame(frame.shape[:2])
                if current is None:
                    current = self.shown.mask if earlier and self.shown else find_current()
                known = (current == object_id).view(np.uint8)
                if object_id in earlier:
                    prompt = _points_of(earlier[object_id]).join(given)
            merged[finder.find(frame, prompt, known) > 0] = object_id
        for object_id in sorted(self.prompts):
            if not (merged == object_id).any():
                raise PromptError(
                    f"Object {object_id} is covered by the prompts after it",
                    "at least one pixel of each object",
                    "Give overlapping objects in one mask",
                )
        return merged

    def _earlier(self, frame: NDArray[np.uint8]) -> Mapping[int, Prompt]:
        """Return what was shown in this very frame before."""
        if self.shown is None or not self.prompts or not np.array_equal(self.shown.frame, frame):
            return {}
        return self.shown.prompts


def _without(prompts: Mapping[int, Prompt], object_id: int) -> dict[int, Prompt]:
    return {i: prompt for i, prompt in prompts.items() if i != object_id}


def _points_of(prompt: Prompt) -> Prompt:
    """Return a prompt's points alone, or the prompt where it has none."""
    if not prompt.points:
        return prompt
    return Prompt(prompt.object_id, points=prompt.points, labels=prompt.labels)
