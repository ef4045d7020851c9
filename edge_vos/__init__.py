"""Video object segmentation that runs live on the device in your hand.

What a program needs is here: ``from edge_vos import Segmenter, open_bundle, open_source``. A name
is imported when it is first used. Semantic versioning is promised for these names and the manifest.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge_vos.converters.convert import convert
    from edge_vos.devices.bench.measure import BenchRequest, bench
    from edge_vos.errors import EdgeVosError
    from edge_vos.runtime.interactive.controls import Controls
    from edge_vos.runtime.labels import ObjectState
    from edge_vos.runtime.model import open_bundle
    from edge_vos.runtime.pipeline import RunOptions, segment
    from edge_vos.runtime.prompts.prompt import Prompt
    from edge_vos.runtime.segmenter import FrameResult, Segmenter
    from edge_vos.runtime.sinks.opening import open_sinks
    from edge_vos.runtime.sources.frame import Frame
    from edge_vos.runtime.sources.opening import open_source
    from edge_vos.runtime.verification import verify

__version__ = "0.1.0"

__all__ = [
    "BenchRequest",
    "Controls",
    "EdgeVosError",
    "Frame",
    "FrameResult",
    "ObjectState",
    "Prompt",
    "RunOptions",
    "Segmenter",
    "bench",
    "convert",
    "open_bundle",
    "open_sinks",
    "open_source",
    "segment",
    "verify",
]

_HOMES = {
    "BenchRequest": "edge_vos.devices.bench.measure",
    "Controls": "edge_vos.runtime.interactive.controls",
    "EdgeVosError": "edge_vos.errors",
    "Frame": "edge_vos.runtime.sources.frame",
    "FrameResult": "edge_vos.runtime.segmenter",
    "ObjectState": "edge_vos.runtime.labels",
    "Prompt": "edge_vos.runtime.prompts.prompt",
    "RunOptions": "edge_vos.runtime.pipeline",
    "Segmenter": "edge_vos.runtime.segmenter",
    "bench": "edge_vos.devices.bench.measure",
    "convert": "edge_vos.converters.convert",
    "open_bundle": "edge_vos.runtime.model",
    "open_sinks": "edge_vos.runtime.sinks.opening",
    "open_source": "edge_vos.runtime.sources.opening",
    "segment": "edge_vos.runtime.pipeline",
    "verify": "edge_vos.runtime.verification",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
