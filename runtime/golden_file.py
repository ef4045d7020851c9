"""A golden's file in a bundle: arrays in a compressed npz, which have to fit the manifest."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from edge_vos.bundle import Bundle
from edge_vos.errors import BundleError

AGAIN = "Convert again: edge-vos convert --target cpu"


def read_golden(bundle: Bundle, file: str, names: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """Read a golden's arrays.

    Raises:
        BundleError: if there is no such file, or an array is not in it.
    """
    path = bundle.file(file)
    try:
        with path.open("rb") as stream, NpzFile(stream, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in names}
    except Exception as error:  # what its readers raise shares no other base class
        raise BundleError(
            f"{file} of {bundle.path} cannot be read: {error}",
            "the golden that convert wrote",
            AGAIN,
        ) from error


def golden_bytes(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return a golden as a compressed npz; the same golden gives the same bytes."""
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]
    return stream.getvalue()


def check_arrays(
    bundle: Bundle,
    file: str,
    arrays: Mapping[str, NDArray[Any]],
    expected: Mapping[str, tuple[tuple[int, ...], type]],
) -> None:
    """Refuse arrays whose shape or dtype is not the expected one, or that are empty.

    Raises:
        BundleError: if there is one.
    """
    for name, (shape, dtype) in expected.items():
        array = arrays[name]
        if not array.size or array.shape != shape or array.dtype != dtype:
            raise BundleError(
                f"{name} in {file} of {bundle.path} is {array.dtype} of {array.shape}",
                f"{dtype.__name__} of {shape}",
                AGAIN,
            )


def kept_pixels(images: NDArray[Any], size: tuple[int, int]) -> tuple[int, int, int]:
    """Return how many pictures there are, and the height and width that they should have.

    Args:
        images: (T, 3, H/s, W/s), as they were read: any other shape too.
        size: height and width of the network's image.
    """
    if images.ndim != 4:
        return 0, *size
    repeat = max(1, size[0] // max(1, images.shape[2]))
    return len(images), size[0] // repeat, size[1] // repeat


def enlarged(small: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.float32]:
    """Return the network's image of a picture that is kept small.

    Args:
        small: (3, H/s, W/s) uint8, RGB; each pixel stands for s x s pixels.
        size: height and width of the image.

    Returns:
        (1, 3, H, W) float32 in [0, 255].
    """
    repeat = size[0] // small.shape[1]
    return small.repeat(repeat, 1).repeat(repeat, 2)[np.newaxis].astype(np.float32)
