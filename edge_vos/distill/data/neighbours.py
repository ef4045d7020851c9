"""Things beside an object that are easily taken for it: near it, and of its colours.

A student that learns from videos of one salient thing each learns that whatever stands out belongs
to the object. So its mask spreads to a ball that the dog sniffs at, or to shorts as black as it.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.distill.data.clip_config import ClipConfig
from edge_vos.distill.data.footage import Footage, Image
from edge_vos.distill.data.layers import OPAQUE, Cutout, Layer, placed, random_cutouts
from edge_vos.distill.data.motion import Move, random_path

Clip = tuple[list[Image], list[Image]]

TINTED = 0.6
"""Share of the neighbours that get the colours of the object."""

BEHIND = 0.5
"""Share of the neighbours that the objects of the clip pass in front of."""

FOLLOWED = 0.35
"""Share of the neighbours that are followed, too, where an id is free."""


def add_neighbour(
    clip: Clip, footage: Footage, config: ClipConfig, rng: np.random.Generator
) -> None:
    """Put a thing beside an object of a clip, in place; it goes along with it for a part.

    Args:
        clip: frames (H, W, 3) uint8, BGR, and labels (H, W) uint8.
        footage: what it is cut out of.
        config: of the clips.
        rng: source of randomness.
    """
    frames, labels = clip
    pixels = np.flatnonzero(labels[0])
    cutouts = random_cutouts(footage, len(frames), rng)
    if not pixels.size or cutouts is None:
        return
    object_id = int(labels[0].flat[pixels[int(rng.integers(pixels.size))]])
    mask = labels[0] == object_id
    if rng.random() < TINTED:
        same = all(cutout is cutouts[0] for cutout in cutouts)
        tinted = [coloured_like(cut, frames[0][mask]) for cut in cutouts[: 1 if same else None]]
        cutouts = tinted * len(cutouts) if same else tinted
    area = float(mask.mean() * np.exp(rng.uniform(np.log(0.3), np.log(3.0))))
    area = float(np.clip(area, config.smallest, 1.5 * config.largest))
    used = {int(number) for label in labels for number in np.unique(label)}
    free = [number for number in range(1, config.objects + 1) if number not in used]
    number = free[0] if free and rng.random() < FOLLOWED else 0
    layer = placed(cutouts, config.size, area, number, rng)
    if layer is None:
        return
    layer = _beside(layer, mask, [label == object_id for label in labels], rng)
    before = [(frame.copy(), label.copy()) for frame, label in zip(frames, labels, strict=True)]
    layer.draw(frames, labels)
    if rng.random() < BEHIND:
        for frame, label, (old_frame, old_label) in zip(frames, labels, before, strict=True):
            front = old_label > 0
            frame[front], label[front] = old_frame[front], old_label[front]


def coloured_like(cutout: Cutout, pixels: NDArray[np.uint8]) -> Cutout:
    """Give a cut-out the colours of an object: mean and spread of each channel of CIELAB.

    Reinhard et al., Color Transfer between Images, 2001.

    Args:
        cutout: (h, w, 4) uint8, BGR and opacity.
        pixels: (n, 3) uint8, BGR, of the object.
    """
    lab = cv2.cvtColor(np.ascontiguousarray(cutout[..., :3]), cv2.COLOR_BGR2LAB).astype(np.float32)
    own = lab[cutout[..., 3] >= OPAQUE]
    if not own.size:
        return cutout
    theirs = cv2.cvtColor(pixels[:, None], cv2.COLOR_BGR2LAB)[:, 0].astype(np.float32)
    gain = np.clip(theirs.std(0) / (own.std(0) + 1), 0.3, 2.0)
    moved = (lab - own.mean(0)) * gain + theirs.mean(0)
    bgr = cv2.cvtColor(np.clip(moved, 0, 255).astype(np.uint8), cv2.COLOR_LAB2BGR)
    return np.dstack([bgr, cutout[..., 3]])


def _beside(
    layer: Layer, mask: NDArray[np.bool_], masks: list[NDArray[np.bool_]], rng: np.random.Generator
) -> Layer:
    """Move a layer to the edge of an object, on a path of which a share is the object's."""
    height, width = mask.shape
    angle = float(rng.uniform(0, 2 * np.pi))
    direction = np.array([np.cos(angle), np.sin(angle)])
    points = np.argwhere(mask)[:, ::-1]
    edge = points[int((points @ direction).argmax())]
    rows, columns = layer.cutouts[0].shape[:2]
    reach = float(np.abs(direction) @ (columns / 2, rows / 2))
    centre = edge + direction * reach * float(rng.uniform(0.5, 1.1))
    share = float(rng.uniform(0, 1))
    wander = random_path(len(masks), float(rng.uniform(0, 0.15)), rng)
    start = _centre(mask)
    path, moved = [], np.zeros(2)
    for seen, move in zip(masks, wander, strict=True):
        if seen.any():
            moved = share * (_centre(seen) - start)
        shift = move.shift_xy[0] + moved[0] / width, move.shift_xy[1] + moved[1] / height
        path.append(Move(shift, move.scale, move.angle))
    return Layer(layer.cutouts, (float(centre[0]), float(centre[1])), path, layer.number)


def _centre(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.asarray(np.argwhere(mask)[:, ::-1].mean(0))
