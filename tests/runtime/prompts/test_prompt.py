"""The one type of prompt: what it takes, what it refuses, and what several are together."""

import numpy as np
import pytest

import edge_vos
from edge_vos.errors import PromptError
from edge_vos.runtime.prompts.prompt import Prompt, join_prompts, prompts_of_mask

BOX = (4, 4, 10, 12)


def test_it_is_public() -> None:
    assert edge_vos.Prompt is Prompt


def test_labels_are_on_the_object_unless_they_say_otherwise() -> None:
    prompt = Prompt(2, points=((3, 4), (5, 6)))
    assert (prompt.labels, prompt.signs, prompt.is_points) == ((1, 1), (1, 1), True)
    assert not Prompt(2, boxes_xywh=(BOX,), points=((3, 4),)).is_points


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "The prompt is empty"),
        ({"boxes_xywh": ((1, 2, 3),)}, "The box 1,2,3"),
        ({"boxes_xywh": ((1, 2, 3, 1 << 30),)}, "The box 1,2,3,1073741824"),
        ({"points": ((1, "2"),)}, r"The point \(1, '2'\)"),
        ({"points": ((1, float("nan")),)}, "The point"),
        ({"points": ((1, 2),), "labels": (1, 0)}, "1 points with the labels"),
        ({"points": ((1, 2),), "labels": (2,)}, "1 points with the labels"),
        ({"points": ((1, 2), (1, 2)), "labels": (1, 0)}, "The point 1,2 is given as on the object"),
        ({"mask": np.zeros((4, 4), np.uint8)}, "The mask is empty"),
        ({"mask": np.ones((4, 4), np.float32)}, "A mask of float32"),
        ({"boxes_xywh": (BOX,), "name": "a\nb"}, "The name"),
    ],
)
def test_what_shows_nothing_is_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(PromptError, match=message) as refused:
        Prompt(1, **fields)  # type: ignore[arg-type]
    assert refused.value.expected
    assert refused.value.next_step


def test_points_are_added_and_a_box_begins_anew() -> None:
    prompt = Prompt(1, boxes_xywh=(BOX,), name="cup").join(Prompt(1, points=((9, 9),)))
    prompt = prompt.join(Prompt(1, points=((7, 7),), labels=(0,)))
    assert (prompt.boxes_xywh, prompt.points, prompt.signs) == ((BOX,), ((9, 9), (7, 7)), (1, 0))
    assert prompt.name == "cup"
    with pytest.raises(PromptError, match="The point 7,7"):
        prompt.join(Prompt(1, points=((7, 7),)))
    assert prompt.join(Prompt(1, boxes_xywh=((1, 1, 5, 5),))).points == ()


def test_what_is_given_of_one_object_is_put_together() -> None:
    parts = [
        Prompt(1, boxes_xywh=(BOX,)),
        Prompt(None, points=((1, 1),)),
        Prompt(None, points=((2, 2),)),
        Prompt(1, points=((9, 9),), labels=(0,), name="cup"),
        Prompt(1, boxes_xywh=((20, 4, 9, 9),)),
    ]
    joined = join_prompts(parts)
    assert [prompt.object_id for prompt in joined] == [1, None, None]
    assert joined[0].boxes_xywh == (BOX, (20, 4, 9, 9))
    assert (joined[0].points, joined[0].signs, joined[0].name) == (((9, 9),), (0,), "cup")
    mask = np.ones((4, 4), bool)
    with pytest.raises(PromptError, match="Object 1 has two masks"):
        join_prompts([Prompt(1, mask=mask), Prompt(1, mask=mask)])


def test_a_label_map_is_a_prompt_for_each_object() -> None:
    labels = np.array([[0, 3], [1, 3]], np.uint8)
    prompts = prompts_of_mask(labels)
    assert [prompt.object_id for prompt in prompts] == [1, 3]
    assert prompts[1].mask is not None
    np.testing.assert_array_equal(prompts[1].mask, [[0, 1], [0, 1]])


@pytest.mark.parametrize(
    "prompt",
    [
        Prompt(1, boxes_xywh=((40, 2, 5, 5),)), Prompt(1, points=((40, 2),)),
        Prompt(1, points=((2, -1),)), Prompt(1, mask=np.ones((4, 4), bool)),
    ],
)  # fmt: skip
def test_what_lies_off_the_frame_is_refused(prompt: Prompt) -> None:
    with pytest.raises(PromptError, match=r"30x40|40x30"):
        prompt.check_frame((30, 40))
