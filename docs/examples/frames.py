"""Follow a ball through frames that are arrays already: no camera, no files."""

import numpy as np
from numpy.typing import NDArray

from edge_vos import Segmenter, open_bundle

HEIGHT, WIDTH, RADIUS = 240, 432, 30


def disc(centre_xy: tuple[int, int]) -> NDArray[np.bool_]:
    """Return (H, W) bool, true on the ball."""
    rows, columns = np.ogrid[:HEIGHT, :WIDTH]
    distance = np.hypot(columns - centre_xy[0], rows - centre_xy[1])
    return np.asarray(distance < RADIUS)


def draw(centre_xy: tuple[int, int]) -> NDArray[np.uint8]:
    """Return a frame with a red ball: (H, W, 3) uint8, BGR, as OpenCV reads pictures."""
    frame = np.full((HEIGHT, WIDTH, 3), (90, 120, 80), np.uint8)
    frame[::16] = frame[:, ::16] = (70, 95, 60)
    frame[disc(centre_xy)] = (40, 40, 210)
    return frame


path = [(60 + 12 * step, 90 + 3 * step) for step in range(25)]
frames = [draw(centre_xy) for centre_xy in path]
first_mask = disc(path[0]).astype(np.uint8)  # a label map: 0 is the background, 1 the first object

segmenter = Segmenter(open_bundle())
segmenter.prompt(first_mask)
segmenter.name(1, "ball")

masks = []
for frame in frames:
    result = segmenter.step(frame)
    masks.append(result.mask)  # (H, W) uint8, of the frame's own size
    for state in result.objects:
        print(result.frame_index, state.name, state.box_xywh, f"{state.confidence:.0%}")

followed = np.stack(masks) == 1
truth = np.stack([disc(centre_xy) for centre_xy in path])
print(f"J {(followed & truth).sum() / (followed | truth).sum():.3f}")
