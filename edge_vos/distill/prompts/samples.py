"""Pictures with one object each, and what a person might show of it first."""

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.distill.data.footage import Footage, Image, Still, Video
from edge_vos.distill.data.layers import one_thing, placed, random_cutouts
from edge_vos.distill.data.loader import from_thread
from edge_vos.distill.data.motion import jitter_colour
from edge_vos.errors import TrainingError
from edge_vos.evaluate.clicks import box_of, next_click
from edge_vos.runtime.objects.view import View
from edge_vos.runtime.preprocess import Letterbox
from edge_vos.runtime.prompts.prompt_head import (
    BESIDE,
    BOX,
    MASK,
    ON,
    draw_click,
    prompt_maps,
    view_around,
)

_LEAST_CELLS = 6
_TRIES = 20
_VIDEO_SHARE = 0.3
_MOST_THINGS = 4  # more labels than that are taken for the parts of one thing
_PART_SHARE, _THING_SHARE = 0.15, 0.6  # how often one label is the object, and not all that touch
_PASTE_SHARE = 0.4  # of the pictures get one or two things of others
_PASTED_AREA = (0.01, 0.3)  # of such a thing, as a share of the picture
_LEAST_LEFT = 0.4  # of a thing that others hide, where it is still the object
_BOX_SHARE = 0.65
_WHOLE_SHARE = 0.4  # of the clicks, into a whole frame
_ROUGH_SHARE = 0.2  # of the others, onto a mask that is wrong
_PART_VIEW_SHARE = 0.3  # of all, a look at a part of the object, whose mask is wrong there
_PART_VIEW_SIDE = (0.2, 0.8)  # of it, by the object's side
_MOST_EARLIER = 12  # clicks that were made before
_LOOSENESS = 0.15
_NO_CLICK_SHARE = 0.3  # of the looks after the first, which only see the mask so far
_SAME_LOOK_SHARE = 0.4  # of these, which see it as it was found; the others as from further away
_FURTHEST = 4.0  # how much further away that is at the most


@dataclass(frozen=True)
class PromptBatch:
    """Hold pictures and what is shown of each first.

    Args:
        images: (B, 3, H, W) float32 in [0, 255], RGB.
        prompts: (B, 4, H/4, W/4) float32, see ``edge_vos.graph``; further clicks are drawn in.
        truth: (B, H/4, W/4) float32, the part of each cell that the object covers.
    """

    images: NDArray[np.float32]
    prompts: NDArray[np.float32]
    truth: NDArray[np.float32]


def make_prompts(footage: Footage, size: tuple[int, int], count: int, seed: int, step: int
                 ) -> PromptBatch:  # fmt: skip
    """Make the batch of one step; the same arguments give the same batch."""
    rng = np.random.default_rng((seed, step))
    made = [_sample(footage, size, rng) for _ in range(count)]
    return PromptBatch(*(np.concatenate(parts) for parts in zip(*made, strict=True)))


def prompt_batches(
    footage: Footage,
    sizes: Sequence[tuple[int, int]],
    count: int,
    seed: int,
    start: int,
    stop: int,
) -> Generator[PromptBatch, None, None]:
    """Yield the batches ``start`` to ``stop - 1``, made ahead in a thread.

    Args:
        footage: pictures with masks.
        sizes: (height, width) of the pictures; the batches take turns.
        count: pictures in a batch of the first size; larger ones have fewer.
        seed: of the run.
        start: number of the first batch.
        stop: number after the last one.
    """

    def make(step: int) -> PromptBatch:
        size = sizes[step % len(sizes)]
        scaled = max(2, round(count * math.prod(sizes[0]) / math.prod(size)))
        return make_prompts(footage, size, scaled, seed, step)

    return from_thread(make, start, stop)


def add_clicks(
    prompts: NDArray[np.float32],
    truth: NDArray[np.float32],
    probability: NDArray[np.float32],
    rng: np.random.Generator,
) -> None:
    """Give the mask that was found and click where it is most wrong, in place.

    Some get no click: the same prompt is looked at again, as ``PromptHead.mask`` does, with the
    soft mask of the first look, or with a mask as it comes from a look at more of the frame.

    Args:
        prompts: (B, 4, h, w) float32.
        truth: (B, h, w) float32.
        probability: (B, h, w) float32, what the head made of the prompts.
        rng: chooses the clicks; some are left out, as for a closer look.
    """
    for maps, wanted, given in zip(prompts, truth, probability, strict=True):
        found = (given > 0.5).astype(np.uint8)
        if rng.random() < _NO_CLICK_SHARE:
            maps[MASK] = given if rng.random() < _SAME_LOOK_SHARE else _from_afar(given, rng)
            continue
        maps[MASK] = found
        if rng.random() < 0.4:
            maps[BOX] = 0
        if rng.random() < 0.2 and maps[:BOX].any():
            continue
        _click(maps, (wanted > 0.5).astype(np.uint8), found, rng)


