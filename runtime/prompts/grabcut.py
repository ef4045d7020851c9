"""Cut an object out by its colours, from a box or points: for models without a prompt head.

GrabCut (Rother et al., 2004): colour models of inside and outside, and a graph cut between them.
It needs no network, and a mask that it gets wrong can be corrected. ``find_object`` decides when.
"""

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.errors import PromptError
from edge_vos.runtime.preprocess import check_frame
from edge_vos.runtime.prompts.checks import (
    check_box,
    check_mask,
    check_points,
    check_size,
)

__all__ = [
    "check_mask",
    "check_size",
    "correct_mask",
    "mask_from_box",
    "mask_from_guess",
    "mask_from_point",
]

# Chosen on the first frames of 30 DAVIS sequences: boxes gave a mean J of 0.72, points 0.57.
# GrabCut's cost grows with the area that it looks at.
_SIDE_PX = {"box": 256, "point": 192, "guess": 256}
_ITERATIONS = 3
_BOX_MARGIN = 0.15  # how much of the surroundings, by the box's side, shows the background
_LEAST_FILL = 0.15  # a smaller part of its box is a failed cut
_SURE_CORE = 0.5  # the box's inner ellipse that a second try takes for granted
_SURE_RADIUS, _LIKELY_RADIUS, _REACH_RADIUS = 0.06, 0.22, 0.4  # around a point, by the short side
_COLOUR_WEIGHT = 2.0  # how far off a click a colour is, in short sides, by its distance in [0, 1]
_GUESS_DOUBT = 0.15  # to either side of a guess's outline, by the root of its area

_MASK_INSTEAD = "Give a mask (--mask FILE), or another box or point"


def mask_from_box(
    frame: NDArray[np.uint8], box_xywh: tuple[int, int, int, int]
) -> NDArray[np.uint8]:
    """Find the object in a box.

    Args:
        frame: (H, W, 3) uint8, BGR.
        box_xywh: left, top, width and height; it may reach over the frame's edge.

    Returns:
        (H, W) uint8: 1 on the object, which lies inside the box.

    Raises:
        PromptError: if the box has no area in the frame, or nothing is found in it.
    """
    frame_height, frame_width = check_frame(frame)
    x, y, width, height = check_box(box_xywh, (frame_height, frame_width))
    left, top = max(x, 0), max(y, 0)
    right, bottom = min(x + width, frame_width), min(y + height, frame_height)
    margin_x = int((right - left) * _BOX_MARGIN) + 8
    margin_y = int((bottom - top) * _BOX_MARGIN) + 8
    crop_left, crop_top = max(left - margin_x, 0), max(top - margin_y, 0)
    crop = frame[crop_top : bottom + margin_y, crop_left : right + margin_x]
    small, scale = _shrink(crop, _SIDE_PX["box"])
    corners = np.array([left - crop_left, top - crop_top, right - crop_left, bottom - crop_top])
    x0, y0, x1, y1 = (round(corner) for corner in corners * scale)
    hints = np.full(small.shape[:2], cv2.GC_BGD, np.uint8)
    hints[y0:y1, x0:x1] = cv2.GC_PR_FGD
    found = _cut(small, hints)
    if found.sum() < _LEAST_FILL * (y1 - y0) * (x1 - x0):
        hints[y0:y1, x0:x1] = cv2.GC_PR_FGD
        centre, size = ((x0 + x1) / 2, (y0 + y1) / 2), ((x1 - x0), (y1 - y0))
        core = (centre, (size[0] * _SURE_CORE, size[1] * _SURE_CORE), 0.0)
        cv2.ellipse(hints, core, cv2.GC_FGD, -1)
        found = _cut(small, hints)
    mask = np.zeros((frame_height, frame_width), np.uint8)
    part = mask[crop_top : crop_top + crop.shape[0], crop_left : crop_left + crop.shape[1]]
    part[:] = _enlarge(found, crop.shape)
    inside = np.zeros_like(mask)
    inside[top:bottom, left:right] = mask[top:bottom, left:right]
    return _found(inside, f"the box {x},{y},{width},{height}")


