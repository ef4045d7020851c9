"""Boxes, clicks and corrections through the prompt head, with a head that goes by colours."""

import logging
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge_vos import Prompt
from edge_vos.errors import PromptError
from edge_vos.runtime.masks import jaccard
from edge_vos.runtime.model import LoadedModel, RunningGraph
from edge_vos.runtime.prompts.prompt_head import BESIDE, BOX, MASK, ON, PromptHead
from edge_vos.runtime.segmenter import Segmenter

Draw = Callable[..., tuple[NDArray[np.uint8], NDArray[np.uint8]]]


@pytest.fixture
def segmenter(tiny_prompted: RunningGraph) -> Segmenter:
    return Segmenter(tiny_prompted)


def test_a_box_and_points_go_through_the_head(
    segmenter: Segmenter, scene: Draw, tiny_head: PromptHead
) -> None:
    frame, truth = scene((0, 32), (96, 32))
    assert segmenter.prompt_box((0, 30, 70, 70), name="cup") == 1
    assert segmenter.prompt_points([(120, 60), (4, 4)], [1, 0]) == 2
    result = segmenter.step(frame)
    for object_id in (1, 2):
        assert jaccard(result.mask == object_id, truth == object_id) > 0.9
    assert tiny_head.calls[0]["prompt"][0, BOX].any()  # type: ignore[attr-defined]
    assert [state.name for state in result.objects] == ["cup", ""]


def test_a_click_is_looked_at_again_mirrored_and_then_closer(
    scene: Draw, tiny_head: PromptHead
) -> None:
    frame, truth = scene((96, 32))
    found = tiny_head.mask(frame, points=[(120, 60)], labels=[1])
    assert jaccard(found, truth > 0) > 0.9
    first, again, closer = tiny_head.calls  # type: ignore[attr-defined]
    np.testing.assert_array_equal(again["image"], first["image"][..., ::-1])
    np.testing.assert_array_equal(again["prompt"][0, ON], first["prompt"][0, ON, :, ::-1])
    assert again["prompt"][0, MASK].max() == pytest.approx(0.98), "what was found so far"
    covered = [np.count_nonzero(call["prompt"][0, MASK] > 0.5) for call in (again, closer)]
    assert covered[1] > 1.5 * covered[0], "the square fills more of the network's image"
    columns = frame.shape[1]
    other = tiny_head.mask(
        np.ascontiguousarray(frame[:, ::-1]), points=[(columns - 121, 60)], labels=[1]
    )
    assert jaccard(other[:, ::-1], found) > 0.95


def test_two_boxes_of_one_object_are_both_in_it(segmenter: Segmenter, scene: Draw) -> None:
    frame, truth = scene((0, 32), (96, 32))
    segmenter.prompt(Prompt(1, boxes_xywh=((0, 30, 70, 70), (94, 30, 70, 70))))
    assert jaccard(segmenter.step(frame).mask == 1, truth > 0) > 0.9


def test_a_correction_refines_the_mask_of_any_frame(
    segmenter: Segmenter, scene: Draw, tiny_head: PromptHead
) -> None:
    frame, truth = scene((0, 32), (96, 32))
    segmenter.prompt((truth == 1).astype(np.uint8))
    for _ in range(3):
        result = segmenter.step(frame)
    assert jaccard(result.mask == 1, truth == 1) > 0.9
    segmenter.correct(1, [(120, 60)])  # add the other square too
    result = segmenter.step(frame)
    assert jaccard(result.mask == 1, truth > 0) > 0.9
    call, again, closer = tiny_head.calls  # type: ignore[attr-defined]
    for name in ("image", "prompt"):
        np.testing.assert_array_equal(again[name], call[name][..., ::-1])
    assert call["prompt"][0, MASK].any()  # the mask so far
    covered = [np.count_nonzero(each["prompt"][0, MASK] > 0.5) for each in (call, closer)]
    assert covered[1] > covered[0], "with the second square"
    assert call["prompt"][0, ON].max() > 0.6
    assert segmenter.step(frame).mask.max() == 1


def test_all_clicks_of_an_object_in_a_frame_count(
    segmenter: Segmenter, scene: Draw, tiny_head: PromptHead
) -> None:
    frame, truth = scene((0, 32), (96, 32))
    segmenter.prompt((truth == 1).astype(np.uint8))
    segmenter.step(frame)
    segmenter.correct(1, [(120, 60)])
    segmenter.step(frame)
    segmenter.correct(1, [(20, 60)], [0])
    result = segmenter.step(frame)  # the same frame again
    assert jaccard(result.mask == 1, truth == 2) > 0.9
    last = tiny_head.calls[-1]["prompt"][0]  # type: ignore[attr-defined]
    assert last[ON].max() > 0.6
    assert last[BESIDE].max() > 0.6
    other = cv2.add(frame, 3)
    segmenter.correct(1, [(120, 70)])
    segmenter.step(other)  # another frame: what was clicked before is gone
    assert not tiny_head.calls[-1]["prompt"][0, BESIDE].any()  # type: ignore[attr-defined]
    segmenter.correct(1, [(120, 70)], [0])
    with pytest.raises(PromptError, match="The point 120,70 is given as on"):
        segmenter.step(other)


