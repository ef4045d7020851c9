"""Prompts in JSON: what is written is read, what is wrong is refused by name, in little time."""

import json
import random
import time
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_vos.errors import PromptError
from edge_vos.runtime.prompts.prompt import Prompt
from edge_vos.runtime.prompts.prompt_file import read_prompt_file
from tests.fuzz.mutation import places

SCHEMA = json.loads(
    files("edge_vos.runtime.prompts").joinpath("prompts.schema.json").read_text(encoding="utf-8")
)
EXAMPLE = {
    "prompts": [
        {"frame": 0, "object": 1, "box": [40, 60, 120, 200], "name": "cup"},
        {"object": 2, "points": [[320, 240], [300, 200]], "labels": [1, 0]},
        {"frame": 57, "object": 1, "boxes": [[1, 2, 30, 40], [50, 2, 30, 40]]},
        {"frame": 57, "object": 2, "mask": {"size": [4, 4], "counts": "52203"}},
    ]
}
CHANGES, SLOWEST_S = 3000, 2.0
ODD = (
    None, True, -1, 0, 1.5, 1e300, 2**70, "", "x" * 99, [], {}, [[]], "\ud800", [1e9] * 9,
    [["a", "b"]], {"counts": "o" * 30, "size": [4, 4]}, {"size": [1 << 40, 1], "counts": "4"},
)  # fmt: skip


def _write(path: Path, document: object) -> Path:
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def _plain(prompts: dict[int, tuple[Prompt, ...]]) -> dict[int, list[dict[str, Any]]]:
    return {frame: [one.to_json() for one in several] for frame, several in prompts.items()}


def test_an_example_is_read(tmp_path: Path) -> None:
    found = read_prompt_file(_write(tmp_path / "p.json", EXAMPLE))
    assert list(found) == [0, 57]
    one, two = found[0]
    assert (one.object_id, one.boxes_xywh, one.name) == (1, ((40, 60, 120, 200),), "cup")
    assert (two.points, two.signs) == (((320, 240), (300, 200)), (1, 0))
    assert found[57][0].boxes_xywh == ((1, 2, 30, 40), (50, 2, 30, 40))
    assert found[57][1].mask is not None
    assert found[57][1].mask.sum() == 4


def test_what_is_of_one_object_and_frame_counts_together(tmp_path: Path) -> None:
    parts = [{"object": 1, "box": [1, 2, 30, 40]}, {"object": 1, "points": [[9, 9]], "labels": [0]}]
    ((prompt,),) = read_prompt_file(_write(tmp_path / "p.json", {"prompts": parts})).values()
    assert (prompt.boxes_xywh, prompt.points, prompt.signs) == (((1, 2, 30, 40),), ((9, 9),), (0,))


pixels = st.tuples(st.integers(0, 4000), st.integers(0, 4000))
boxes = st.tuples(*[st.integers(-50, 4000)] * 2, *[st.integers(1, 4000)] * 2)


@st.composite
def prompts(draw: st.DrawFn, object_id: int) -> Prompt:
    points = tuple(draw(st.lists(pixels, unique=True, min_size=1, max_size=4)))
    labels = tuple(
        draw(st.lists(st.sampled_from((0, 1)), min_size=len(points), max_size=len(points)))
    )
    mask = np.array(draw(st.lists(st.booleans(), min_size=12, max_size=12))).reshape(3, 4)
    mask[0, 0] = True
    return Prompt(
        object_id,
        mask=draw(st.sampled_from([None, mask])),
        boxes_xywh=tuple(draw(st.lists(boxes, max_size=2))),
        points=points,
        labels=labels,
        name=draw(st.sampled_from([None, "", "cup", "Käse 茶"])),
    )


@given(st.dictionaries(st.integers(0, 9999), st.tuples(prompts(1), prompts(7)), min_size=1))
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, by_frame: dict[int, tuple[Prompt, ...]]
) -> None:
    path = tmp_path_factory.mktemp("prompts") / "p.json"
    entries = [
        {"frame": frame, **prompt.to_json()}
        for frame, prompts in by_frame.items()
        for prompt in prompts
    ]
    path.write_text(json.dumps({"prompts": entries}, ensure_ascii=False), encoding="utf-8")
    assert _plain(read_prompt_file(path)) == _plain(dict(sorted(by_frame.items())))
    validator = pytest.importorskip("jsonschema").Draft202012Validator(SCHEMA)
    assert [error.message for error in validator.iter_errors(json.loads(path.read_text()))] == []


