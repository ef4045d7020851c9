import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_vos.devices.telemetry.tegrastats import parse_power_mode, parse_tegrastats

NANO_JETPACK_4 = (
    "RAM 1923/3964MB (lfb 2x2MB) SWAP 191/1982MB (cached 6MB) IRAM 0/252kB(lfb 252kB) "
    "CPU [5%@1224,4%@1224,off,6%@1224] EMC_FREQ 0%@1600 GR3D_FREQ 0%@76 APE 25 PLL@37C CPU@40C "
    "PMIC@50C GPU@40C AO@45C thermal@40C POM_5V_IN 1750/1628 POM_5V_GPU 0/0 POM_5V_CPU 366/406"
)
XAVIER_JETPACK_4 = (
    "RAM 2436/15826MB (lfb 2995x4MB) SWAP 0/7913MB (cached 0MB) CPU [6%@1190,2%@1190,off,off] "
    "EMC_FREQ 3%@665 GR3D_FREQ 76%@318 AO@34.5C GPU@34.5C PMIC@100C AUX@34C CPU@35.5C "
    "GPU 311/311 CPU 467/467 SOC 934/934 CV 0/0 VDDRQ 155/155 SYS5V 1517/1517"
)
XAVIER_NX_JETPACK_5 = (
    "03-22-2023 10:12:44 RAM 1711/6855MB (lfb 815x4MB) SWAP 0/3427MB (cached 0MB) "
    "CPU [2%@1190,0%@1190,3%@1190,1%@1190,0%@1190,0%@1190] EMC_FREQ 1%@1600 GR3D_FREQ 0%@114 "
    "VIC_FREQ 601 APE 150 AUX@36C CPU@37.5C thermal@36.45C AO@36C GPU@36C PMIC@50C "
    "VDD_IN 3442mW/3466mW VDD_CPU_GPU_CV 487mW/495mW VDD_SOC 975mW/983mW"
)
ORIN_NANO_JETPACK_6 = (
    "01-14-2025 09:08:28 RAM 4722/7620MB (lfb 1x512kB) SWAP 12/3810MB (cached 0MB) "
    "CPU [13%@1728,9%@1728,4%@1728,11%@1728,0%@1728,2%@1728] EMC_FREQ 2%@3199 GR3D_FREQ 10%@1020 "
    "NVDEC off NVJPG off VIC off OFA off APE 200 cpu@49.062C soc2@48.187C soc0@47.593C "
    "gpu@48.843C tj@49.062C soc1@48.312C VDD_IN 5033mW/5033mW VDD_CPU_GPU_CV 1165mW/1165mW "
    "VDD_SOC 1444mW/1444mW"
)
AGX_ORIN_JETPACK_7 = (
    "07-25-2026 09:08:28 RAM 20642/62817MB (lfb 1x2MB) CPU [23%@2201,10%@2201] EMC_FREQ 3%@3199 "
    "GR3D_FREQ 12%@[1300,1200] NVENC0 off PVA0_FREQ off APE 174 cpu@52.968C/52.968C "
    "cv0@-256.000C/-256.000C gpu@47.625C/47.625C VDD_GPU_SOC 5139mW/5139mW/5139mW "
    "VDD_CPU_CV 3268mW/3268mW/3268mW VIN_SYS_5V0 5500mW/5500mW/5500mW"
)
THOR = "RAM 4722/7844MB (lfb 1x512kB) EMC_FREQ @2133 GR3D_FREQ @[1000,1575,1000] APE 150"
LINES = [NANO_JETPACK_4, XAVIER_JETPACK_4, XAVIER_NX_JETPACK_5, ORIN_NANO_JETPACK_6,
         AGX_ORIN_JETPACK_7, THOR]  # fmt: skip


