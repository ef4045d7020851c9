"""The closed loop of training: what runs in which precision."""

import pytest
import torch

from edge_vos.distill.config import TrainConfig
from edge_vos.distill.data.clips import make_batch
from edge_vos.distill.data.footage import Footage
from edge_vos.distill.rollout import rollout
from edge_vos.model.config import PRESETS
from edge_vos.model.student import Student


@pytest.mark.parametrize(
    ("processor", "dtype"),
    [
        ({"avx2": True, "avx512_bf16": False}, torch.float32),
        ({"avx512_f": True}, torch.float32),
        ({"avx512_bf16": True}, torch.bfloat16),
        ({"bf16": True}, torch.bfloat16),
    ],
)
def test_frozen_layers_run_in_bfloat16_only_where_the_processor_has_it(
    footage: Footage,
    config: TrainConfig,
    monkeypatch: pytest.MonkeyPatch,
    processor: dict[str, bool],
    dtype: torch.dtype,
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: processor)
    student = Student(PRESETS["nano"]).eval()
    seen = []
    stages = student.encoder.stages
    for stage in (stages[2], stages[3]):
        stage.register_forward_hook(lambda _module, _inputs, output: seen.append(output.dtype))
    with torch.no_grad():
        rollout(student, make_batch(footage, config.clips, 0, 0))
    # The frozen stage sees one clip after another, the first one that learns sees all.
    assert seen == [*[dtype] * config.clips.clips, torch.float32]


def test_clips_do_not_depend_on_each_other(footage: Footage, config: TrainConfig) -> None:
    student = Student(PRESETS["nano"]).eval()
    batch = make_batch(footage, config.clips, 0, 0)
    changed = make_batch(footage, config.clips, 0, 0)
    changed.images[1] = 255 - changed.images[1]
    with torch.no_grad():
        before, after = rollout(student, batch), rollout(student, changed)
    for one, other in zip(before, after, strict=True):
        torch.testing.assert_close(one.logits[0], other.logits[0])
        assert not torch.allclose(one.logits[1], other.logits[1])
