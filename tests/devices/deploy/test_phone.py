"""Deploy to a scripted adb that answers as the real one: exit codes, its errors, a cable out."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_vos.bundle import Bundle, read_bundle
from edge_vos.devices.deploy.deploy import DeployRequest, deploy
from edge_vos.devices.deploy.phone import Timing, parse_benchmark_model, parse_executor_runner
from edge_vos.devices.deploy.remote import AdbRemote
from edge_vos.errors import DeviceError, GateError, UsageError

MakeBundle = Callable[..., Bundle]
SERIAL = "R5CT1"

EXECUTOR_LOG = """\
I 00:00:00.000391 executorch:cpuinfo_utils.cpp:62] Reading file /sys/devices/soc0/image_version
I 00:00:00.004021 executorch:executor_runner.cpp:312] Model file model.pte is loaded.
I 00:00:00.009143 executorch:executor_runner.cpp:321] Using method forward
I 00:00:01.912003 executorch:executor_runner.cpp:431] Model executed successfully 200 time(s) in \
1840.250000 ms.
"""
BENCHMARK_LOG = """\
INFO: Loaded model model.tflite
INFO: count=200 first=10412 curr=9980 min=9712 max=12001 avg=10011.5 std=222 p5=9800 median=10001
INFO: Inference timings in us: Init: 35120, First inference: 11876, Warmup (avg): 10333.1, \
Inference (avg): 10011.5
INFO: Note: as the benchmark tool itself affects memory footprint, the following is only APPROXIMATE
INFO: Memory footprint delta from the start of the tool (MB): init=9.41 overall=21.5
"""

ADB = """\
#!/bin/sh
# adb -s SERIAL shell|push|pull ...; the file `left` says after how many calls the cable comes out.
left=$(cat {folder}/left); echo $((left - 1)) > {folder}/left
if [ "$2" != {serial} ]; then echo "error: device '$2' not found" >&2; exit 1; fi
if [ "$left" -le 0 ]; then
  case "$3" in
  push) head -c 50 "$4" > "$5"; echo "adb: error: failed to copy '$4' to '$5': EOF" >&2;;
  shell) echo "error: device offline" >&2;;
  esac
  exit 1
fi
echo "$3 $4" >> {folder}/calls
export PATH="{folder}/system:$PATH"
case "$3" in
shell) exec sh -c "$4";;
push) cp "$4" "$5" && echo "$4: 1 file pushed, 0 skipped. 38.2 MB/s (1234 bytes in 0.001s)";;
pull) cp "$4" "$5" || {{ echo "adb: error: remote object '$4' does not exist" >&2; exit 1; }};;
esac
"""
RUNNER = """\
#!{python}
import sys
import numpy as np, onnxruntime

given = dict(argument.removeprefix("--").split("=", 1) for argument in sys.argv[1:])
model = onnxruntime.InferenceSession(given["model_path"])
if "inputs" in given:
    feed = dict()
    for spec, path in zip(model.get_inputs(), given["inputs"].split(",")):
        feed[spec.name] = np.fromfile(path, np.float32).reshape(spec.shape)
    for index, output in enumerate(model.run(None, feed)):
        output.tofile(f"{{given['output_file']}}-{{index}}.bin")
