"""Masks to polygons and back.

A pixel (x, y) is the square from (x, y) to (x + 1, y + 1), as the editors' canvases have it, and
belongs to a polygon when its centre lies inside. So a polygon along the pixels' edges, which
``rings`` gives, is filled to the very same mask by ``fill``.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.errors import MaskError

Points = NDArray[np.float64]
"""(N, 2) float64 corners of a closed polygon, as x and y; the last is joined to the first."""

MOST_CROSSINGS = 1 << 24
"""Of edges and rows of pixels, in one polygon; a polygon drawn by hand has thousands."""

_TOLERANCE_PX = 0.75
_SMALL_PX = 32.0
_MOST_PAIRS = 1 << 20  # of points whose distances are looked at


def fill(polygon: Points, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Fill a polygon by the even-odd rule.

    Args:
        polygon: its corners, which may lie outside the picture.
        size: height and width of the picture.

    Returns:
        (H, W) bool: the pixels whose centres lie inside.

    Raises:
        MaskError: if it has more edges than anything that was drawn.
    """
    height, width = size
    start, end = polygon, np.roll(polygon, -1, axis=0)
    first = np.ceil(np.clip(np.minimum(start[:, 1], end[:, 1]) - 0.5, 0, height)).astype(np.int64)
    last = np.ceil(np.clip(np.maximum(start[:, 1], end[:, 1]) - 0.5, 0, height)).astype(np.int64)
    counts = last - first
    crossings = int(counts.sum())
    if crossings > MOST_CROSSINGS:
        raise MaskError(f"A polygon of {len(polygon)} points covers the picture many times over")
    inside = np.zeros(size, np.bool_)
    if not crossings:
        return inside
    edges = np.repeat(np.arange(len(polygon)), counts)
    rows = np.arange(crossings) - np.repeat(np.cumsum(counts) - counts - first, counts)
    slopes = np.zeros(len(polygon))
    rises = end[:, 1] - start[:, 1]
    np.divide(end[:, 0] - start[:, 0], rises, out=slopes, where=counts > 0)
    x = start[edges, 0] + (rows + 0.5 - start[edges, 1]) * slopes[edges]
    columns = np.ceil(np.clip(x - 0.5, 0, width)).astype(np.int64)
    top, bottom = int(rows.min()), int(rows.max()) + 1
    flips = np.bincount(
        (rows - top) * (width + 1) + columns, minlength=(bottom - top) * (width + 1)
    )
    parity = np.bitwise_and(flips.astype(np.uint8), 1).reshape(bottom - top, width + 1)
    inside[top:bottom] = np.bitwise_xor.accumulate(parity, axis=1)[:, :width].astype(np.bool_)
    return inside


def rings(mask: NDArray[np.bool_]) -> list[list[Points]]:
    """Trace a mask along the edges of its pixels.

    Args:
        mask: (H, W) bool.

    Returns:
        for each part whose pixels touch by their sides, its outline and then its holes' outlines.
    """
    count, parts, boxes, _ = cv2.connectedComponentsWithStats(
        mask.view(np.uint8), connectivity=4, ltype=cv2.CV_32S
    )
    traced = []
    for part in range(1, count):
        left, top, width, height = (int(side) for side in boxes[part, :4])
        pixels = parts[top : top + height, left : left + width] == part
        corner = np.array([left, top])
        loops = [loop + corner for loop in _trace(pixels)]
        loops.sort(key=lambda loop: -float(np.ptp(loop[:, 0]) * np.ptp(loop[:, 1])))
        traced.append(loops)
    return traced


def _trace(mask: NDArray[np.bool_]) -> list[Points]:
    """Walk along all outlines of one part.

    A corner is where the outline turns. Along a row the corners belong together in pairs, and so
    they do along a column; where two pixels touch by a corner only, that corner is two.
    """
    padded = np.pad(mask.view(np.int8), 1)
    above_left, above = padded[:-1, :-1], padded[:-1, 1:]
    left, here = padded[1:, :-1], padded[1:, 1:]
    total = above_left + above + left + here
    falling = (total == 2) & (above_left == here) & (here == 1)
    rising = (total == 2) & (above == left) & (left == 1)
    y, x = np.nonzero((total == 1) | (total == 3) | falling | rising)
    twice = (falling | rising)[y, x]
    repeats = 1 + twice.astype(np.int64)
    place = np.repeat(np.arange(len(x)), repeats)
    second = np.concatenate(([False], place[1:] == place[:-1]))
    x, y, is_rising = x[place], y[place], rising[y, x][place]
    along_row = np.lexsort((second, x, y))
    # In a falling pair of pixels what comes from the left goes on upwards, in a rising one down.
    along_column = np.lexsort((second ^ is_rising, y, x))
    across, down = np.empty(len(x), np.int64), np.empty(len(x), np.int64)
    for order, partner in ((along_row, across), (along_column, down)):
        partner[order[::2]], partner[order[1::2]] = order[1::2], order[::2]
    corners = np.stack((x, y), axis=1).astype(np.float64)
    across_list, down_list = across.tolist(), down.tolist()
    waiting, loops = [True] * len(x), []
    for begin in range(len(x)):
        if not waiting[begin]:
            continue
        loop, corner = [], begin
        while waiting[corner]:
            turn = across_list[corner]
            waiting[corner] = waiting[turn] = False
            loop += [corner, turn]
            corner = down_list[turn]
        loops.append(corners[loop])
    return loops


def simplify(ring: Points) -> Points:
    """Leave out corners that move the outline by less than a pixel, except of small rings."""
    if np.ptp(ring[:, 0]) * np.ptp(ring[:, 1]) < _SMALL_PX:
        return ring
    fewer = cv2.approxPolyDP(ring.astype(np.float32)[:, np.newaxis], _TOLERANCE_PX, True)[:, 0]
    return fewer.astype(np.float64) if len(fewer) >= 4 else ring


def join(parts: list[Points]) -> Points:
    """Make one polygon of several, with bridges of no width between them.

    By the even-odd rule it covers what the parts cover when each is filled over the others, so a
    hole's outline cuts the hole out.
    """
    joined = parts[0]
    for part in parts[1:]:
        near = part if len(joined) * len(part) <= _MOST_PAIRS else part[:1]
        away = ((joined[:, np.newaxis] - near[np.newaxis]) ** 2).sum(axis=2)
        here, there = np.unravel_index(int(away.argmin()), away.shape)
        turned = np.roll(part, -int(there), axis=0)
        joined = np.concatenate(
            (joined[: here + 1], turned, turned[:1], joined[here : here + 1], joined[here + 1 :])
        )
    return joined


def polygons(mask: NDArray[np.bool_]) -> list[Points]:
    """Return a mask's parts as polygons, holes cut out, within a pixel of the mask.

    Args:
        mask: (H, W) bool.
    """
    return [join([simplify(ring) for ring in part]) for part in rings(mask)]
