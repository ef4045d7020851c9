"""The graph's contract: every part takes its names and shapes from one place."""

import numpy as np
import pytest

from edge_vos.graph import INPUT_NAMES, OUTPUT_NAMES, GraphSpec

GRAPH = GraphSpec((240, 432), channels=11, slots=4, key_channels=64, value_channels=176)


def test_names_and_shapes_are_the_designs() -> None:
    assert INPUT_NAMES == (
        "image", "prompt", "prompted", "active", "memory_key", "memory_value", "memory_valid",
    )  # fmt: skip
    assert OUTPUT_NAMES == ("probability", "key", "value")
    shapes = {spec.name: spec.shape for spec in (*GRAPH.inputs, *GRAPH.outputs)}
    assert shapes == {
        "image": (1, 3, 240, 432),
        "prompt": (1, 11, 60, 108),
        "prompted": (1, 11, 1, 1),
        "active": (1, 11, 1, 1),
        "memory_key": (4, 64, 15, 27),
        "memory_value": (4, 176, 15, 27),
        "memory_valid": (4, 1, 1, 1),
        "probability": (1, 11, 60, 108),
        "key": (1, 64, 15, 27),
        "value": (1, 176, 15, 27),
    }
    assert {name: GRAPH.shape(name) for name in shapes} == shapes
    assert all(spec.dtype == "float32" and spec.description for spec in GRAPH.inputs)
    assert GRAPH.slot_bytes == 4 * (64 + 176) * 15 * 27


def test_a_graph_is_read_back_from_its_tensors() -> None:
    tensors = (*GRAPH.inputs, *GRAPH.outputs)
    assert GraphSpec.of_tensors(GRAPH.size, tensors) == GRAPH
    with pytest.raises(KeyError, match="key"):
        GraphSpec.of_tensors(GRAPH.size, GRAPH.inputs)


def test_blank_inputs_are_the_callers_own() -> None:
    one, other = GRAPH.blank_inputs(), GRAPH.blank_inputs()
    assert tuple(one) == INPUT_NAMES
    for spec in GRAPH.inputs:
        assert (one[spec.name].shape, one[spec.name].dtype) == (spec.shape, np.float32)
    one["image"] += 1
    assert not other["image"].any()
