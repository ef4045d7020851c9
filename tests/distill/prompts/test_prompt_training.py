"""The prompt head's batches and its training: reproducible, resumable, and it learns."""

import copy
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from edge_vos.distill.data.footage import Footage, Still  # noqa: E402
from edge_vos.distill.prompts.samples import (  # noqa: E402
    add_clicks,
    make_prompts,
    prompt_batches,
)
from edge_vos.distill.prompts.train import (  # noqa: E402
    WEIGHTS,
    PromptTrainConfig,
    load_prompt_state,
    new_prompt_state,
    prompt_loss,
    train_prompts,
)
from edge_vos.errors import CheckpointError  # noqa: E402
from edge_vos.model.encoder import Encoder  # noqa: E402
from edge_vos.model.prompt_checkpoint import load_prompt_network  # noqa: E402
from edge_vos.model.prompt_head import PromptHead, PromptNetwork  # noqa: E402
from edge_vos.runtime.prompts.prompt_head import BESIDE, BOX, MASK, ON  # noqa: E402

FAST = PromptTrainConfig(
    steps=4, sizes=((64, 96), (64, 128)), pictures=2, rounds=2, warmup=1, checkpoint_every=2
)


@pytest.fixture(scope="module")
def footage() -> Footage:
    rng = np.random.default_rng(0)
    stills = []
    for index in range(4):
        frame = rng.integers(0, 90, (120, 160, 3)).astype(np.uint8)
        labels = np.zeros((120, 160), np.uint8)
        cv2.circle(labels, (50 + 15 * index, 60), 28, 1, -1)
        frame[labels > 0] = 220
        stills.append(Still(frame, labels, (1,)))
    return Footage([], stills)


def _network() -> PromptNetwork:
    torch.manual_seed(0)
    encoder = Encoder()
    return PromptNetwork(encoder, PromptHead(encoder.tap_channels))


def test_a_batch_is_the_same_for_the_same_seed_and_step(footage: Footage) -> None:
    first = make_prompts(footage, (96, 160), 3, 5, 7)
    again = make_prompts(footage, (96, 160), 3, 5, 7)
    other = make_prompts(footage, (96, 160), 3, 5, 8)
    assert np.array_equal(first.prompts, again.prompts)
    assert np.array_equal(first.images, again.images)
    assert not np.array_equal(first.images, other.images)


def test_every_picture_shows_its_object_and_something_of_it(footage: Footage) -> None:
    batch = make_prompts(footage, (96, 160), 40, 0, 0)
    assert batch.images.shape == (40, 3, 96, 160)
    assert batch.prompts.shape == (40, 4, 24, 40)
    assert (batch.truth.max(axis=(1, 2)) > 0.9).all()
    assert batch.prompts[:, [ON, BESIDE, BOX]].any(axis=(1, 2, 3)).all()
    boxes = batch.prompts[:, BOX].any(axis=(1, 2))
    assert 5 < boxes.sum() < 35
    inside = (batch.prompts[boxes, BOX] * batch.truth[boxes]).sum((1, 2))
    assert (inside > 0.9 * batch.truth[boxes].sum((1, 2))).all()


def test_a_click_corrects_what_was_found(footage: Footage) -> None:
    batch = make_prompts(footage, (96, 160), 20, 0, 0)
    prompts = batch.prompts.copy()
    add_clicks(prompts, batch.truth, np.zeros_like(batch.truth), np.random.default_rng(0))
    assert not prompts[:, MASK].any()
    more = prompts[:, ON].sum((1, 2)) > batch.prompts[:, ON].sum((1, 2)) + 0.5
    assert 8 < more.sum() <= 20
    add_clicks(prompts, batch.truth, np.ones_like(batch.truth), np.random.default_rng(0))
    assert prompts[:, MASK].all()
    assert prompts[:, BESIDE].any(axis=(1, 2)).sum() > 8


def test_batches_take_turns_in_size(footage: Footage) -> None:
    made = list(prompt_batches(footage, ((64, 96), (96, 160)), 6, 0, 0, 3))
    assert [batch.images.shape[2:] for batch in made] == [(64, 96), (96, 160), (64, 96)]
    assert [len(batch.images) for batch in made] == [6, 2, 6]


def test_the_loss_is_least_at_the_truth() -> None:
    truth = torch.zeros(2, 1, 8, 8)
    truth[:, :, 2:5, 2:5] = 1
    right, wrong = (2 * truth - 1) * 12, (1 - 2 * truth) * 12
    assert float(prompt_loss(right, truth)) < 1e-3
    assert float(prompt_loss(wrong, truth)) > 1


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not(footage: Footage, tmp_path: Path) -> None:
    losses: dict[str, list[float]] = {"whole": [], "parts": []}

    def run(name: str, minutes: float = float("inf"), stop: int | None = None) -> None:
        folder = tmp_path / name
        state = new_prompt_state(FAST, _network())
        if (folder / "checkpoint.pt").exists():
            state, _ = load_prompt_state(folder, _network())

        def report(step: int, loss: float, seconds: float) -> None:
            losses[name].append(loss)
            if step == stop:
                raise KeyboardInterrupt

        train_prompts(footage, state, FAST, folder, report, minutes)

    run("whole")
    with pytest.raises(KeyboardInterrupt):
        run("parts", stop=3)
    del losses["parts"][2:]  # the checkpoint is that of step 2
    run("parts")
    assert losses["whole"] == losses["parts"]
    assert (tmp_path / "whole" / "samples.png").is_file()
    whole = load_prompt_network(tmp_path / "whole" / WEIGHTS)
    parts = load_prompt_network(tmp_path / "parts" / WEIGHTS)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, parts.state_dict()[name]), name


def test_the_encoder_is_trained_from_stride_8_on(footage: Footage, tmp_path: Path) -> None:
    state = new_prompt_state(FAST, _network())
    before = copy.deepcopy(state.network.state_dict())
    train_prompts(footage, state, FAST, tmp_path, lambda *_: None)
    changed = {
        ".".join(name.split(".")[:3])
        for name, tensor in state.network.state_dict().items()
        if name.startswith("encoder.") and not torch.equal(tensor, before[name])
    }
    assert changed == {"encoder.stages.2", "encoder.stages.3", "encoder.stages.4"}


def test_no_time_takes_no_step(footage: Footage, tmp_path: Path) -> None:
    state = new_prompt_state(FAST, _network())
    train_prompts(footage, state, FAST, tmp_path, lambda *_: None, minutes=1e-9)
    assert state.step == 0
    assert (tmp_path / WEIGHTS).is_file()


def test_another_checkpoint_is_refused(tmp_path: Path) -> None:
    torch.save({"config": {"steps": 3}, "step": 1}, tmp_path / "checkpoint.pt")
    with pytest.raises(CheckpointError, match="another kind of checkpoint"):
        load_prompt_state(tmp_path, _network())
