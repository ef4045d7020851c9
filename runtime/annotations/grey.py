"""Grey levels as object ids, told from the grey of a soft edge."""

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.errors import MaskError

VOID = 255
_DARKEST = 32  # a darker mask is of ids
_SMALL_ID = 100  # data sets that have void number their objects from 1 on, not by grey levels
_EXTREME = 24  # how near to black or white counts as black or white, of 255
_FLAT_SHARE = 0.05  # of the levels between: a soft edge has hardly any flat place
_EXTREME_SHARE = 0.5  # of all pixels: most of a mask is sure
_MOST_IDS = 64  # in one frame: with more, it is shades
_MOST_LISTED = 8


def ids_of_levels(
    pixels: NDArray[np.generic],
    assumed: list[str],
    *,
    is_palette: bool = False,
    is_lossy: bool = False,
) -> NDArray[np.int32]:
    """Return object ids for grey levels, or for places in a palette.

    Args:
        pixels: (H, W) of bool, whole numbers or floats.
        assumed: is told what was taken for granted.
        is_palette: they are places in a palette, which are never shades.
        is_lossy: they come from a JPEG, in which no level is exact.

    Returns:
        (H, W) int32; 0 is the background.

    Raises:
        MaskError: if they are neither ids nor one object's coverage.
    """
    levels = _whole(pixels, assumed)
    top = int(levels.max(initial=0))
    if top == 0 or pixels.dtype == np.bool_:
        return levels
    if not is_palette and _is_soft(levels, top, is_lossy):
        assumed.append("its grey levels are a soft edge: one object, cut at half")
        return (levels.astype(np.int64) * 2 > top).astype(np.int32)
    if is_lossy and top < 128:
        raise MaskError(
            "The mask is a JPEG, which changes object ids",
            "a PNG, or a JPEG of one white object on black",
            "Save it as a PNG",
        )
    largest = _white(pixels)
    used = np.unique(levels)
    used = used[used > 0]
    if len(used) == 1:
        if used[0] == largest:
            assumed.append(f"{largest} is one object, whose id is 1")
            return (levels > 0).astype(np.int32)
        return levels
    if len(used) > _MOST_IDS:
        raise MaskError(
            f"The mask holds {len(used)} grey levels, which are neither object ids nor the soft "
            "edge of one object",
            "0 for the background and an id for each object, or black and white",
            "Threshold it in an editor",
        )
    if used[-1] == largest:
        if used[-2] <= _SMALL_ID:
            void = levels == largest
            assumed.append(f"{np.count_nonzero(void)} pixels of {largest} are void, and nobody's")
            return np.where(void, 0, levels).astype(np.int32)
        assumed.append(f"{largest} is an object as {_listed(used[:-1])} are, and not void")
    return levels


def _listed(ids: NDArray[np.int32]) -> str:
    shown = ", ".join(str(int(i)) for i in ids[:_MOST_LISTED])
    return shown + (", …" if len(ids) > _MOST_LISTED else "")


def _white(pixels: NDArray[np.generic]) -> int:
    """Return the level of white, which is also void: of 8 bits, or of 16."""
    return VOID if pixels.dtype.itemsize == 1 or pixels.max() <= VOID else (1 << 16) - 1


def _whole(pixels: NDArray[np.generic], assumed: list[str]) -> NDArray[np.int32]:
    if pixels.dtype.kind == "f":
        values = pixels.astype(np.float64)
        if not np.isfinite(values).all():
            raise MaskError("The mask holds values that are no numbers", "object ids from 1 on")
        if (values != np.floor(values)).any():
            if values.min() < 0 or values.max() > 1:
                raise MaskError(
                    f"The mask holds fractions up to {values.max():.6g}",
                    "whole object ids, or one object's coverage from 0 to 1",
                )
            assumed.append("its fractions are one object's coverage, cut at half")
            return np.asarray(values >= 0.5, np.int32)
    if pixels.dtype != np.bool_ and (pixels.min() < 0 or pixels.max() > np.iinfo(np.int32).max):
        raise MaskError(
            f"The mask holds values from {pixels.min()} to {pixels.max()}", "object ids from 1 on"
        )
    return pixels.astype(np.int32)


def _is_soft(levels: NDArray[np.int32], top: int, is_lossy: bool) -> bool:
    """Tell coverage from ids: between black and white it has no flat place, and little at all."""
    if top < _DARKEST or (255 < top < 1 << 15):
        return False
    shades = (levels.astype(np.int64) * VOID // top).astype(np.uint8)
    white = VOID
    between = (levels > 0) & (levels < top)
    if not between.any():
        return False
    extreme = (shades <= _EXTREME) | (shades >= white - _EXTREME)
    if is_lossy:
        return bool(np.mean(extreme) >= _EXTREME_SHARE)
    middle = between & ~extreme
    if not middle.any() or np.mean(extreme) < _EXTREME_SHARE:
        return False
    near = cv2.dilate(shades, np.ones((3, 3), np.uint8))
    far = cv2.erode(shades, np.ones((3, 3), np.uint8))
    flat = between & (near == far)
    if np.count_nonzero(flat) > _FLAT_SHARE * np.count_nonzero(between):
        return False
    # A single level between the two may be a thin object: it is an edge where it lies along one.
    on_edge = middle & (near > shades) & (far < shades)
    return bool(np.count_nonzero(on_edge) >= 0.5 * np.count_nonzero(middle))