print({log!r}, file=sys.stderr)
"""


class Phone:
    """A folder that stands for a phone, and the adb that reaches it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "system").mkdir()
        self.script("system/getprop", "#!/bin/sh\necho Pixel 9\n")
        self.script("system/dumpsys", "#!/bin/sh\necho 'Thermal Status: 2'\n")
        self.script("adb", ADB.format(folder=folder, serial=SERIAL))
        self.plug(10_000)

    def script(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        path.chmod(0o755)
        return path

    def plug(self, calls: int) -> None:
        (self.folder / "left").write_text(str(calls))

    def remote(self, serial: str = SERIAL) -> AdbRemote:
        return AdbRemote(serial, str(self.folder / "tmp" / "edge-vos"), str(self.folder / "adb"))

    def pushes(self) -> int:
        return (self.folder / "calls").read_text().count("push ")


@pytest.fixture
def phone(tmp_path: Path) -> Phone:
    folder = tmp_path / "phone"
    folder.mkdir()
    return Phone(folder)


def test_executorch_is_checked_frame_by_frame_and_measured(
    phone: Phone, golden_bundle: MakeBundle
) -> None:
    runner = phone.script("runner", RUNNER.format(python=sys.executable, log=EXECUTOR_LOG))
    bundle = golden_bundle(backend="executorch-xnnpack")
    request = DeployRequest(bundle.path, phone.remote(), runner=runner, threads=2)
    done = deploy(request)
    assert sorted(done.copied) == ["golden.npz", "manifest.json", "model.onnx", "runner"]
    assert done.verify is not None
    assert (done.verify.passed, done.verify.frames) == (True, 3)
    assert done.report.latency_ms == {"infer": {"mean": pytest.approx(9.20125)}}
    assert done.report.device.name == "Pixel 9"
    assert any("no frame rate" in text for text in done.report.warnings)
    assert any("throttles" in text for text in done.report.warnings)
    assert read_bundle(done.installed).sha256 == bundle.sha256
    bundles = phone.folder / "tmp" / "edge-vos" / "bundles"
    assert [path.name for path in bundles.iterdir()] == [Path(done.installed).name]
    before = phone.pushes()
    assert deploy(request).copied == ()
    assert phone.pushes() == before + 7 * 3  # the recording's inputs alone


def test_masks_that_are_off_on_the_phone_are_not_installed(
    phone: Phone, golden_bundle: MakeBundle
) -> None:
    runner = phone.script("runner", RUNNER.format(python=sys.executable, log=EXECUTOR_LOG))
    bundle = golden_bundle(backend="executorch-xnnpack", broken=True)
    with pytest.raises(GateError, match=r"FAILED on adb://R5CT1"):
        deploy(DeployRequest(bundle.path, phone.remote(), runner=runner))
    assert list((phone.folder / "tmp" / "edge-vos" / "bundles").iterdir()) == []


def test_litert_is_measured_and_said_to_be_unchecked(
    phone: Phone, golden_bundle: MakeBundle
) -> None:
    tool = phone.script("benchmark_model", f"#!/bin/sh\ncat <<'EOF'\n{BENCHMARK_LOG}EOF\n")
    bundle = golden_bundle(backend="litert")
    done = deploy(DeployRequest(bundle.path, phone.remote(), runner=tool, threads=4))
    assert done.verify is None
    assert done.report.latency_ms == {"infer": {"mean": pytest.approx(10.0115)}}
    assert (done.report.load_ms, done.report.memory_mb) == (pytest.approx(35.12), 21.5)
    called = (phone.folder / "calls").read_text()
    assert "--num_threads=4" in called
    assert f"--graph={phone.folder}/tmp/edge-vos/.edge-vos/run-" in called


def test_a_cable_that_comes_out_anywhere_leaves_nothing_half_installed(
    phone: Phone, golden_bundle: MakeBundle
) -> None:
    tool = phone.script("benchmark_model", f"#!/bin/sh\ncat <<'EOF'\n{BENCHMARK_LOG}EOF\n")
    request = DeployRequest(golden_bundle(backend="litert").path, phone.remote(), runner=tool)
    broken = 0
    for calls in range(40):
        phone.plug(calls)
        try:
            deploy(request)
            break
        except DeviceError:
            broken += 1
        bundles = phone.folder / "tmp" / "edge-vos" / "bundles"
        there = bundles.iterdir() if bundles.exists() else ()
        assert list(there) == []
    assert broken >= 8  # fewer than there are calls: what came over before a break stays
    phone.plug(1000)
    before = phone.pushes()
    assert deploy(request).copied == ()
    assert phone.pushes() == before


def test_a_full_phone_is_not_taken_for_one_that_is_unplugged(
    phone: Phone, golden_bundle: MakeBundle
) -> None:
    said = "adb: error: failed to copy: remote couldn't create file: No space left on device"
    phone.script("system/cp", f'#!/bin/sh\necho "{said}" >&2; exit 1\n')
    tool = phone.script("tool", "#!/bin/sh\n")
    request = DeployRequest(golden_bundle(backend="litert").path, phone.remote(), runner=tool)
    with pytest.raises(DeviceError, match=r"No space left.*Make room there") as refused:
        deploy(request)
    assert "Plug" not in str(refused.value)


def test_what_adb_refuses_is_named(phone: Phone, golden_bundle: MakeBundle) -> None:
    tool = phone.script("tool", "#!/bin/sh\necho nothing to see\n")
    bundle = golden_bundle(backend="litert")
    with pytest.raises(DeviceError, match=r"device 'other' not found.*adb devices"):
        deploy(DeployRequest(bundle.path, phone.remote("other"), runner=tool))
    with pytest.raises(DeviceError, match=r"printed no timing.*nothing to see"):
        deploy(DeployRequest(bundle.path, phone.remote(), runner=tool))
    absent = AdbRemote(SERIAL, "/data/local/tmp/edge-vos", "no-such-adb")
    with pytest.raises(DeviceError, match="no-such-adb is not installed"):
        deploy(DeployRequest(bundle.path, absent, runner=tool))


def test_a_tool_is_asked_for_with_where_it_comes_from(
    phone: Phone, golden_bundle: MakeBundle, tmp_path: Path
) -> None:
    for backend, runner, says in (
        ("litert", None, "android_aarch64_benchmark_model"),
        ("executorch-vulkan", tmp_path / "missing", "executor_runner"),
        ("onnx", None, "edge-vos convert --target android"),
        ("executorch-coreml", None, "--target android"),
    ):
        with pytest.raises(UsageError, match=says):
            deploy(
                DeployRequest(golden_bundle(backend=backend).path, phone.remote(), runner=runner)
            )
    assert not (phone.folder / "calls").exists()


def test_timings_are_read() -> None:
    assert parse_executor_runner(EXECUTOR_LOG) == Timing(pytest.approx(9.20125))
    assert parse_benchmark_model(BENCHMARK_LOG) == Timing(10.0115, 11.876, 35.12, 21.5)
    assert parse_benchmark_model(BENCHMARK_LOG.replace("10333.1", "1.03e+06")) is not None
    without = BENCHMARK_LOG.replace("Memory footprint", "Nothing")
    assert parse_benchmark_model(without) == Timing(10.0115, 11.876, 35.12, None)


@pytest.mark.parametrize(
    "text",
    ["", "Model executed successfully", "Model executed successfully 0 time(s) in 1.0 ms.",
     "Model executed successfully x time(s) in 1.0 ms.",
     "Inference timings in us: Init: , First inference: 3, Warmup (avg): 2, Inference (avg): 1",
     "Inference timings in us: Init: 35120, First inference: 11876",
     f"Model executed successfully {'9' * 5000} time(s) in 1.0 ms.",
     "Inference timings in us: Init: 1, First inference: 1, Warmup (avg): 1, "
     "Inference (avg): 1e+999"],
)  # fmt: skip
def test_a_malformed_log_holds_no_timing(text: str) -> None:
    assert parse_executor_runner(text) is None
    assert parse_benchmark_model(text) is None