def _from_afar(probability: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return the mask with the details that it has when the object is seen smaller."""
    height, width = probability.shape
    scale = math.exp(rng.uniform(0, math.log(_FURTHEST)))
    size = max(1, round(width / scale)), max(1, round(height / scale))
    small = cv2.resize(probability, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height)) > 0.5, np.float32)


def _click(maps: NDArray[np.float32], truth: Image, found: Image, rng: np.random.Generator) -> None:
    at_middle = rng.random() < 0.5
    click = next_click(truth, found, None if at_middle else rng)
    if click is not None:
        (x, y), label = click
        draw_click(maps[ON if label else BESIDE], y, x)


def _earlier_clicks(
    maps: NDArray[np.float32], truth: Image, found: Image, rng: np.random.Generator
) -> None:
    """Draw clicks that were made before, near the outline, where the mask is right by now."""
    reach = np.ones((11, 11), np.uint8)
    right = (truth == found) & (cv2.dilate(truth, reach) != cv2.erode(truth, reach))
    for _ in range(int(rng.integers(_MOST_EARLIER + 1))):
        is_on = rng.random() < 0.5
        places = np.flatnonzero(right & (truth == is_on))
        if places.size:
            y, x = divmod(int(places[int(rng.integers(places.size))]), truth.shape[1])
            draw_click(maps[ON if is_on else BESIDE], y, x)


def _sample(
    footage: Footage, size: tuple[int, int], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    for _ in range(_TRIES):
        frame, mask = _picture(footage, rng)
        if not mask.any():
            continue
        if rng.random() < _PASTE_SHARE:
            frame, mask = _with_others(footage, frame, mask, rng)
        if rng.random() < 0.5:
            frame, mask = np.ascontiguousarray(frame[:, ::-1]), np.ascontiguousarray(mask[:, ::-1])
        is_part = rng.random() < _PART_VIEW_SHARE
        has_box = not is_part and rng.random() < _BOX_SHARE
        box = box_of(mask, _LOOSENESS, rng) if has_box else None
        view = _view_of_part(mask, size, rng) if is_part else _view(mask, box, size, rng)
        letterbox = Letterbox.fit(view.size, size)
        truth = letterbox.coverage(view.of(mask), 2)[:, 1]
        if np.count_nonzero(truth > 0.5) >= _LEAST_CELLS:
            break
    else:
        raise TrainingError(
            f"{_TRIES} pictures drawn in turn show no object large enough",
            "footage whose masks cover objects",
            "Look at the masks of what --davis, --stills or --data name",
        )
    image = letterbox.image(jitter_colour([view.of(frame)], rng)[0])
    maps = prompt_maps(letterbox, view, box, (), (), None)
    if box is None:
        solid = (truth[0] > 0.5).astype(np.uint8)
        found = np.zeros_like(solid)
        if is_part or rng.random() < _ROUGH_SHARE:
            found = _rough(solid, rng)
            maps[0, MASK] = found
            _earlier_clicks(maps[0], solid, found, rng)
        _click(maps[0], solid, found, rng)
    return image, maps, truth


def _view(
    mask: Image, box: tuple[int, int, int, int] | None, size: tuple[int, int],
    rng: np.random.Generator,
) -> View:  # fmt: skip
    height, width = mask.shape
    if box is None and rng.random() < _WHOLE_SHARE:
        return View.whole(mask.shape[:2])
    margins = (0.15, 0.4) if box is not None else (0.15, 1.2)
    around = box if box is not None else box_of(mask, 0.5, rng)
    margin = float(np.exp(rng.uniform(*np.log(margins))))
    return view_around(around, margin, (height, width), size)


def _view_of_part(mask: Image, size: tuple[int, int], rng: np.random.Generator) -> View:
    """Look at a place of the object's outline, as closely as a click there is looked at."""
    outline = mask - cv2.erode(mask, np.ones((3, 3), np.uint8), borderValue=0)
    places = np.flatnonzero(outline)
    y, x = divmod(int(places[int(rng.integers(places.size))]), mask.shape[1])
    side = math.sqrt(np.count_nonzero(mask)) * math.exp(rng.uniform(*np.log(_PART_VIEW_SIDE)))
    corner = round(x - side * rng.uniform(0.2, 0.8)), round(y - side * rng.uniform(0.2, 0.8))
    return view_around((*corner, round(side), round(side)), 0, mask.shape[:2], size)


def _picture(footage: Footage, rng: np.random.Generator) -> tuple[Image, Image]:
    if footage.videos and (not footage.stills or rng.random() < _VIDEO_SHARE):
        video: Video = footage.draw_video(rng)
        index = int(rng.integers(len(video.frames)))
        return video.frames[index], video.masks[index]
    still: Still = footage.stills[int(rng.integers(len(footage.stills)))]
    if len(still.parts) == 1:
        return still.frame, (still.labels > 0).astype(np.uint8)
    whole = one_thing(still.labels)
    share = _PART_SHARE if len(still.parts) > _MOST_THINGS else _THING_SHARE
    if whole is None or rng.random() < share:
        return still.frame, _one_of(still, rng)
    return still.frame, whole


def _with_others(
    footage: Footage, frame: Image, mask: Image, rng: np.random.Generator
) -> tuple[Image, Image]:
    """Paste one or two things over a picture; any thing of which enough is seen is the object."""
    frames, labels = [frame.copy()], [mask.copy()]
    for number in range(2, 3 + int(rng.integers(2))):
        cutouts = random_cutouts(footage, 1, rng)
        area = float(np.exp(rng.uniform(*np.log(_PASTED_AREA))))
        layer = cutouts and placed(cutouts, mask.shape, area, number, rng)
        if layer:
            layer.draw(frames, labels)
    seen = np.bincount(labels[0].ravel(), minlength=2)
    hidden = seen[1] < _LEAST_LEFT * np.count_nonzero(mask)
    others = [number for number in range(2, len(seen)) if seen[number]]
    if hidden and not others:
        return frame, mask
    pasted = bool(others) and (hidden or rng.random() < 0.5)
    number = others[int(rng.integers(len(others)))] if pasted else 1
    return frames[0], np.asarray(labels[0] == number, np.uint8)


def _one_of(still: Still, rng: np.random.Generator) -> Image:
    part = still.parts[int(rng.integers(len(still.parts)))]
    return np.asarray(still.labels == part, np.uint8)


def _rough(mask: Image, rng: np.random.Generator) -> Image:
    """Spoil a mask as tracking does: grown, shrunk, moved, half of it gone, a blob too much."""
    side = max(int(np.sqrt(np.count_nonzero(mask))), 3)
    reach = int(rng.integers(1, max(side // 4, 2)))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    kind = int(rng.integers(4))
    if kind == 0:
        found = cv2.dilate(mask, kernel)
    elif kind == 1:
        found = cv2.erode(mask, kernel)
    else:
        found = mask.copy()
    rows, columns = np.nonzero(mask)
    for _ in range(int(rng.integers(1, 3))):
        pick = int(rng.integers(rows.size))
        spread = rng.integers(-side, side + 1, 2) if kind == 3 else np.zeros(2, int)
        centre = int(columns[pick] + spread[0]), int(rows[pick] + spread[1])
        axes = tuple(int(v) for v in rng.integers(1, max(side // 2, 2), 2))
        cv2.ellipse(found, centre, axes, float(rng.uniform(0, 180)), 0, 360,
                    1 if kind == 3 else 0, -1)  # fmt: skip
    return np.asarray(found, np.uint8)


def sheet_of(batch: PromptBatch, probability: Sequence[NDArray[np.float32]]) -> Image:
    """Draw a batch: the prompt, then what was found in each round, then the truth.

    Args:
        batch: at most its first eight pictures are drawn.
        probability: (B, h, w) float32 of each round.

    Returns:
        (H, W, 3) uint8, BGR.
    """
    rows = []
    for index in range(min(8, len(batch.images))):
        picture = np.ascontiguousarray(batch.images[index].transpose(1, 2, 0)[..., ::-1])
        cells = [*(round_[index] for round_ in probability), batch.truth[index]]
        tiles = [_painted(picture, cell) for cell in cells]
        shown = cv2.resize(batch.prompts[index].transpose(1, 2, 0), picture.shape[1::-1])
        first = picture * 0.6
        for channel, colour in ((BOX, (90, 90, 0)), (ON, (0, 255, 0)), (BESIDE, (0, 0, 255))):
            first += shown[..., channel, None] * np.array(colour, np.float32) * 0.8
        tiles.insert(0, np.clip(first, 0, 255).astype(np.uint8))
        rows.append(cv2.resize(np.hstack(tiles), None, fx=0.5, fy=0.5))
    return np.asarray(np.vstack(rows), np.uint8)


def _painted(picture: NDArray[np.float32], cells: NDArray[np.float32]) -> Image:
    soft = cv2.resize(cells, picture.shape[1::-1])[..., None]
    painted = picture * (1 - 0.5 * soft) + np.array((40, 40, 220), np.float32) * 0.5 * soft
    return np.asarray(np.clip(painted, 0, 255), np.uint8)
