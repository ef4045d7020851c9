"""What stands out in a frame without any label: motion beyond the camera's, and what coheres.

Nothing here was trained on masks: the features are ImageNet's, the motion is optical flow. The
frame is cut into coherent parts by normalised cuts of a graph of cells (Shi and Malik, 2000), as
TokenCut does it on the features of a network (https://arxiv.org/abs/2202.11539), and on motion
beside them (https://arxiv.org/abs/2209.00383).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from edge_vos.model.encoder import Encoder

Image = NDArray[np.uint8]
Field = NDArray[np.float32]

MOTION_HEIGHT = 180
NEIGHBOURS = (1, 2)  # frames before and after that flow is measured to
NOTICEABLE_MOTION = 0.5  # pixels a frame at that height

FEATURE_HEIGHT = 288
CELL = 16
FEATURE_PADDING = 32  # mirrored, so that the frame's edge does not look like an object's
COLOUR_SPREAD = 25.0  # in units of 8-bit CIELAB
WEIGHTS = (1.0, 0.5, 0.5)  # of strides 16 and 8, and of colour
MOTION_WEIGHT = 1.0
SHARPNESS = 4.0


@dataclass(frozen=True)
class CellGraph:
    """Hold how alike the cells of a frame are.

    Args:
        size: (h, w), cells.
        affinity: (h * w, h * w) float32 in (0, 1], symmetric.
    """

    size: tuple[int, int]
    affinity: Field


def motion_map(frames: Sequence[Image], index: int) -> Field:
    """Measure how fast each pixel moves against the scene.

    The camera's motion is a homography fitted to DIS optical flow. A place that only one side of
    time calls moving is what an object uncovers, so the slower of both sides counts.

    Args:
        frames: (H, W, 3) uint8, BGR, neighbours in time.
        index: the frame to look at.

    Returns:
        (h, w) float32, pixels a frame at a height of 180; zeros where there is no other frame.
    """
    grey = {
        i: _small_grey(frames[i])
        for i in range(index - max(NEIGHBOURS), index + max(NEIGHBOURS) + 1)
        if 0 <= i < len(frames)
    }
    sides = []
    for direction in (-1, 1):
        speeds = [
            _residual_motion(grey[index], grey[index + direction * step]) / step
            for step in NEIGHBOURS
            if index + direction * step in grey
        ]
        if speeds:
            sides.append(np.mean(speeds, axis=0))
    if not sides:
        return np.zeros(grey[index].shape, np.float32)
    return np.asarray(np.min(sides, axis=0), np.float32)


def motion_strength(motion: Field) -> Field:
    """Compress speeds to a scale on which 0 is rest and 1 is plainly moving.

    What more than half of the frame does is no object's motion: depth that a homography cannot
    explain, or snow and sky without texture. Speeds count beyond their median, in units of it.
    """
    usual = float(np.median(motion))
    excess = np.maximum(motion - usual, 0) / (NOTICEABLE_MOTION + usual)
    return np.asarray(np.log1p(excess), np.float32)


def cell_graphs(encoder: Encoder, frame: Image, motion: Field) -> tuple[CellGraph, CellGraph]:
    """Compare all cells of a frame by features, colour and motion, and by looks alone.

    Args:
        encoder: with ImageNet's weights, in evaluation mode.
        frame: (H, W, 3) uint8, BGR.
        motion: of ``motion_strength``.
    """
    height, width = frame.shape[:2]
    columns = max(round(width * FEATURE_HEIGHT / height / CELL), 2)
    size = (FEATURE_HEIGHT // CELL, columns)
    around = FEATURE_PADDING
    small = cv2.resize(frame, (columns * CELL, FEATURE_HEIGHT), interpolation=cv2.INTER_AREA)
    padded = cv2.copyMakeBorder(small, around, around, around, around, cv2.BORDER_REFLECT_101)
    device = next(encoder.parameters()).device
    image = torch.from_numpy(np.ascontiguousarray(padded[..., ::-1].transpose(2, 0, 1)))
    with torch.inference_mode():
        _, stride8, stride16 = encoder(image.unsqueeze(0).float().to(device))
        margin = around // CELL
        taps = [
            tap[0, :, margin:-margin, margin:-margin].float().cpu().numpy()
            for tap in (stride16, F.avg_pool2d(stride8, 2))
        ]
    cells = cv2.resize(frame, size[::-1], interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(cells, cv2.COLOR_BGR2LAB).reshape(-1, 3).astype(np.float32)
    motion = np.asarray(cv2.resize(motion, size[::-1], interpolation=cv2.INTER_AREA), np.float32)
    motion = motion.ravel() / max(1.0, float(motion.max()))
    alike = (
        _cosine(taps[0]),
        _cosine(taps[1]),
        np.exp(-_squared_distances(lab) / (2 * COLOUR_SPREAD**2)),
        1 - 2 * np.abs(motion[:, None] - motion[None]),
    )
    moving, looking = (
        np.average(alike, axis=0, weights=(*WEIGHTS, motion_weight))
        for motion_weight in (MOTION_WEIGHT, 0.0)
    )
    return _graph(size, moving), _graph(size, looking)


def normalised_cuts(graph: CellGraph, count: int) -> Field:
    """Solve the relaxed normalised cut.

    Args:
        graph: of a frame.
        count: cuts wanted, best first; the constant one is left out.

    Returns:
        (h * w, count) float32: the generalised eigenvectors of ``(D - A, D)`` with the least
        eigenvalues.
    """
    affinity = torch.from_numpy(graph.affinity)
    scale = affinity.sum(1).rsqrt()
    _, vectors = torch.linalg.eigh(scale[:, None] * affinity * scale[None])
    wanted = vectors[:, -1 - count : -1].flip(1) * scale[:, None]
    return np.asarray(wanted.numpy(), np.float32)


def coherence(graph: CellGraph, share: Field) -> float:
    """Return how much more a part keeps to itself than chance would have it.

    ``(s' A s) / (s' A 1) - mean(s)``: what of the part's affinity stays inside.

    Args:
        graph: of the frame.
        share: (h, w) float32 in [0, 1], how much of each cell is in the part; not all zero.
    """
    s = share.ravel()
    reach = graph.affinity @ s
    return float(s @ reach / reach.sum() - s.mean())


def edge_map(frame: Image) -> Field:
    """Measure how much colour changes at each pixel.

    Args:
        frame: (H, W, 3) uint8, BGR.

    Returns:
        (h, w) float32 in [0, 1] at a height of 180; 1 from twice the frame's mean on, a pixel
        around it included.
    """
    lab = cv2.GaussianBlur(cv2.cvtColor(_small(frame), cv2.COLOR_BGR2LAB), (3, 3), 0)
    across, down = (cv2.Sobel(lab, cv2.CV_32F, *order) for order in ((1, 0), (0, 1)))
    change = cv2.dilate(np.sqrt((across**2 + down**2).sum(2)), np.ones((3, 3), np.uint8))
    return np.asarray(np.minimum(change / (2 * float(change.mean()) + 1e-6), 1), np.float32)


def edge_support(edges: Field, mask: Image) -> float:
    """Return how much of a mask's outline lies on edges of the frame.

    Args:
        edges: of ``edge_map``.
        mask: (H, W) uint8, not zero on the object.

    Returns:
        The mean of the edges along the outline, in [0, 1]; the frame's own border does not count.
    """
    small = cv2.resize(mask, edges.shape[::-1], interpolation=cv2.INTER_NEAREST)
    outline = cv2.morphologyEx(small, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    outline[[0, -1]], outline[:, [0, -1]] = False, False
    return float(edges[outline].mean()) if outline.any() else 0.0


def _small(frame: Image) -> Image:
    height, width = frame.shape[:2]
    size_wh = (max(round(width * MOTION_HEIGHT / height), 16), MOTION_HEIGHT)
    return np.asarray(cv2.resize(frame, size_wh, interpolation=cv2.INTER_AREA), np.uint8)


def _small_grey(frame: Image) -> Image:
    return np.asarray(cv2.cvtColor(_small(frame), cv2.COLOR_BGR2GRAY), np.uint8)


def _residual_motion(here: Image, there: Image) -> Field:
    """Return (h, w) float32 pixels of flow that a homography does not explain."""
    height, width = here.shape
    flow = np.zeros((height, width, 2), np.float32)
    cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(here, there, flow)
    xy = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).astype(np.float32)
    samples = xy[4::8, 4::8].reshape(-1, 2), (xy + flow)[4::8, 4::8].reshape(-1, 2)
    cv2.setRNGSeed(0)  # RANSAC draws from OpenCV's generator
    camera, _ = cv2.findHomography(*samples, cv2.RANSAC, 1.0, maxIters=500)
    if camera is None:
        camera = np.eye(3)
    still = cv2.perspectiveTransform(xy.reshape(-1, 1, 2), camera).reshape(xy.shape)
    return np.asarray(np.linalg.norm(xy + flow - still, axis=2), np.float32)


def _graph(size: tuple[int, int], alike: Field) -> CellGraph:
    return CellGraph(size, np.exp(SHARPNESS * (alike - 1)).astype(np.float32))


def _cosine(tap: Field) -> Field:
    """Return the cosines between cells of (C, h, w) features, each channel standardised."""
    cells = tap.reshape(len(tap), -1).T
    cells = (cells - cells.mean(0)) / (cells.std(0) + 1e-6)
    cells /= np.linalg.norm(cells, axis=1, keepdims=True) + 1e-6
    return np.asarray(cells @ cells.T, np.float32)


def _squared_distances(cells: Field) -> Field:
    squares = (cells * cells).sum(1)
    return np.asarray(
        np.maximum(squares[:, None] + squares[None] - 2 * cells @ cells.T, 0), np.float32
    )