@pytest.mark.parametrize(
    ("entry", "what"),
    [
        ({"object": 1}, "the prompt is empty"),
        ({"box": [1, 2, 3, 4]}, "the object None"),
        ({"object": 0, "box": [1, 2, 3, 4]}, "the object 0"),
        ({"object": "1", "box": [1, 2, 3, 4]}, "the object '1'"),
        ({"object": 1, "box": [1, 2, 3]}, "the box 1,2,3"),
        ({"object": 1, "box": [1, 2, 3, 4.5]}, r"the box \[\[1, 2, 3, 4.5"),
        ({"object": 1, "points": [1, 2]}, r"the points \[1, 2\]"),
        ({"object": 1, "points": [[1, 2, 3]]}, "the point"),
        ({"object": 1, "points": [[1, 2]], "labels": [1, 1]}, "1 points with the labels"),
        ({"object": 1, "points": [[1, 2], [1, 2]], "labels": [1, 0]}, "the point 1,2 is given"),
        ({"object": 1, "points": [[1, 2]], "frame": -1}, "the frame -1"),
        ({"object": 1, "points": [[1, 2]], "frame": True}, "the frame True"),
        ({"object": 1, "point": [[1, 2]]}, "the key 'point'"),
        ({"object": 1, "box": [1, 2, 3, 4], "boxes": []}, "box and boxes"),
        ({"object": 1, "box": [1, 2, 3, 4], "name": 7}, "the name 7"),
        ({"object": 1, "mask": {"size": [4, 4], "counts": "9"}}, "the mask cannot be read"),
        ({"object": 1, "mask": "m.png"}, "the mask cannot be read"),
        (7, "'7' is no prompt"),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(tmp_path: Path, entry: object, what: str) -> None:
    path = _write(tmp_path / "p.json", {"prompts": [{"object": 2, "points": [[5, 5]]}, entry]})
    with pytest.raises(PromptError, match=f"p.json, (entry 1|frame 0): {what}") as refused:
        read_prompt_file(path)
    assert refused.value.expected
    assert refused.value.next_step


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "cannot be read"), ("[]", "does not hold prompts"), ('{"prompts": []}', "0 prompts"),
        ('{"prompts": {}}', "does not hold"), ('{"prompts": [{}], "x": 1}', "does not hold"),
        ("[" * 5000, "nested too deeply"), ('{"prompts": [NaN]}', "cannot be read"),
    ],
)  # fmt: skip
def test_what_is_no_such_file_is_refused(tmp_path: Path, text: str, what: str) -> None:
    path = tmp_path / "p.json"
    path.write_text(text)
    with pytest.raises(PromptError, match=what) as refused:
        read_prompt_file(path)
    assert str(path) in refused.value.what
    with pytest.raises(PromptError, match="cannot be opened"):
        read_prompt_file(tmp_path / "missing.json")


def test_files_that_were_changed_anywhere_are_read_or_refused(tmp_path: Path) -> None:
    rng, path, text = random.Random(0), tmp_path / "p.json", json.dumps(EXAMPLE)
    read = refused = 0
    for index in range(CHANGES):
        if index % 2:
            document = json.loads(text)
            node, key = rng.choice(places(document))
            node[key] = rng.choice(ODD)
            path.write_bytes(json.dumps(document).encode())
        else:
            data = bytearray(text.encode())
            for _ in range(rng.randrange(1, 4)):
                data[rng.randrange(len(data))] = rng.randrange(256)
            path.write_bytes(bytes(data[: rng.randrange(len(data))] if index % 20 == 0 else data))
        started_s = time.process_time()
        error = _try(path)
        read += error is None
        refused += error is not None and bool(error.expected) and bool(error.next_step)
        assert time.process_time() - started_s < SLOWEST_S
    assert read > 20
    assert refused + read == CHANGES


def _try(path: Path) -> PromptError | None:
    try:
        read_prompt_file(path)
    except PromptError as error:
        return error
    return None