def test_undo_takes_the_last_prompt_back(segmenter: Segmenter, scene: Draw) -> None:
    frame, truth = scene((0, 32), (96, 32))
    with pytest.raises(PromptError, match="nothing to undo"):
        segmenter.undo()
    segmenter.prompt((truth == 1).astype(np.uint8))
    first = segmenter.step(frame)
    memory = segmenter.memory.value.copy(), segmenter.memory.slots
    segmenter.correct(1, [(120, 60)])
    segmenter.correct(1, [(20, 60)], [0])
    segmenter.undo()  # before it is stepped
    result = segmenter.step(frame)
    assert jaccard(result.mask == 1, truth > 0) > 0.9
    segmenter.undo()  # after it
    np.testing.assert_array_equal(segmenter.memory.value, memory[0])
    assert (segmenter.memory.slots, segmenter.object_ids) == (memory[1], (1,))
    again = segmenter.step(frame)
    assert jaccard(again.mask == 1, first.mask == 1) > 0.95
    with pytest.raises(PromptError, match="nothing to undo"):
        segmenter.undo()  # a frame went by


def test_undo_takes_a_new_object_back(segmenter: Segmenter, scene: Draw) -> None:
    frame, _ = scene((0, 32), (96, 32))
    segmenter.name_next(["cup", "saucer"])
    segmenter.prompt_point((20, 60))
    segmenter.step(frame)
    segmenter.prompt_point((120, 60))
    assert segmenter.step(frame).objects[1].name == "saucer"
    segmenter.undo()
    assert segmenter.object_ids == (1,)
    assert [state.name for state in segmenter.step(frame).objects] == ["cup"]
    assert segmenter.prompt_point((120, 60)) == 2
    assert segmenter.step(frame).objects[1].name == "saucer"


def test_what_cannot_be_is_refused_by_name(segmenter: Segmenter, scene: Draw) -> None:
    frame, truth = scene((0, 32))
    segmenter.prompt(truth)
    segmenter.step(frame)
    for act, what in (
        (lambda: segmenter.correct(2, [(4, 4)]), "no object 2"),
        (lambda: segmenter.prompt_points([(4, 4)], [0]), "points beside the object, and none on"),
        (lambda: segmenter.correct(1, [(4, 4), (4, 4)], [0, 1]), "The point 4,4 is given as on"),
        (lambda: segmenter.prompt(Prompt(7, points=((4, 4),))), "The object id 7"),
    ):
        with pytest.raises(PromptError, match=what) as refused:
            act()
        assert refused.value.expected
        assert refused.value.next_step
    for shown in (Prompt(1, points=((900, 4),)), Prompt(1, boxes_xywh=((900, 0, 9, 9),))):
        segmenter.prompt(shown)
        with pytest.raises(PromptError, match="900"):
            segmenter.step(frame)
        assert jaccard(segmenter.step(frame).mask == 1, truth == 1) > 0.9


def test_an_object_of_which_nothing_is_left_is_refused(segmenter: Segmenter, scene: Draw) -> None:
    frame, truth = scene((0, 32))
    segmenter.prompt(truth)
    segmenter.step(frame)
    segmenter.correct(1, [(20, 60)], [0])
    with pytest.raises(PromptError, match="No object was found at the point 20,60"):
        segmenter.step(frame)


def test_the_fallback_is_told_once(
    tiny_model: LoadedModel, scene: Draw, caplog: pytest.LogCaptureFixture
) -> None:
    segmenter = Segmenter(tiny_model)
    frame, _ = scene((0, 32), (96, 32))
    with caplog.at_level(logging.WARNING):
        segmenter.prompt_box((0, 30, 70, 70))
        segmenter.step(frame)
        segmenter.prompt_point((120, 60))
        segmenter.step(frame)
    assert [record.message for record in caplog.records if "GrabCut" in record.message] == [
        "This model has no prompt head: boxes and clicks are cut out by their colours (GrabCut), "
        "which is rougher. Give a mask, or convert a bundle that has a prompt head."
    ]


def test_the_network_itself_may_be_asked(tiny_model: LoadedModel, scene: Draw) -> None:
    torch = pytest.importorskip("torch")
    from edge_vos.model.encoder import Encoder
    from edge_vos.model.prompt_head import PromptHead as Head
    from edge_vos.model.prompt_head import PromptNetwork
    from edge_vos.runtime.backends.runner import CallableRunner

    torch.manual_seed(0)
    encoder = Encoder()
    network = PromptNetwork(encoder, Head(encoder.tap_channels)).eval()

    def run(inputs: dict[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        with torch.no_grad():
            found = network(*(torch.from_numpy(inputs[name]) for name in ("image", "prompt")))
        return {"probability": found.numpy()}

    head = PromptHead(CallableRunner(run), (64, 96))
    frame, _ = scene((32, 32))
    mask = head.mask(frame, (30, 30, 70, 70), [(60, 60)], [1])
    assert (mask.shape, mask.dtype) == (frame.shape[:2], np.uint8)
