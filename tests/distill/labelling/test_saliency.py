"""What stands out: motion against a moving camera, edges, and cuts of a graph with known parts."""

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_vos.distill.labelling import saliency

Image = NDArray[np.uint8]


def _texture(height: int, width: int, seed: int) -> Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    return coarse.repeat(8, 0).repeat(8, 1)


def _scene(
    camera_px: int, object_px: int, frames: int = 5
) -> tuple[list[Image], NDArray[np.bool_]]:
    """Return a texture under a moving camera, with a textured square that moves on its own."""
    world, square = _texture(184, 480, 0)[:180], _texture(64, 64, 1)
    made = []
    for index in range(frames):
        frame = world[:, 64 + camera_px * index :][:, :320].copy()
        left = 120 + object_px * (index - 2)
        frame[56:120, left : left + 64] = square
        made.append(frame)
    mask = np.zeros((180, 320), bool)
    mask[56:120, 120:184] = True
    return made, mask


@pytest.mark.parametrize("camera_px", [0, 3])
def test_what_moves_stands_out_from_a_moving_camera(camera_px: int) -> None:
    frames, mask = _scene(camera_px, object_px=4)
    motion = saliency.motion_map(frames, 2)
    assert motion.shape == mask.shape
    assert np.median(motion[mask]) > 2.5
    assert np.median(motion[~mask]) < 0.3
    strength = saliency.motion_strength(motion)
    assert strength[mask].mean() > 10 * strength[~mask].mean()


def test_a_clip_s_ends_have_one_side_and_a_photograph_none() -> None:
    frames, mask = _scene(0, object_px=4)
    assert saliency.motion_map(frames[2:], 0)[mask].mean() > 1
    assert not saliency.motion_map(frames[:1], 0).any()


def test_what_everything_does_is_no_motion() -> None:
    flat = np.full((18, 32), 5.0, np.float32)
    assert not saliency.motion_strength(flat).any()


def _two_parts(inside: float, across: float) -> tuple[saliency.CellGraph, NDArray[np.float32]]:
    part = np.zeros((4, 6), np.float32)
    part[:, :2] = 1
    same = part.reshape(-1, 1) == part.reshape(1, -1)
    return saliency.CellGraph((4, 6), np.where(same, inside, across).astype(np.float32)), part


def test_the_first_cut_parts_what_is_unlike() -> None:
    graph, part = _two_parts(1.0, 0.05)
    cut = saliency.normalised_cuts(graph, 1)[:, 0].reshape(4, 6)
    side = cut > cut.mean()
    assert (side == (part > 0)).all() or (side == (part == 0)).all()


def test_cuts_solve_the_generalised_eigenproblem() -> None:
    affinity = np.random.default_rng(0).random((12, 12)).astype(np.float32)
    graph = saliency.CellGraph((3, 4), affinity + affinity.T)
    degree = np.diag(graph.affinity.sum(1))
    previous = 0.0
    for cut in saliency.normalised_cuts(graph, 3).T:
        left, right = (degree - graph.affinity) @ cut, degree @ cut
        value = float(cut @ left / (cut @ right))
        np.testing.assert_allclose(left, value * right, atol=1e-4)
        assert value >= previous - 1e-5
        previous = value


def test_coherence_is_zero_by_chance_and_higher_for_a_part() -> None:
    graph, part = _two_parts(1.0, 0.05)
    mixed = np.tile([1.0, 0.0], (4, 3)).astype(np.float32)
    uniform = saliency.CellGraph((4, 6), np.ones((24, 24), np.float32))
    assert saliency.coherence(uniform, part) == pytest.approx(0, abs=1e-6)
    assert saliency.coherence(graph, part) == pytest.approx(8 / (8 + 0.05 * 16) - 1 / 3, abs=1e-5)
    assert saliency.coherence(graph, mixed) < 0.1


def test_an_outline_on_an_edge_has_support() -> None:
    frame = np.full((180, 320, 3), 60, np.uint8)
    frame[60:120, 100:200] = 200
    mask = np.zeros((180, 320), np.uint8)
    mask[60:120, 100:200] = 1
    edges = saliency.edge_map(frame)
    assert saliency.edge_support(edges, mask) > 0.9
    assert saliency.edge_support(edges, np.roll(mask, 60, axis=1)) < 0.7
    assert saliency.edge_support(edges, np.roll(mask, 110, axis=1)) < 0.1
    assert saliency.edge_support(edges, np.ones_like(mask)) == 0
