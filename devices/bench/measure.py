"""Measure a bundle on this machine, as a camera's user would meet it.

Without a source, a drawn clip is stepped through as fast as the machine can (``clip``); with one,
the whole way from the camera to the screen is measured (``live``).
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from edge_vos.bundle import GOLDEN_FILE, Bundle, Manifest, read_bundle, shipped_bundle_path
from edge_vos.devices.bench.clip import CAMERA_SIZE, draw_clip, measure_clip
from edge_vos.devices.bench.live import LiveRequest, measure_live, open_live
from edge_vos.devices.bench.measurement import Measurement, MeasurementLimit, Progress
from edge_vos.devices.bench.report import Accuracy, BenchReport, MemoryUse
from edge_vos.devices.bench.report_builder import build_report
from edge_vos.devices.telemetry.memory import peak_rss_bytes, rss_bytes
from edge_vos.errors import ShapeError, UsageError
from edge_vos.runtime.golden import Golden, check_golden, tolerance_of
from edge_vos.runtime.model import LoadedModel, open_bundle

MAX_OBJECTS = 10

OpenModel = Callable[[Path, str | None, int | None], LoadedModel]


@dataclass(frozen=True)
class BenchRequest:
    """Say what to measure, and for how long: until ``steps`` or ``seconds``, the first to come.

    Args:
        bundle: a bundle's folder or zip; None is the one that ships.
        engine: None is the bundle's own.
        size: (height, width) that the bundle must have; None takes any.
        objects: objects to follow, 1 to 10; None is 1, or those that ``live`` shows.
        threads: threads of the engine; None is its own choice.
        steps: steps to measure; None is no limit.
        seconds: time to measure; None is no limit.
        live: a source to measure on, instead of a clip that is drawn.

    Raises:
        UsageError: if a number is out of its range, nothing ends the measurement, or objects are
            asked for and a source as well.
    """

    bundle: Path | None = None
    engine: str | None = None
    size: tuple[int, int] | None = None
    objects: int | None = None
    threads: int | None = None
    steps: int | None = 1024
    seconds: float | None = 60.0
    live: LiveRequest | None = None

    def __post_init__(self) -> None:
        if self.objects is not None and not 1 <= self.objects <= MAX_OBJECTS:
            raise UsageError(f"{self.objects} objects", f"1 to {MAX_OBJECTS}", "Mend --objects")
        if self.objects is not None and self.live is not None:
            raise UsageError(
                "--objects and --source together",
                "the source's own objects, such as --source 'synthetic://?objects=3'",
                "Leave --objects out; for several objects give a --box for each",
            )
        MeasurementLimit(self.steps, self.seconds)


def bench(
    request: BenchRequest | None = None,
    on_progress: Progress = lambda _: None,
    open_model: OpenModel = open_bundle,
) -> BenchReport:
    """Load a bundle and measure it.

    Args:
        request: what to measure; ``None`` is the bundle that ships, for a minute at most.
        on_progress: called now and then with the share of the measurement that is done, in [0, 1].
        open_model: loads the bundle, given its path, the engine and the threads; another one may
            wrap the engine, to measure what that changes.

    Raises:
        BundleError: if the bundle is missing or broken.
        EngineError: if the engine is unknown or missing, or fails.
        ShapeError: if the bundle is of another size than asked for.
        UsageError: if the bundle has no room for so many objects.
        SourceError: if the source cannot be opened, or ends before anything is measured.
        PromptError: if nothing says what to follow in the source, or the prompt does not fit.
    """
    request = request or BenchRequest()
    bundle = read_bundle(request.bundle or shipped_bundle_path())
    _check(bundle.manifest, request)
    with ExitStack() as stack:
        measure = _prepare(request, stack)
        before_bytes = rss_bytes()
        model = open_model(bundle.path, request.engine, request.threads)
        stack.callback(model.runner.close)
        measurement = measure(model, on_progress)
        peak_bytes = peak_rss_bytes()  # before the golden is read
        accuracy = measure_accuracy(model, bundle)
    memory = MemoryUse(peak_bytes, max(0, peak_bytes - before_bytes))
    return build_report(model, bundle, measurement, memory, accuracy)


def measure_accuracy(model: LoadedModel, bundle: Bundle) -> Accuracy | None:
    """Repeat the golden inside a bundle; None where it holds none.

    Raises:
        BundleError: if the golden is broken, or the bundle states no tolerance for it.
    """
    if GOLDEN_FILE not in bundle.manifest.files:
        return None
    limits = tolerance_of(bundle)
    found = check_golden(model.runner, model.graph, Golden.load(bundle), **limits)
    return Accuracy(found.passed, found.frames, found.mask_iou, found.max_abs_error)


def _prepare(
    request: BenchRequest, stack: ExitStack
) -> Callable[[LoadedModel, Progress], Measurement]:
    """Draw the clip or open the source, and return what measures a model on it."""
    limit = MeasurementLimit(request.steps, request.seconds)
    live = request.live
    if live is None:
        clip = draw_clip(CAMERA_SIZE, request.objects or 1)
        return lambda model, on_progress: measure_clip(model, clip, limit, on_progress)
    source = open_live(live)
    until_measured = stack.enter_context(ExitStack())
    until_measured.callback(source.close)

    def measure(model: LoadedModel, on_progress: Progress) -> Measurement:
        until_measured.pop_all()  # from here on the measurement closes the source
        return measure_live(model, source, live, limit, on_progress)

    return measure


def _check(manifest: Manifest, request: BenchRequest) -> None:
    size = manifest.size
    if request.size not in (None, size):
        asked = "x".join(map(str, request.size or ()))
        raise ShapeError(
            f"The bundle takes {size[0]}x{size[1]} images, not {asked}",
            "the size that the bundle was converted for",
            f"edge-vos convert --target {manifest.target} --size {asked} -o DIR",
        )
    if (request.objects or 1) > manifest.channels - 1:
        raise UsageError(
            f"{request.objects} objects",
            f"at most {manifest.channels - 1}, the bundle's channels",
            "Mend --objects",
        )
