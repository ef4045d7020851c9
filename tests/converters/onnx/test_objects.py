"""A step that computes the objects in use only, and says the same as one that computes all."""

from collections.abc import Callable, Sequence

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edge_vos.converters.graphs.onnx_export import export
from edge_vos.converters.onnx.objects import free_objects
from edge_vos.errors import EngineError
from edge_vos.graph import INPUT_NAMES, OUTPUT_NAMES, PER_OBJECT
from edge_vos.model.student import Student, example_inputs
from edge_vos.runtime.backends.used_objects import with_used_objects

SIZE = (64, 96)
Arrays = dict[str, NDArray[np.float32]]


@pytest.fixture(scope="module")
def examples(student: Student) -> Sequence[Tensor]:
    return example_inputs(student.config.graph(SIZE))


@pytest.fixture(scope="module")
def call(student: Student, examples: Sequence[Tensor]) -> Callable[[Arrays], Arrays]:
    exported = export(student, examples).model
    model = free_objects(exported, exported, student, examples)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    for node in session.get_inputs():
        assert isinstance(node.shape[1], str) == (node.name in PER_OBJECT)
    return lambda inputs: dict(zip(OUTPUT_NAMES, session.run(OUTPUT_NAMES, inputs), strict=True))


def _inputs(examples: Sequence[Tensor], active: Sequence[int]) -> Arrays:
    inputs = {
        name: tensor.numpy().copy() for name, tensor in zip(INPUT_NAMES, examples, strict=True)
    }
    inputs["active"][:] = 0
    inputs["active"][0, [0, *active]] = 1
    return inputs


@pytest.mark.parametrize("active", [(), (1,), (2, 5), (9,), tuple(range(1, 11))])
def test_the_outputs_do_not_depend_on_what_is_computed(
    call: Callable[[Arrays], Arrays], examples: Sequence[Tensor], active: tuple[int, ...]
) -> None:
    inputs = _inputs(examples, active)
    taken: list[int] = []

    def counted(given: Arrays) -> Arrays:
        taken.append(given["active"].shape[1])
        return call(given)

    run = with_used_objects(counted, 11)
    expected = call(inputs)
    for _ in range(2):
        for name, output in run(inputs).items():
            np.testing.assert_allclose(output, expected[name], atol=1e-5, err_msg=name)
    used = max(2, max(active, default=0) + 1)
    assert taken == [min(used + bool(active), 11), used]


def test_refuses_a_graph_whose_weights_depend_on_the_objects(
    student: Student, examples: Sequence[Tensor]
) -> None:
    class Scaled(nn.Module):
        def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
            probability, key, value = student(*inputs)
            weights = torch.arange(1.0, 1.0 + probability.shape[1]).reshape(1, -1, 1, 1)
            return probability * weights.to(probability), key, value

    exported = export(Scaled().eval(), examples).model
    assert isinstance(exported, onnx.ModelProto)
    with pytest.raises(EngineError, match="depends on the number of objects"):
        free_objects(exported, exported, Scaled().eval(), examples)
