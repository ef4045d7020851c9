"""A picture whose pixels say which object they belong to."""

import io
import warnings

import numpy as np
from numpy.typing import NDArray

from edge_vos.errors import MaskError
from edge_vos.runtime.annotations.annotation import Annotation, FrameName, check_file_size
from edge_vos.runtime.annotations.colours import ids_of_colours
from edge_vos.runtime.annotations.grey import ids_of_levels

KIND = "picture"
_MEANT = "a PNG in which a pixel's value or colour says which object it belongs to"
_SIGNATURES = (
    b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\x00", b"MM\x00*",
)  # fmt: skip
_HALF = 128
_MOST_COLOURS = 256


def is_kind(data: bytes) -> bool:
    """Return whether a file's content is a picture."""
    return data.startswith(_SIGNATURES) or (data[:4] == b"RIFF" and data[8:12] == b"WEBP")


def read(data: bytes, wanted: FrameName) -> Annotation:
    """Read a picture: palette, colours, grey levels of 1 to 16 bits, with or without alpha.

    Args:
        data: the file.
        wanted: the frame that it is for.

    Raises:
        MaskError: if it cannot be decoded, has another size, or shows no objects.
    """
    pixels, palette, assumed = _decode(data, wanted)
    if palette is not None and _is_by_colour(pixels, palette):
        assumed.append(
            "its palette has black for another value than 0: colours count, not the values"
        )
        pixels = palette[pixels]
        palette = None
    if pixels.ndim == 3:
        pixels = _without_alpha(pixels, assumed)
    if pixels.ndim == 3 and (pixels == pixels[..., :1]).all():
        pixels = np.ascontiguousarray(pixels[..., 0])
    if pixels.ndim == 3:
        labels = ids_of_colours(pixels, assumed)
    else:
        is_lossy = data.startswith(b"\xff\xd8\xff")
        labels = ids_of_levels(pixels, assumed, is_palette=palette is not None, is_lossy=is_lossy)
    if not labels.any():
        raise MaskError("The mask is empty", "object ids from 1 on", "Mark an object in it")
    return Annotation(labels, {}, tuple(assumed))


def _decode(
    data: bytes, wanted: FrameName
) -> tuple[NDArray[np.generic], NDArray[np.uint8] | None, list[str]]:
    """Return the pixels, the palette where they are places in one, and what was assumed."""
    from PIL import Image, ImageOps

    assumed: list[str] = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata, and of a size that is checked here
            with Image.open(io.BytesIO(data)) as opened:
                turned = opened.getexif().get(0x0112, 1) in (5, 6, 7, 8)
                width, height = opened.size[::-1] if turned else opened.size
                # Before it is decoded: whatever its header says, it takes no more than a frame.
                check_file_size(wanted, height, width)
                if getattr(opened, "n_frames", 1) > 1:
                    assumed.append("the first of its several pictures is the mask")
                picture = ImageOps.exif_transpose(opened)
                if picture.size != opened.size or opened.getexif().get(0x0112, 1) != 1:
                    assumed.append("it is turned as its EXIF data say")
                palette = None
                if picture.mode == "P":
                    colours = picture.getpalette("RGB") or []
                    palette = np.zeros((256, 3), np.uint8)
                    found = np.array(colours[:768], np.uint8).reshape(-1, 3)
                    palette[: len(found)] = found
                elif picture.mode in ("PA", "CMYK", "YCbCr", "LAB", "HSV", "RGBX", "RGBa"):
                    picture = picture.convert("RGBA" if "A" in picture.mode.upper()[1:] else "RGB")
                pixels = np.asarray(picture)
    except MaskError:
        raise
    except Exception as error:  # Pillow's plugins raise whatever a broken file makes them run into
        raise MaskError(f"The picture cannot be read ({str(error)[:80]})", _MEANT) from error
    if pixels.shape[:2] != wanted.size:
        check_file_size(wanted, *pixels.shape[:2])
    return pixels, palette, assumed


def _is_by_colour(values: NDArray[np.generic], palette: NDArray[np.uint8]) -> bool:
    """Tell a palette that an editor made of colours from one in which 0 is the background."""
    used = np.flatnonzero(np.bincount(values.ravel().astype(np.uint8), minlength=256))
    black = [int(value) for value in used if not palette[value].any()]
    return bool(palette[0].any()) and bool(black) and 0 not in black


def _without_alpha(pixels: NDArray[np.generic], assumed: list[str]) -> NDArray[np.generic]:
    """Return what alpha shows, or alpha itself where it alone says something."""
    channels = pixels.shape[2]
    if channels in (1, 3):
        return pixels[..., 0] if channels == 1 else pixels
    colours, alpha = pixels[..., :-1], np.asarray(pixels[..., -1], np.uint8)
    if alpha.min() == alpha.max():
        return colours[..., 0] if channels == 2 else colours
    shown = colours[alpha >= _HALF]
    if not len(shown):
        raise MaskError("The mask is transparent all over", "an object that is opaque")
    kinds = np.unique(shown[:: max(len(shown) // 4096, 1)], axis=0)
    if len(kinds) == 1 or len(kinds) > _MOST_COLOURS:  # a stencil, or a picture that was cut out
        assumed.append("what is opaque in it is one object")
        return alpha
    kept = colours.copy()
    kept[alpha < _HALF] = 0
    assumed.append("what is transparent in it is background")
    return kept[..., 0] if channels == 2 else kept
