"""Proposals on scenes where it is plain what the objects are."""

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_vos.distill.labelling.proposals import Proposal, ProposalConfig, _choose, _parts, propose
from edge_vos.model.encoder import Encoder, load_imagenet_weights
from edge_vos.runtime.masks import jaccard
from edge_vos.runtime.sources.opening import open_source

Image = NDArray[np.uint8]


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    encoder = Encoder().eval()
    load_imagenet_weights(encoder)
    return encoder


@pytest.fixture(scope="module")
def clip() -> tuple[list[Image], list[Image]]:
    """A synthetic scene: two objects that move over a background."""
    with open_source("synthetic://?size=180x320&objects=2&frames=5&seed=3") as source:
        frames = list(source)
    truth = [frame.truth for frame in frames if frame.truth is not None]
    return [frame.image for frame in frames], truth


def test_objects_that_move_are_proposed(
    encoder: Encoder, clip: tuple[list[Image], list[Image]]
) -> None:
    frames, truth = clip
    found = propose(frames, 2, encoder)
    assert 1 <= len(found) <= 4
    best = [max(jaccard(p.mask > 0, truth[2] == i) for p in found) for i in (1, 2)]
    assert max(best) > 0.7
    total = sum(proposal.mask.astype(int) for proposal in found)
    assert total.max() == 1
    assert [p.score for p in found] == sorted((p.score for p in found), reverse=True)
    again = propose(frames, 2, encoder)
    assert all((p.mask == q.mask).all() for p, q in zip(found, again, strict=True))


def test_an_empty_frame_has_no_objects(encoder: Encoder) -> None:
    assert propose([np.full((72, 128, 3), 90, np.uint8)] * 3, 1, encoder) == []


def _square(left: int, side: int, score: float) -> Proposal:
    mask = np.zeros((60, 100), np.uint8)
    mask[10 : 10 + side, left : left + side] = 1
    return Proposal(mask, score)


def test_the_best_are_chosen_and_do_not_overlap() -> None:
    best, touching, inside, apart, weak = (
        _square(10, 20, 0.9), _square(28, 20, 0.8), _square(12, 10, 0.7),
        _square(60, 10, 0.6), _square(80, 10, 0.01),
    )  # fmt: skip
    chosen = _choose([weak, inside, best, apart, touching], ProposalConfig())
    assert [proposal.score for proposal in chosen] == [0.9, 0.8, 0.6]
    assert chosen[1].mask.sum() == 20 * 18
    assert len(_choose([best, apart], ProposalConfig(count=1))) == 1
    assert _choose([], ProposalConfig()) == []


def test_large_parts_are_proposed_alone_too() -> None:
    mask = np.zeros((60, 100), np.uint8)
    mask[10:30, 10:30] = mask[10:30, 50:70] = mask[50:52, 90:92] = 1
    whole, left, right = _parts(mask)
    assert (whole.sum(), left.sum(), right.sum()) == (800, 400, 400)
    assert ((left | right) == whole).all()
    assert [part.sum() for part in _parts(left)] == [400]
