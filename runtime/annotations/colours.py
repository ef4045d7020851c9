"""Colours as objects."""

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.errors import MaskError
from edge_vos.runtime.masks import Colour, davis_palette

MOST_OBJECTS = 254
"""A palette PNG has room for so many, beside background and void."""

_MIXED_SHARE = 0.2  # of all pixels: more than edges take is a photograph
_MIXED_TOLERANCE = 12.0  # how far from the line between two colours their mixture may lie
_MOST_MIXED = 1 << 16
_LISTED = 12


def ids_of_colours(pixels: NDArray[np.generic], assumed: list[str]) -> NDArray[np.int32]:
    """Return object ids for colours, by the DAVIS palette where they are in it.

    Black is the background, or else the colour that most of the picture's rim has. Mixtures at the
    edges between two colours go to the nearer one.

    Args:
        pixels: (H, W, 3) uint8, RGB.
        assumed: is told which colour is which object, and more that was taken for granted.

    Returns:
        (H, W) int32; 0 is the background.

    Raises:
        MaskError: if it has too many colours, as a photograph has.
    """
    if pixels.dtype != np.uint8 or pixels.shape[2] != 3:
        raise MaskError(
            f"The mask has {pixels.shape[2]} channels of {pixels.dtype}", "RGB or RGBA of 8 bits"
        )
    packed = (pixels.astype(np.int32) << np.array([16, 8, 0], np.int32)).sum(axis=2, dtype=np.int32)
    colours, first, inverse, counts = np.unique(
        packed, return_index=True, return_inverse=True, return_counts=True
    )
    places = np.asarray(inverse.reshape(packed.shape), np.int32)
    is_plain = _plain(pixels, colours, places, counts)
    plain = np.flatnonzero(is_plain)
    if len(plain) > MOST_OBJECTS or not len(plain):
        raise _photograph(len(colours))
    mixed_px = int(counts[~is_plain].sum())
    if mixed_px > _MIXED_SHARE * packed.size:
        raise _photograph(len(colours))
    ground = _background(colours, places)
    if colours[ground]:
        assumed.append(f"{_rgb(colours[ground])} along the rim is the background")
    ids = _number(colours, first, plain, ground, assumed)
    if mixed_px:
        rgb = _split(colours)
        away = ((rgb[:, np.newaxis] - rgb[np.newaxis, plain]) ** 2).sum(axis=2)
        nearest = plain[away.argmin(axis=1)]
        ids = np.where(is_plain, ids, ids[nearest])
        assumed.append(f"{mixed_px} pixels of mixed colours belong to the nearest colour")
    void_px = int(np.count_nonzero(ids[places] == 255))
    if void_px and len(plain) > 2:
        ids = np.where(ids == 255, 0, ids)
        assumed.append(f"{void_px} pixels of void's colour are nobody's")
    return ids[places].astype(np.int32)


def _photograph(count: int) -> MaskError:
    return MaskError(
        f"The mask has {count} colours, as a photograph has",
        "one flat colour for each object",
        "Save it as an indexed PNG, or paint each object in one colour",
    )


def _split(colours: NDArray[np.int32]) -> NDArray[np.float32]:
    return np.stack((colours >> 16, (colours >> 8) & 255, colours & 255), axis=1).astype(np.float32)


def _rgb(colour: int) -> Colour:
    return (int(colour) >> 16, int(colour) >> 8 & 255, int(colour) & 255)


def _plain(
    pixels: NDArray[np.generic],
    colours: NDArray[np.int32],
    places: NDArray[np.int32],
    counts: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """Tell colours that were painted from those that smoothing mixed at their edges."""
    if len(colours) > _MOST_MIXED:
        raise _photograph(len(colours))
    kernel = np.ones((3, 3), np.uint8)
    shades = np.asarray(pixels, np.uint8)
    flat = (cv2.dilate(shades, kernel) == cv2.erode(shades, kernel)).all(axis=2)
    solid = np.bincount(places[flat], minlength=len(colours)) > 0
    known = np.isin(colours, _PALETTE)
    anchors = np.flatnonzero(solid)
    if not len(anchors) or len(anchors) > MOST_OBJECTS:
        return np.ones(len(colours), np.bool_) if len(colours) <= 16 else solid
    rest = np.flatnonzero(~solid)
    is_mixture = np.zeros(len(colours), np.bool_)
    rgb = _split(colours)
    for place in rest if len(rest) * len(anchors) ** 2 < 1 << 24 else ():
        is_mixture[place] = _lies_between(rgb[place], rgb[anchors])
    thin = ~solid & ~is_mixture & (known | (len(rest) * len(anchors) ** 2 < 1 << 24))
    if np.count_nonzero(thin) > 16:  # too many to have been painted: noise, as in a JPEG
        thin &= known & (counts > 4)
    return solid | thin


def _lies_between(colour: NDArray[np.float32], anchors: NDArray[np.float32]) -> bool:
    """Tell whether a colour is near the line between any two others."""
    start, end = anchors[:, np.newaxis], anchors[np.newaxis]
    along = end - start
    length = np.maximum((along**2).sum(axis=2), 1e-6)
    part = np.clip(((colour - start) * along).sum(axis=2) / length, 0, 1)
    away = start + part[..., np.newaxis] * along - colour
    return bool((away**2).sum(axis=2).min() <= _MIXED_TOLERANCE**2)


def _background(colours: NDArray[np.int32], places: NDArray[np.int32]) -> int:
    if colours[0] == 0:
        return 0
    rim = np.concatenate((places[0], places[-1], places[:, 0], places[:, -1]))
    return int(np.bincount(rim).argmax())


def _number(
    colours: NDArray[np.int32],
    first: NDArray[np.int64],
    plain: NDArray[np.int64],
    ground: int,
    assumed: list[str],
) -> NDArray[np.int32]:
    """Return each colour's id: its place in the palette, or the next free one as they appear."""
    ids = np.zeros(len(colours), np.int32)
    objects = [int(place) for place in plain if place != ground]
    for place in objects:
        if colours[place] in _PALETTE:
            ids[place] = _PALETTE.index(int(colours[place]))
    taken = set(ids.tolist())
    free = (number for number in range(1, MOST_OBJECTS + 2) if number not in taken)
    for place in sorted(objects, key=lambda place: int(first[place])):
        if not ids[place]:
            ids[place] = next(free)
    told = [f"{_rgb(colours[place])} is object {ids[place]}" for place in objects]
    told = sorted(told, key=lambda words: int(words.rpartition(" ")[2]))
    shown = ", ".join(told[:_LISTED]) + (", …" if len(told) > _LISTED else "")
    assumed.append(f"colours are objects: {shown}")
    return ids


_PALETTE = [
    (red << 16) | (green << 8) | blue for red, green, blue in davis_palette().astype(int).tolist()
]
