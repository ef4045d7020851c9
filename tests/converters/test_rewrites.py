"""Every rewrite gives a module that computes the same, and leaves the one it was given alone."""

import pytest
import torch
from torch import Tensor, nn

from edge_vos.converters.rewrites import fold_batchnorm, set_sampler
from edge_vos.errors import EngineError, ShapeError
from edge_vos.graph import OUTPUT_NAMES
from edge_vos.model.config import SAMPLERS
from edge_vos.model.deformable import DeformableAttention
from edge_vos.model.student import (
    Student,
    example_inputs,
)

SIZE = (64, 96)


def _largest_error(a: nn.Module, b: nn.Module, inputs: tuple[Tensor, ...]) -> dict[str, float]:
    with torch.inference_mode():
        pairs = zip(OUTPUT_NAMES, a(*inputs), b(*inputs), strict=True)
        return {
            name: float((x - y).abs().max() / x.abs().max().clamp(min=1)) for name, x, y in pairs
        }


def _norms(module: nn.Module) -> list[nn.Module]:
    return [child for child in module.modules() if isinstance(child, nn.BatchNorm2d)]


def test_a_folded_student_is_equal_and_has_no_batchnorm(student: Student) -> None:
    inputs = example_inputs(student.config.graph(SIZE), seed=1)
    count = len(_norms(student))
    folded = fold_batchnorm(student, example_inputs(student.config.graph(SIZE)))
    assert count > 40
    assert _norms(folded) == []
    assert len(_norms(student)) == count
    assert max(_largest_error(student, folded, inputs).values()) < 1e-5


class _Pair(nn.Module):
    """A convolution, depthwise, strided or plain, with a BatchNorm that is not its neighbour."""

    def __init__(self, groups: int, bias: bool) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(8)
        self.other = nn.Identity()
        self.convolution = nn.Conv2d(8, 8, 3, 2, 1, groups=groups, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(self.convolution(self.other(x)))
        return y


@pytest.mark.parametrize("groups", [1, 8])
@pytest.mark.parametrize("bias", [False, True])
def test_any_convolution_takes_its_batchnorm(groups: int, bias: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    pair = _Pair(groups, bias)
    for tensor in (pair.norm.running_mean, pair.norm.running_var, pair.norm.weight.data):
        assert tensor is not None
        tensor.copy_(torch.rand(8, generator=generator) + 0.5)
    pair.eval()
    x = torch.randn((1, 8, 7, 9), generator=generator)
    folded = fold_batchnorm(pair, (x,))
    torch.testing.assert_close(folded(x), pair(x), atol=1e-6, rtol=1e-5)
    assert isinstance(folded.norm, nn.Identity)


class _Shared(_Pair):
    """The convolution's own output is used too, so folding would change it."""

    def forward(self, x: Tensor) -> Tensor:
        raw = self.convolution(x)
        y: Tensor = self.norm(raw) + self.other(raw)
        return y


class _Bare(_Pair):
    """No convolution before the BatchNorm."""

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(x)
        return y


@pytest.mark.parametrize("kind", [_Shared, _Bare])
def test_a_batchnorm_that_cannot_be_folded_is_refused_by_name(kind: type[_Pair]) -> None:
    with pytest.raises(EngineError, match="BatchNorm 'norm'"):
        fold_batchnorm(kind(1, True).eval(), (torch.zeros(1, 8, 8, 8),))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_gives_an_equal_student(student: Student, sampler: str) -> None:
    before = student.config.sampler
    changed = set_sampler(student, sampler)
    used = {m.sampler for m in changed.modules() if isinstance(m, DeformableAttention)}
    assert used == {sampler}
    assert changed.config.sampler == sampler
    assert student.config.sampler == before
    inputs = example_inputs(student.config.graph(SIZE), seed=1)
    assert max(_largest_error(student, changed, inputs).values()) < 1e-5


def test_an_unknown_sampler_is_refused(student: Student) -> None:
    with pytest.raises(ShapeError, match="nearest"):
        set_sampler(student, "nearest")
