"""Ask an engine's own profiler what each operator of a bundle costs."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_vos.devices.cost.model_parts import ModelParts, read_model_parts
from edge_vos.devices.cost.operators import OperatorCost, read_profile
from edge_vos.devices.cost.roofline import Peak
from edge_vos.errors import EngineError

CALLS = 20
_DTYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


@dataclass(frozen=True)
class EngineProfile:
    """Hold what an engine's profiler wrote.

    Args:
        text: JSON, as ONNX Runtime writes it.
        parts: of the model that was profiled.
    """

    text: str
    parts: ModelParts

    def costs(self, peak: Peak) -> tuple[OperatorCost, ...]:
        """Return what each operator costs, in the order that they are run in.

        Args:
            peak: that was measured with as many threads.
        """
        return read_profile(self.text, self.parts, peak.fp32_gmacs, peak.int8_gmacs)


def profile_onnx(
    model_path: Path, threads: int | None, calls: int = CALLS, objects: int = 1
) -> EngineProfile:
    """Run an ONNX file a few times under ONNX Runtime's profiler.

    Args:
        model_path: of the bundle; the calls get random inputs, which take as long as any.
        threads: of the engine; None is its own choice.
        calls: how many to run.
        objects: in use, where the file takes any number.

    Raises:
        EngineError: if a package is missing, or ONNX Runtime refuses the file.
        BundleError: if the file is no ONNX file.
    """
    parts = read_model_parts(model_path)
    import onnxruntime  # measure_peak, which comes first, has found it

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = False
    options.enable_profiling = True
    options.log_severity_level = 4  # fatal only; its errors come as exceptions
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory(prefix="edge-vos-profile-") as folder:
        options.profile_file_prefix = str(Path(folder) / "profile")
        try:
            session = onnxruntime.InferenceSession(
                str(model_path), options, providers=["CPUExecutionProvider"]
            )
            feed = {
                node.name: rng.random(_sides(node.shape, objects)).astype(_DTYPES[node.type])
                for node in session.get_inputs()
            }
            for _ in range(calls):
                session.run(None, feed)
            profile = Path(session.end_profiling()).read_text(encoding="utf-8")
        except Exception as error:  # ONNX Runtime's errors share no public base
            raise EngineError(
                f"{model_path.name} cannot be profiled: {' '.join(str(error).split())}",
                "a model that ONNX Runtime can run",
                "edge-vos verify BUNDLE",
            ) from error
    return EngineProfile(profile, parts)


def _sides(shape: list[int | str], objects: int) -> list[int]:
    """Return a shape whose symbolic sides, such as "K" and "16K", have a number of objects."""
    return [
        int(side.removesuffix("K") or 1) * (objects + 1) if isinstance(side, str) else side
        for side in shape
    ]
