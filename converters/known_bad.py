"""What is known to go wrong, and where: an engine's version, an operator or option, a thread.

A row with a condition is refused before any work; one without is what the converters work around.
``edge-vos doctor`` shows the rows that fit the machine.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from edge_vos.converters.recipe import Recipe
from edge_vos.engines import installed_version
from edge_vos.errors import EngineError

Versions = Callable[[str], str | None]


@dataclass(frozen=True)
class KnownBad:
    """Describe a hazard.

    Args:
        engine: the distribution whose version decides; also one that is not installed here, such
            as TensorRT on a device.
        versions: comma-separated conditions such as ">=2.4,<3"; empty is every version.
        what: the operator or option.
        consequence: what happens.
        thread: where the public can read about it.
        remedy: what to do instead, or how the converters avoid it.
        backends: the backends that it concerns; a name or its beginning.
        refused: what of a recipe meets it, as its fields and values; ``None`` where the converters
            avoid it, an empty mapping where every recipe of the backends meets it.
    """

    engine: str
    versions: str
    what: str
    consequence: str
    thread: str
    remedy: str
    backends: tuple[str, ...]
    refused: Mapping[str, str] | None = None

    def meets(self, recipe: Recipe, version: str | None) -> bool:
        """Tell whether a recipe must be refused with that version of the engine."""
        if self.refused is None or not recipe.backend.startswith(self.backends):
            return False
        wanted = all(getattr(recipe, field) == value for field, value in self.refused.items())
        return wanted and in_range(version, self.versions)


KNOWN_BAD: tuple[KnownBad, ...] = (
    KnownBad(
        "numpy",
        ">=2.4",
        "int() of a one-element array in coremltools 9.0",
        "the conversion ends with 'only 0-dimensional arrays can be converted'",
        "https://github.com/apple/coremltools/issues/2633",
        'pip install "numpy<2.4"',
        ("coreml", "executorch-coreml"),
        {},
    ),
    KnownBad(
        "tensorrt",
        ">=10.14",
        "GridSample",
        "engines are built that are wrong, without a word",
        "https://github.com/NVIDIA/TensorRT/issues/4813",
        "--sampler matmul",
        ("tensorrt",),
        {"sampler": "native"},
    ),
    KnownBad(
        "tensorrt",
        "",
        "GridSample of ONNX opset 20",
        "'linear' is taken as nearest, without a word",
        "https://github.com/NVIDIA/TensorRT/issues/4646",
        "files are written in an opset below 20",
        ("tensorrt", "onnx"),
    ),
    KnownBad(
        "litert-torch",
        "",
        "grid_sample",
        "becomes GATHER_ND, which GPU delegates refuse and the CPU runs 3 to 6 times slower",
        "https://github.com/google-ai-edge/LiteRT/issues/5197",
        "--sampler matmul",
        ("litert",),
        {"sampler": "native"},
    ),
    KnownBad(
        "executorch",
        "<1.6",
        "quantized programs with gathers",
        "are exported and then fail when they run",
        "https://github.com/pytorch/executorch/issues/8830",
        "--sampler matmul",
        ("executorch-xnnpack",),
        {"sampler": "gather", "precision": "int8"},
    ),
    KnownBad(
        "executorch",
        "<1.6",
        "inputs in another layout than contiguous",
        "are read as contiguous, without a word",
        "https://github.com/pytorch/executorch/issues/21837",
        "the runtime hands over contiguous arrays",
        ("executorch",),
    ),
    KnownBad(
        "coremltools",
        "",
        "grid_sample in half precision",
        "sub-pixel positions are lost",
        "https://github.com/apple/coremltools/issues/2068",
        "--sampler matmul",
        ("coreml", "executorch-coreml"),
        {"sampler": "native", "precision": "fp16"},
    ),
    KnownBad(
        "coremltools",
        "",
        "resample",
        "runs on neither the GPU nor the neural engine",
        "https://github.com/apple/coremltools/issues/1875",
        "the matmul sampler is the default",
        ("coreml", "executorch-coreml"),
    ),
    KnownBad(
        "onnxruntime",
        "",
        "int8 activations with per-channel weights on x86",
        "slow, and without VNNI saturated sums",
        "https://github.com/microsoft/onnxruntime/issues/12072",
        "activations are uint8",
        ("onnx",),
    ),
)


def check_known_bad(recipe: Recipe, versions: Versions = installed_version) -> None:
    """Refuse a recipe that is known to go wrong.

    Args:
        recipe: what is to be made.
        versions: returns an engine's version, ``None`` where it is not installed.

    Raises:
        EngineError: naming the engine, the consequence and the thread.
    """
    for row in KNOWN_BAD:
        version = versions(row.engine)
        if row.meets(recipe, version):
            options = ", ".join(f"{field} {value}" for field, value in (row.refused or {}).items())
            raise EngineError(
                f"{recipe.backend} with {options or f'{row.engine} {version}'} is known to go "
                f"wrong: {row.what}: {row.consequence} ({row.engine} {row.versions or 'any'}, "
                f"{row.thread})",
                "a combination that works",
                row.remedy if row.remedy.startswith(("pip", "--")) else "",
            )


def in_range(version: str | None, conditions: str) -> bool:
    """Tell whether a version meets comma-separated conditions, such as ">=2.4,<3".

    A version that is not known, such as that of an engine on a device, may be any. One of a
    prerelease or of a local build counts as that of its release.
    """
    if version is None or not conditions:
        return True
    return SpecifierSet(conditions).contains(Version(version).base_version)
