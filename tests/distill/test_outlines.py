"""The loss of what a user sees, and the head that learns from it."""

import dataclasses

import numpy as np
import pytest
import torch

from edge_vos.distill.config import TrainConfig
from edge_vos.distill.data.clips import make_batch
from edge_vos.distill.data.footage import Footage
from edge_vos.distill.outlines import guided_filter, outline_loss
from edge_vos.distill.train import new_state, objective_of, train_step
from edge_vos.errors import UsageError
from edge_vos.model.identity import shift_background
from edge_vos.runtime import guided_filter as runtime


def test_is_the_filter_of_the_runtime() -> None:
    rng = np.random.default_rng(0)
    source = rng.normal(size=(24, 32)).astype(np.float32)
    guide = rng.uniform(0, 255, (3, 96, 128)).astype(np.float32)
    guide[:, 40:] *= 0.2
    found = guided_filter(torch.from_numpy(source)[None, None], torch.from_numpy(guide)[None])
    wanted = runtime.guided_filter(source, guide)
    inner = slice(24, -24)  # windows differ at the border
    np.testing.assert_allclose(
        found[0, 0].numpy()[inner, inner], wanted[inner, inner], rtol=1e-3, atol=2e-3
    )


def test_costs_less_the_better_the_outline_is() -> None:
    truth = torch.zeros(1, 1, 64, 64)
    truth[..., 16:48, 18:50] = 1
    guide = truth * 200 + torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    losses = []
    for shift in (0, 4, 12):
        cells = torch.nn.functional.avg_pool2d(truth.roll(shift, 3), 4).clamp(0.02, 0.98)
        losses.append(float(outline_loss(torch.cat([1 - cells, cells], 1), guide, truth)))
    assert losses == sorted(losses)
    assert losses[0] < 0.5 * losses[1]


def test_the_rest_stays_as_it_is_where_the_head_alone_is_trained(
    footage: Footage, config: TrainConfig
) -> None:
    alone = dataclasses.replace(
        config,
        overrides={"outline_width": 16},
        outline_weight=1.0,
        only_outlines=True,
        freeze_norm=True,
    )
    state = new_state(alone)
    before = {name: tensor.clone() for name, tensor in state.student.state_dict().items()}
    batch = make_batch(footage, config.clips, 0, 0)
    train_step(state, iter([batch]), alone, objective_of(state, alone))
    changed = {
        name.split(".")[0]
        for name, tensor in state.student.state_dict().items()
        if not torch.equal(tensor, before[name])
    }
    assert changed == {"outline"}
    with pytest.raises(UsageError, match="nothing to train"):
        dataclasses.replace(alone, outline_weight=0.0)


def test_a_head_is_added_to_a_student_that_has_none(footage: Footage, config: TrainConfig) -> None:
    """It changes nothing at first, and what it learns is how outlines differ from the labels."""
    old = new_state(config).student.eval()
    wider = dataclasses.replace(
        config, overrides={"outline_width": 16}, outline_weight=1.0, freeze_norm=True
    )
    state = new_state(wider, initial=old)
    head = state.student.outline
    assert head is not None
    probability = torch.softmax(torch.randn(2, 3, 16, 24), 1)
    taps = [torch.randn(2, c, 64 // s, 96 // s) for c, s in ((16, 2), (24, 4), (40, 8))]

    def corrected() -> torch.Tensor:
        return shift_background(probability, head.eval()(probability[:, :1], *taps))

    torch.testing.assert_close(corrected(), probability)

    objective = objective_of(state, wider)
    batches = [make_batch(footage, config.clips, 0, step) for step in range(3)]
    terms = [train_step(state, iter([batch]), wider, objective).terms for batch in batches]
    assert all(term["outline"] > 0 for term in terms)
    after = corrected()
    assert not torch.allclose(after, probability, atol=1e-5)
    torch.testing.assert_close(after.sum(1), torch.ones(2, 16, 24))
    ratio = probability[:, 1] / probability[:, 2]  # which object the rest is stays as it was
    torch.testing.assert_close(after[:, 1] / after[:, 2], ratio, rtol=1e-4, atol=1e-4)