def mask_from_point(
    frame: NDArray[np.uint8],
    points: Sequence[tuple[int, int]],
    labels: Sequence[int] | None = None,
) -> NDArray[np.uint8]:
    """Find the object around points.

    Args:
        frame: (H, W, 3) uint8, BGR.
        points: pixels as (x, y).
        labels: 1 for each point on the object, 0 for each beside it; ``None`` is all on it.

    Returns:
        (H, W) uint8: 1 on the parts that hold a point of the object.

    Raises:
        PromptError: if a point lies outside the frame, none is on the object, or nothing is found.
    """
    check_frame(frame)
    on = [True] * len(points) if labels is None else [label == 1 for label in labels]
    if len(on) != len(points) or not any(on):
        raise PromptError(
            f"{len(points)} points with {sum(on)} of {len(on)} labels on the object",
            "a label for each point, at least one of them 1",
            "Give a point on the object",
        )
    check_points(points, frame.shape[:2])
    small, scale = _shrink(frame, _SIDE_PX["point"])
    hints = np.full(small.shape[:2], cv2.GC_BGD, np.uint8)
    seeds = [(int(x * scale), int(y * scale)) for x, y in points]
    inside = [seed for seed, is_on in zip(seeds, on, strict=True) if is_on]
    side = min(small.shape[:2])
    for radius, hint in ((_REACH_RADIUS, cv2.GC_PR_BGD), (_LIKELY_RADIUS, cv2.GC_PR_FGD)):
        for seed in inside:
            cv2.circle(hints, seed, max(round(radius * side), 2), hint, -1)
    # Some certain background is needed for its colours: the frame's rim.
    cv2.rectangle(hints, (0, 0), (small.shape[1] - 1, small.shape[0] - 1), cv2.GC_BGD, 1)
    for seed, is_on in zip(seeds, on, strict=True):
        sure = cv2.GC_FGD if is_on else cv2.GC_BGD
        cv2.circle(hints, seed, max(round(_SURE_RADIUS * side), 1), sure, -1)
    _, parts = cv2.connectedComponents(_cut(small, hints))
    kept = {int(parts[y, x]) for x, y in inside} - {0}
    found = np.isin(parts, sorted(kept)).astype(np.uint8)
    return _found(_enlarge(found, frame.shape), f"the point {points[0][0]},{points[0][1]}")


