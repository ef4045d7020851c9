"""The alpha of a cut-out object lies where its mask lies, to the pixel."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from edge_vos.runtime.labels import label_frame
from edge_vos.runtime.objects.view import View
from edge_vos.runtime.preprocess import Letterbox
from edge_vos.runtime.segmenter import FrameResult
from edge_vos.runtime.sinks.matte import alpha, cut_out, green_screen
from edge_vos.runtime.sources.frame import Frame

IMAGE_SIZE = (128, 192)


def _scene(frame_size: tuple[int, int]) -> tuple[Frame, FrameResult, np.ndarray]:
    """Draw two ellipses that the network sees blurred, and label them as the runtime does."""
    height, width = frame_size
    rows, columns = np.mgrid[:height, :width] / np.array([[[height]], [[width]]])
    first = ((rows - 0.5) / 0.31) ** 2 + ((columns - 0.31) / 0.17) ** 2 < 1
    second = ((rows - 0.46) / 0.23) ** 2 + ((columns - 0.72) / 0.13) ** 2 < 1
    image = np.full((height, width, 3), (60, 120, 70), np.uint8)
    image[first], image[second] = (40, 50, 210), (200, 80, 40)
    letterbox = Letterbox.fit(frame_size, IMAGE_SIZE)
    labels = first.astype(np.uint8) + 2 * second.astype(np.uint8)
    probability = letterbox.coverage(labels, 4)[0]
    probability = np.stack([cv2.GaussianBlur(plane, (0, 0), 1.2) for plane in probability])
    mask, objects = label_frame(probability, (1, 2), letterbox, letterbox.image(image))
    frame = Frame(image, 0, 0.0, 0.0, 0.0)
    return frame, FrameResult(mask, probability, objects, {}, 0), labels


@pytest.mark.parametrize("frame_size", [(128, 192), (241, 359), (360, 640), (480, 480)])
def test_the_alpha_is_above_a_half_where_the_mask_is(frame_size: tuple[int, int]) -> None:
    frame, result, labels = _scene(frame_size)
    assert ((result.mask > 0) != (labels > 0)).mean() < 0.01  # the mask follows the picture
    assert np.array_equal(alpha(frame, result) > 127, result.mask > 0)


def test_the_alpha_is_soft_at_the_outline_and_clear_elsewhere() -> None:
    frame, result, labels = _scene((360, 640))
    levels = alpha(frame, result)
    assert ((levels > 0) & (levels < 255)).any()
    inside = cv2.erode((labels > 0).view(np.uint8), np.ones((25, 25), np.uint8)) > 0
    outside = cv2.dilate((labels > 0).view(np.uint8), np.ones((25, 25), np.uint8)) == 0
    assert (levels[inside] == 255).all()
    assert (levels[outside] == 0).all()


def test_the_alpha_lies_where_the_network_looked() -> None:
    frame, result, _ = _scene((240, 360))
    view, size = View(60, 300, 200, 560), (400, 700)
    image = np.full((*size, 3), 90, np.uint8)
    view.of(image)[:] = frame.image
    part = replace(result, mask=view.placed(result.mask, size), view=view)
    placed = view.placed(alpha(frame, result), size)
    np.testing.assert_array_equal(alpha(replace(frame, image=image), part), placed)


def test_a_lost_object_has_no_alpha_though_the_network_sees_it() -> None:
    frame, result, labels = _scene((240, 360))
    mask = np.where(result.mask == 2, 0, result.mask).astype(np.uint8)
    lost = replace(result.objects[1], lost=True, area_px=0)
    hidden = replace(result, mask=mask, objects=(result.objects[0], lost))
    levels = alpha(frame, hidden)
    assert np.array_equal(levels > 127, mask > 0)
    assert not levels[labels == 2].any()


def test_a_cut_out_keeps_the_frames_colours() -> None:
    frame, result, _ = _scene((240, 360))
    picture = cut_out(frame, result)
    assert picture.shape == (240, 360, 4)
    assert np.array_equal(picture[..., :3], frame.image)
    assert np.array_equal(picture[..., 3], alpha(frame, result))
    green = green_screen(frame, result)
    assert (green[alpha(frame, result) == 255] == frame.image[alpha(frame, result) == 255]).all()
