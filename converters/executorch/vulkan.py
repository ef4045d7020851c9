"""Lower the student to ExecuTorch's Vulkan delegate, for Android's GPUs: float32.

The program can be made on any machine; the Python binding does not run it.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, fx

from edge_vos.converters.executorch.graph import REWRITES, Rewrites, Writer, shape_of
from edge_vos.converters.executorch.lower import lower_with
from edge_vos.converters.lowering import Lowered, Request
from edge_vos.converters.quiet import executorch_silenced

aten = torch.ops.aten


def lower(request: Request) -> Lowered:
    """Lower a module for the Vulkan delegate.

    Raises:
        EngineError: if ExecuTorch cannot express it.
    """
    with executorch_silenced():
        from executorch.backends.vulkan.partitioner.vulkan_partitioner import VulkanPartitioner

        return lower_with(request, VulkanPartitioner({}), "Vulkan", VULKAN_REWRITES)


def _convolution(
    write: Writer,
    x: fx.Node,
    weight: fx.Node,
    bias: fx.Node | None = None,
    stride: Sequence[int] = (1, 1),
    padding: Sequence[int] = (0, 0),
    dilation: Sequence[int] = (1, 1),
    groups: int = 1,
) -> fx.Node | None:
    """Convolve a batch as one image: Vulkan takes no convolution of more (ExecuTorch 1.5.1).

    The objects, which lie in the batch, become channels of their own: of a depthwise convolution,
    of a matrix product for a 1x1 convolution, and of a block-diagonal one otherwise.
    """
    batch, channels, height, width = shape_of(x)
    kernel, shift = write.value(weight), write.value(bias)
    if batch == 1 or kernel is None:
        return None
    outputs = kernel.shape[0]
    if kernel.shape[2:] == (1, 1) and groups == 1 and tuple(stride) == (1, 1) and not any(padding):
        flat = write.view(x, (batch, channels, height * width))
        matrix = write.constant(kernel.reshape(1, outputs, channels).repeat(batch, 1, 1))
        product = write.call(aten.bmm.default, matrix, flat)
        if shift is not None:
            offset = write.constant(shift.reshape(1, outputs, 1).clone())
            product = write.call(aten.add.Tensor, product, offset)
        return write.view(product, write.shape)
    depthwise = kernel.shape[1] == 1 and groups == channels == outputs
    wide = kernel.repeat(batch, 1, 1, 1) if depthwise else _block_diagonal(kernel, groups, batch)
    convolved = write.call(
        aten.conv2d.default,
        write.view(x, (1, batch * channels, height, width)),
        write.constant(wide),
        None if shift is None else write.constant(shift.repeat(batch)),
        list(stride),
        list(padding),
        list(dilation),
        batch * channels if depthwise else 1,
    )
    return write.view(convolved, write.shape)


def _block_diagonal(kernel: Tensor, groups: int, batch: int) -> Tensor:
    """Return the kernel of one dense convolution that does the work of ``batch * groups``."""
    outputs, inputs = kernel.shape[0] // groups, kernel.shape[1]
    wide = kernel.new_zeros(batch * groups * outputs, batch * groups * inputs, *kernel.shape[2:])
    for block in range(batch * groups):
        rows = slice(block * outputs, (block + 1) * outputs)
        columns = slice(block * inputs, (block + 1) * inputs)
        group = block % groups
        wide[rows, columns] = kernel[group * outputs : (group + 1) * outputs]
    return wide


VULKAN_REWRITES: Rewrites = {**REWRITES, aten.conv2d.default: _convolution}
"""As ``REWRITES``, with what Vulkan does not take beside."""