def mask_from_guess(frame: NDArray[np.uint8], guess: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Find the object that a rough mask covers.

    Args:
        frame: (H, W, 3) uint8, BGR.
        guess: (H, W) uint8, not zero about where the object is.

    Returns:
        (H, W) uint8: 1 on the object, which is near the guess.

    Raises:
        PromptError: if the guess has another size or is empty, or nothing is found.
    """
    check_size(guess, check_frame(frame))
    left, top, width, height = cv2.boundingRect(guess)
    if not width:
        raise PromptError("The guess is empty", "a rough mask of an object", _MASK_INSTEAD)
    margin = int(max(width, height) * _BOX_MARGIN) + 16
    rows = slice(max(top - margin, 0), top + height + margin)
    columns = slice(max(left - margin, 0), left + width + margin)
    small, _ = _shrink(frame[rows, columns], _SIDE_PX["guess"])
    likely = cv2.resize((guess[rows, columns] > 0).astype(np.float32), small.shape[1::-1]) > 0.5
    reach = max(round(_GUESS_DOUBT * math.sqrt(np.count_nonzero(likely))), 1)
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    hints = np.where(likely, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    hints[cv2.erode(likely.view(np.uint8), disk) > 0] = cv2.GC_FGD
    hints[cv2.dilate(likely.view(np.uint8), disk) == 0] = cv2.GC_BGD
    mask = np.zeros(guess.shape, np.uint8)
    mask[rows, columns] = _enlarge(_cut(small, hints), mask[rows, columns].shape)
    return _found(mask, f"the guess around {left + width // 2},{top + height // 2}")


def correct_mask(
    frame: NDArray[np.uint8],
    mask: NDArray[np.uint8],
    points: Sequence[tuple[int, int]],
    labels: Sequence[int],
) -> NDArray[np.uint8]:
    """Find an object anew from its mask and from points on it and beside it.

    Args:
        frame: (H, W, 3) uint8, BGR.
        mask: (H, W) uint8, not zero where the object was thought to be.
        points: pixels as (x, y).
        labels: 1 for each point on the object, 0 for each beside it.

    Returns:
        (H, W) uint8: 1 on the object.

    Raises:
        PromptError: if a point lies outside the frame, the mask has another size, or nothing is
            left of the object.
    """
    check_size(mask, check_frame(frame))
    check_points(points, frame.shape[:2])
    small, scale = _shrink(frame, _SIDE_PX["box"])
    likely = cv2.resize((mask > 0).astype(np.float32), small.shape[1::-1]) > 0.5
    side = min(small.shape[:2])
    reach = max(round(_SURE_RADIUS * side), 1)
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    hints = np.where(likely, cv2.GC_PR_FGD, cv2.GC_BGD).astype(np.uint8)
    hints[(cv2.dilate(likely.view(np.uint8), disk) > 0) & ~likely] = cv2.GC_PR_BGD
    rows, columns = np.indices(small.shape[:2])
    colours = small.astype(np.float32) / 255
    seeds = [(int(x * scale), int(y * scale)) for x, y in points]
    for (x, y), label in zip(seeds, labels, strict=True):
        # A click speaks for what is near it in place and alike in colour.
        away = np.hypot(columns - x, rows - y) / side
        unlike = np.linalg.norm(colours - colours[y, x], axis=2)
        near = away + _COLOUR_WEIGHT * unlike < _REACH_RADIUS
        hints[near] = cv2.GC_PR_FGD if label == 1 else cv2.GC_PR_BGD
    for seed, label in zip(seeds, labels, strict=True):
        sure = cv2.GC_FGD if label == 1 else cv2.GC_BGD
        cv2.circle(hints, seed, max(round(_SURE_RADIUS / 2 * side), 1), sure, -1)
    found = _enlarge(_cut(small, hints), frame.shape)
    return _found(found, f"the point {points[-1][0]},{points[-1][1]}" if points else "the mask")


def _shrink(frame: NDArray[np.uint8], side_px: int) -> tuple[NDArray[np.uint8], float]:
    scale = min(1.0, side_px / max(frame.shape[:2]))
    size = (max(round(frame.shape[1] * scale), 1), max(round(frame.shape[0] * scale), 1))
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8), scale


def _enlarge(mask: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    soft = cv2.resize(mask.astype(np.float32), (shape[1], shape[0]))
    return (soft > 0.5).astype(np.uint8)


def _cut(frame: NDArray[np.uint8], hints: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Run GrabCut from hints, which it changes, and return 1 on the foreground."""
    if not (hints & 1).any() or (hints & 1).all():  # it needs pixels of both kinds
        return (hints & 1).astype(np.uint8)
    cv2.setRNGSeed(0)  # its k-means draws from OpenCV's generator: the same prompt, the same mask
    background, foreground = np.zeros((1, 65)), np.zeros((1, 65))
    mode = cv2.GC_INIT_WITH_MASK
    cv2.grabCut(frame, hints, (0, 0, 1, 1), background, foreground, _ITERATIONS, mode)
    return (hints & 1).astype(np.uint8)


def _found(mask: NDArray[np.uint8], where: str) -> NDArray[np.uint8]:
    if not mask.any():
        raise PromptError(f"No object was found at {where}", "an object that", _MASK_INSTEAD)
    return mask
