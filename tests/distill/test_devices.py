"""A step on another device leaves nothing on the CPU: tried on torch's device without data.

Adding a tensor there to one on the CPU is an error, as it is on a GPU. What the loss is made of
must therefore be moved, and whatever is made on the way must be made there.
"""

import contextlib

import pytest
import torch

from edge_vos.distill.config import TrainConfig
from edge_vos.distill.data.clips import make_batch
from edge_vos.distill.data.footage import Footage
from edge_vos.distill.objectives import DistillConfig, DistillObjective, LabelObjective
from edge_vos.model.config import PRESETS
from edge_vos.model.student import Student

ELSEWHERE = "meta"


@pytest.fixture(autouse=True)
def _no_autocast(monkeypatch: pytest.MonkeyPatch) -> None:
    """The device without data has none; tests/distill/test_train.py tries bfloat16 on the CPU."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda _: False)


def test_the_device_tells_a_forgotten_tensor() -> None:
    with pytest.raises(RuntimeError, match="device"):
        torch.ones(2, device=ELSEWHERE) + torch.ones(2)


@pytest.mark.parametrize("distils", [False, True], ids=["labels", "teacher"])
def test_forward_and_backward_stay_on_the_device(
    footage: Footage, config: TrainConfig, distils: bool
) -> None:
    student, teacher = (Student(PRESETS["nano"]).to(ELSEWHERE) for _ in range(2))
    batch = make_batch(footage, config.clips, 0, 0)
    objective = (
        DistillObjective(student, teacher, DistillConfig(divergence=0.1))
        if distils
        else LabelObjective(student, edge_weight=1.0)
    )
    terms = objective(batch, 0.5)
    torch.stack(list(terms.values())).sum().backward()
    assert {term.device.type for term in terms.values()} == {ELSEWHERE}
    gradients = [p.grad for p in student.parameters() if p.grad is not None]
    assert gradients
    assert {gradient.device.type for gradient in gradients} == {ELSEWHERE}
