"""The rewrites for ExecuTorch's delegates: needed, equal, and enough for all three.

What a rewrite is for is shown beside it: the operator that ExecuTorch 1.5.1 leaves without it. The
test fails once the rewrite is no longer needed.
"""

import importlib
import importlib.util
import logging

import pytest
import torch
from torch import Tensor, nn

from edge_vos.converters.lowering import Request
from edge_vos.model.identity import merge_prompt, probability_from_logits

for package in ("executorch", "torchao"):
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed", allow_module_level=True)

from edge_vos.converters.executorch import graph as executorch_graph  # noqa: E402
from edge_vos.converters.executorch import lower as executorch  # noqa: E402
from edge_vos.converters.quiet import executorch_silenced  # noqa: E402

LEAVES = {
    "aten.expand_copy": lambda x: x.expand(3, -1, -1, -1),
    "aten.select_copy": lambda x: x.select(1, 2),
    "aten.slice_copy": lambda x: x[:, 1::4],
    "aten.unsqueeze_copy": lambda x: x[0].unsqueeze(1),
    "aten.sum": lambda x: x.sum(1, keepdim=True),
    "aten.cat": lambda x: torch.cat([x, x], dim=1),
    "dim_order_ops._to_dim_order_copy": lambda x: 1 - x,
    "aten.arange": lambda x: x * torch.arange(0, 6, 1, dtype=torch.float32),
    "aten.full_like": lambda x: x + torch.full_like(x[:, :1], 3.0),
}
"""By what XNNPACK leaves: an expression as it stands in the student."""


class _Left(nn.Module):
    """One of each operator that XNNPACK leaves, between two that it takes."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(torch.relu(function(torch.relu(x))) for function in LEAVES.values())


def test_every_rewrite_is_needed_equal_and_enough() -> None:
    module = _Left().eval()
    x = torch.randn((1, 4, 5, 6), generator=torch.Generator().manual_seed(0))
    with executorch_silenced():
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower

        plain = to_edge_transform_and_lower(
            torch.export.export(module, (x,), strict=False), partitioner=[XnnpackPartitioner()]
        )
    left = executorch.place(plain.exported_program().graph_module, "XNNPACK").left
    for operator in LEAVES:
        assert operator in left, f"{operator} is taken now: its rewrite can go"
    placement = executorch.lower(Request(module, (x,), "fp32")).placement
    assert placement is not None
    assert not placement.left
    rewritten = executorch_graph.export_graph(module, (x,))
    for found, expected in zip(rewritten(x), module(x), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)


class _Taps(nn.Module):
    """Gather as the gather sampler does, with arithmetic on integers."""

    def forward(self, x: Tensor) -> Tensor:
        first = x[:, 0].floor().clamp(0, 3).long()
        return x.gather(2, (first + 1).unsqueeze(1).expand(-1, 4, -1))


def test_integers_are_left_alone() -> None:
    x = torch.rand((1, 4, 6), generator=torch.Generator().manual_seed(0)) * 5
    rewritten = executorch_graph.export_graph(_Taps().eval(), (x,))
    torch.testing.assert_close(rewritten(x), _Taps()(x), atol=0.0, rtol=0.0)


class _Head(nn.Module):
    """Convolutions over a batch of objects, and the probability head."""

    def __init__(self) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(4, 4, 3, 1, 1, groups=4)
        self.pointwise = nn.Conv2d(4, 6, 1)
        self.patches = nn.Conv2d(6, 1, 2, 2, bias=False)

    def forward(self, x: Tensor, prompt: Tensor, prompted: Tensor) -> Tensor:
        logits = self.patches(self.pointwise(self.depthwise(x))).transpose(0, 1)
        return merge_prompt(probability_from_logits(logits, 1 - prompted), prompt, prompted)


@pytest.mark.parametrize(
    ("name", "accelerator", "precision"),
    [("executorch.coreml", "Core ML", "fp16"), ("executorch.vulkan", "Vulkan", "fp32")],
)
def test_delegates_of_devices_take_all_without_a_word(
    name: str, accelerator: str, precision: str, capfd: pytest.CaptureFixture[str]
) -> None:
    if name == "executorch.coreml":
        pytest.importorskip("coremltools")
    converter = importlib.import_module(f"edge_vos.converters.{name}")
    generator = torch.Generator().manual_seed(0)
    examples = (
        torch.randn((3, 4, 8, 8), generator=generator),
        torch.rand((1, 3, 4, 4), generator=generator),
        torch.tensor([0.0, 1.0, 0.0]).reshape(1, 3, 1, 1),
    )
    handlers = list(logging.getLogger().handlers)
    made = converter.lower(Request(_Head().eval(), examples, precision))
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger().handlers == handlers
    assert (made.placement.accelerator, made.placement.partitions) == (accelerator, 1)
    assert not made.placement.left
    assert len(made.files[made.model_file]) > 1000


def test_a_batch_becomes_one_image_for_vulkan_and_computes_the_same() -> None:
    from edge_vos.converters.executorch.vulkan import VULKAN_REWRITES

    generator = torch.Generator().manual_seed(0)
    for layer in (
        nn.Conv2d(4, 4, 5, 2, 2, groups=4),
        nn.Conv2d(4, 6, 1),
        nn.Conv2d(4, 6, 2, 2, groups=2),
    ):
        x = torch.randn((3, 4, 8, 8), generator=generator)
        rewritten = executorch_graph.export_graph(layer.eval(), (x,), VULKAN_REWRITES)
        torch.testing.assert_close(rewritten(x), layer(x), atol=1e-5, rtol=1e-5)
        batches = {
            executorch_graph.shape_of(node.args[0])[0]
            for node in rewritten.graph.nodes
            if node.target is torch.ops.aten.conv2d.default
        }
        assert batches <= {1}