def test_jetpack_4_tells_power_without_a_unit() -> None:
    sample = parse_tegrastats(NANO_JETPACK_4)
    assert sample is not None
    assert sample.ram_used_bytes == 1923 << 20
    assert (sample.gpu_percent, sample.gpu_mhz) == (0.0, 76.0)
    assert sample.power_mw == {"POM_5V_IN": 1750.0, "POM_5V_GPU": 0.0, "POM_5V_CPU": 366.0}
    assert sample.board_mw == 1750.0


@pytest.mark.parametrize(
    ("line", "gpu", "mhz", "board"),
    [
        (XAVIER_JETPACK_4, 76.0, 318.0, 311 + 467 + 934 + 155 + 1517),
        (XAVIER_NX_JETPACK_5, 0.0, 114.0, 3442.0),
        (ORIN_NANO_JETPACK_6, 10.0, 1020.0, 5033.0),
        (AGX_ORIN_JETPACK_7, 12.0, 1300.0, 5139 + 3268 + 5500),
        (THOR, None, 1575.0, None),
    ],
)
def test_every_generation_is_read(
    line: str, gpu: float | None, mhz: float, board: float | None
) -> None:
    sample = parse_tegrastats(line)
    assert sample is not None
    assert (sample.gpu_percent, sample.gpu_mhz, sample.board_mw) == (gpu, mhz, board)
    assert sample.ram_used_bytes
    assert not {"RAM", "SWAP", "IRAM"} & set(sample.power_mw)


@pytest.mark.parametrize(
    "line", ["", "RAM", "RAM 12", "RAM 12/MB", "RAM -1/9MB", "IRAM 0/252kB", "CPU [5%@1]",
             "tegrastats: command not found", "VDD_IN 3442mW/3466mW"]
)  # fmt: skip
def test_a_malformed_line_is_none(line: str) -> None:
    assert parse_tegrastats(line) is None


@pytest.mark.parametrize("line", LINES)
def test_a_line_cut_anywhere_never_fails_and_never_invents(line: str) -> None:
    whole = parse_tegrastats(line)
    assert whole is not None
    for end in range(len(line)):
        part = parse_tegrastats(line[:end])
        if part is not None:
            assert set(part.power_mw) <= set(whole.power_mw)
            assert part.ram_used_bytes in (None, whole.ram_used_bytes)


@pytest.mark.parametrize(
    "text",
    ["RAM 1/2MB VDD_IN {}mW/1mW", "RAM 1/2MB VDD_IN 1mW/{}mW",
     "RAM 1/2MB GR3D_FREQ {}%", "RAM 1/2MB GR3D_FREQ 5%@{}", "RAM 1/2MB GR3D_FREQ 5%@[1,{}]"],
)  # fmt: skip
def test_numbers_that_cannot_be_are_left_out(text: str) -> None:
    for digits in ("9" * 400, "9" * 5000, "1" * 20):
        sample = parse_tegrastats(text.format(digits))
        assert sample is not None
        assert sample.power_mw == {}
        assert sample.ram_used_bytes == 1 << 20
        assert sample.gpu_mhz in (None, 1.0)
        assert parse_tegrastats(f"RAM {digits}/2MB") is None


def test_a_load_above_all_is_none() -> None:
    sample = parse_tegrastats("RAM 1/2MB GR3D_FREQ 999%@76")
    assert sample is not None
    assert (sample.gpu_percent, sample.gpu_mhz) == (None, 76.0)


@given(st.text(max_size=80))
def test_parsers_never_fail(text: str) -> None:
    parse_tegrastats(text)
    parse_tegrastats(f"RAM 1/2MB GR3D_FREQ {text} VDD_IN {text}")
    parse_power_mode(text)


@pytest.mark.parametrize(
    ("text", "mode"),
    [("NV Fan Mode:quiet\nNV Power Mode: MAXN\n0\n", "MAXN"),
     ("NV Power Mode: MODE_15W_6CORE\n2\n", "MODE_15W_6CORE"), ("NV Power Mode:\n", None),
     ("bash: nvpmodel: command not found", None), ("", None)],
)  # fmt: skip
def test_power_mode(text: str, mode: str | None) -> None:
    assert parse_power_mode(text) == mode
