"""The device table, its lookup, a user's own rows, and what is kept of this machine."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interconnected_ai.errors import ConfigError, StorageError, UnknownNameError
from interconnected_ai.planner.devices import (
    DEVICES,
    PRECISIONS,
    Calibration,
    Device,
    calibration_path,
    find_device,
    load_calibration,
    read_devices,
    save_calibration,
    this_machine,
)
from interconnected_ai.planner.devices import detection as hardware
from properties import examples

GPUS = [device for device in DEVICES if device.kind == "gpu"]
CALIBRATION = Calibration(
    date="2026-11-22",
    products={"float32": ((1e6, 2e10), (1e9, 1e11)), "bfloat16": ((1e6, 1e10), (1e9, 2.5e11))},
    bandwidth=4.6e10,
    disk_bandwidth=1.2e9,
    op_seconds=6e-6,
    activations_per_second=5e8,
    updates_per_second=4e8,
)
ROW = """
name: My card
kind: gpu
memory_bytes: 24e9
memory_bandwidth: 9.36e11
peak_flops: {float32: 35.6e12, bfloat16: 71e12}
usd_per_hour: 0.2
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration folder of our own, so that no test sees or changes the user's."""
    monkeypatch.setenv("IAI_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def calibrated(**changes: object) -> Device:
    here = hardware._cpu_here()
    return Device.from_mapping({**here.to_dict(), "calibration": CALIBRATION.to_dict(), **changes})


# The table


@pytest.mark.parametrize("device", DEVICES, ids=lambda device: device.name)
def test_every_row_says_where_its_figures_come_from(device: Device) -> None:
    assert device.source
    assert device.price_source
    assert (device.usd_per_hour is None) or re.fullmatch(r"20\d\d-(0[1-9]|1[0-2])", device.price_date)
    assert "float32" in device.peak_flops
    assert list(device.peak_flops) == [p for p in PRECISIONS if p in device.peak_flops]
    assert device.calibration is None


@pytest.mark.parametrize("device", GPUS, ids=lambda device: device.name)
def test_tensor_cores_gain_what_their_generation_gains(device: Device) -> None:
    # A slip between dense and sparse figures, or between tera and giga, would break one of these ratios.
    peak = device.peak_flops
    assert 1e12 < peak["float32"] < 2e14
    assert 1.9 < peak["float16"] / peak["float32"] < 32
    if "bfloat16" in peak:
        assert peak["bfloat16"] == peak["float16"] == pytest.approx(2 * peak["tf32"], rel=0.03)
    if "int8" in peak:
        assert peak["int8"] / peak["float16"] == pytest.approx(
            4 if "GeForce" in " ".join(device.aliases) else 2, rel=0.02
        )
    if "int4" in peak:
        assert peak["int4"] == pytest.approx(2 * peak["int8"], rel=0.01)


@pytest.mark.parametrize(
    ("name", "gb"),
    [("A100 40GB SXM", 40), ("A100 80GB PCIe", 80), ("H200", 141), ("T4", 16), ("RTX 3060 12GB", 12), ("L40S", 48)],
)
def test_memory_is_what_programs_get_and_not_more_than_is_printed_on_the_box(name: str, gb: int) -> None:
    assert 0.93 * gb * 2**30 < find_device(name).memory_bytes <= gb * 2**30 * 1.001


def test_hardware_without_a_precision_is_not_given_one() -> None:
    assert "bfloat16" not in find_device("T4").peak_flops
    assert not {"bfloat16", "tf32", "int8"} & find_device("V100 16GB").peak_flops.keys()
    with pytest.raises(
        ConfigError, match=r"T4 does not multiply in bfloat16; it does in: float16, float32, int4, int8"
    ):
        find_device("T4").flops("bfloat16")


def test_names_and_aliases_lead_to_one_row_each() -> None:
    for device in DEVICES:
        for name in (device.name, *device.aliases):
            for written in (name, name.upper(), name.lower(), f"NVIDIA {name}", name.replace(" ", "")):
                assert find_device(written) is device, written


# The lookup


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("4090", "RTX 4090"),
        ("rtx-3090", "RTX 3090"),
        ("3060", "RTX 3060 12GB"),
        ("A100 40GB", "A100 40GB SXM"),
        ("NVIDIA A100-SXM4-80GB", "A100 80GB SXM"),  # as PyTorch reports it
        ("NVIDIA H100 80GB HBM3", "H100 SXM"),
        ("NVIDIA GeForce RTX 5090", "RTX 5090"),
        ("Tesla V100-SXM2-32GB", "V100 32GB"),
        ("l4", "L4"),
        ("m1", "Apple M1 16GB"),
        ("m4 max", "Apple M4 Max 128GB"),
    ],
)
def test_a_device_is_found_as_people_and_programs_write_it(written: str, name: str) -> None:
    assert find_device(written).name == name


def test_a_name_that_several_devices_have_lists_them() -> None:
    with pytest.raises(ConfigError, match=r"'A100 40GB SXM', 'A100 80GB SXM', 'A100 80GB PCIe'; write one of these"):
        find_device("a100")


def test_an_unknown_name_lists_the_nearest_first() -> None:
    with pytest.raises(UnknownNameError) as caught:
        find_device("RTX 4080")
    assert set(caught.value.known[:3]) == {"RTX 4060", "RTX 4070", "RTX 4090"}
    assert "this machine" in caught.value.known
    with pytest.raises(UnknownNameError):
        find_device("")


# A user's own rows


def test_a_users_row_comes_before_the_table_and_numbers_may_be_written_short(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(ROW, encoding="utf-8")
    mine = find_device("my card", path)
    assert (mine.memory_bytes, mine.flops("bfloat16"), mine.usd_per_hour) == (24 * 10**9, 71e12, 0.2)
    path.write_text(ROW.replace("My card", "RTX 4090"), encoding="utf-8")
    assert find_device("4090", str(path)).memory_bytes == 24 * 10**9
    assert find_device("RTX 3090", path).name == "RTX 3090"
    assert find_device("box", {**mine.to_dict(), "name": "Box"}).name == "Box"


def test_a_file_may_hold_several_rows(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    rows = [device.to_dict() for device in DEVICES[:3]]
    path.write_text("\n".join(f"- {row}" for row in rows).replace("None", "null"), encoding="utf-8")
    assert read_devices(path) == DEVICES[:3]


@pytest.mark.parametrize("device", DEVICES[:4] + DEVICES[-2:], ids=lambda device: device.name)
def test_a_row_survives_yaml(device: Device, tmp_path: Path) -> None:
    path = tmp_path / "row.yaml"
    path.write_text(device.to_yaml(), encoding="utf-8")
    assert read_devices(path) == (device,)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (ROW.replace("memory_bandwidth", "bandwith"), "row.yaml: unknown key 'bandwith'"),
        (ROW.replace("kind: gpu", "kind: tpu"), "kind = 'tpu'"),
        (ROW.replace("float32", "fp32"), "unknown precision 'fp32'; known: float32, tf32"),
        (ROW.replace("24e9", "24.5"), "memory_bytes = 24.5"),
        (ROW.replace("9.36e11", "0"), "memory_bandwidth = 0"),
        ("- name: a", "row 1: key 'kind' is missing"),
        ("[]", "needs a row (a mapping) or a list of rows, got list"),
        ("just text", "needs a row (a mapping) or a list of rows, got str"),
        ("a: [", "is not valid YAML"),
    ],
)
def test_a_mistake_in_a_row_is_named(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "row.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=re.escape(says)):
        read_devices(path)


def test_a_file_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no device file at"):
        find_device("my card", tmp_path / "none.yaml")


# This machine


def test_this_machine_has_the_cores_and_memory_that_the_system_reports(home: Path) -> None:
    here = this_machine()
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert here.name == "this machine"
    assert 1 <= (here.num_cores or 0) <= (available or 1)
    assert 2**28 < here.memory_bytes <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert here.calibrated_on is None
    assert "assumed, not measured" in here.source or here.kind == "apple"
    assert find_device("This Machine") == find_device("cpu") == here


def test_a_container_gets_no_more_than_its_limits(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "cpu.max").write_text("max 100000\n")
    free_cores, free_memory = hardware._num_cores(tmp_path), hardware._memory_bytes(tmp_path)
    assert free_memory == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    (tmp_path / "memory.max").write_text(f"{2**30}\n")
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    assert hardware._memory_bytes(tmp_path) == 2**30
    assert hardware._num_cores(tmp_path) == 1 <= free_cores
    version_1 = tmp_path / "v1"
    (version_1 / "memory").mkdir(parents=True)
    (version_1 / "memory" / "memory.limit_in_bytes").write_text(f"{2**29}\n")
    assert hardware._memory_bytes(version_1) == 2**29


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        ("processor : 0\nflags\t\t: fpu avx2 avx512_bf16\nflags : other\n", {"fpu", "avx2", "avx512_bf16"}),
        ("Features\t: fp asimd bf16\n", {"fp", "asimd", "bf16"}),
        ("nothing here", set()),
    ],
)
def test_instruction_sets_are_read_from_cpuinfo(tmp_path: Path, text: str, flags: set[str]) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    assert hardware._instruction_sets(tmp_path / "cpuinfo") == flags
    assert hardware._instruction_sets(tmp_path / "absent") == set()


def test_a_mac_is_its_chips_row_with_its_own_memory(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware.platform, "system", lambda: "Darwin")
    monkeypatch.setattr(hardware, "_sysctl", lambda key: "Apple M2 Pro" if "brand" in key else "0")
    monkeypatch.setattr(hardware, "_memory_bytes", lambda: 16 * 2**30)
    here = this_machine()
    assert (here.name, here.kind, here.memory_bytes) == ("this machine", "apple", 16 * 2**30)
    assert here.peak_flops == find_device("M2 Pro").peak_flops
    monkeypatch.setattr(hardware, "_sysctl", lambda key: "Apple M99")
    assert this_machine().kind == "cpu"


# Its calibration


def test_a_calibration_is_stored_and_used(home: Path) -> None:
    assert load_calibration() is None
    machine = calibrated()
    assert save_calibration(machine) == home / "calibration.yaml" == calibration_path()
    assert load_calibration() == this_machine() == machine
    assert this_machine().flops("bfloat16") == 2.5e11
    assert this_machine().measured_flops == {"float32": 1e11, "bfloat16": 2.5e11}
    assert (machine.bandwidth, machine.measured_disk_bandwidth, machine.calibrated_on) == (4.6e10, 1.2e9, "2026-11-22")
    assert os.listdir(home) == ["calibration.yaml"]


def test_a_calibration_of_another_number_of_cores_is_not_used(home: Path) -> None:
    save_calibration(calibrated(num_cores=999))
    assert this_machine().calibration is None
    save_calibration(calibrated(num_cores=999, kind="gpu", name="A GPU here"))
    assert this_machine().name == "A GPU here"


def test_a_calibrated_machine_keeps_the_memory_it_has_now(home: Path) -> None:
    save_calibration(calibrated(memory_bytes=1))
    assert this_machine().memory_bytes == hardware._memory_bytes()


@examples(30)
@given(st.floats(1e3, 1e15), st.floats(1e-9, 1e-3), st.lists(st.floats(1.0, 1e13), min_size=1, max_size=4, unique=True))
def test_any_calibration_survives_storing(
    tmp_path_factory: pytest.TempPathFactory, rate: float, op: float, sizes: list[float]
) -> None:
    curve = tuple((size, rate) for size in sorted(sizes))
    found = CALIBRATION.with_changes(products={"float32": curve}, op_seconds=op, notes=["int8: медленно"])
    path = tmp_path_factory.mktemp("stored") / "c.yaml"
    machine = calibrated(calibration=found.to_dict())
    save_calibration(machine, path)
    assert load_calibration(path) == machine


@pytest.mark.parametrize(
    "products",
    [{}, {"float32": []}, {"float32": [[2.0, 1.0], [1.0, 1.0]]}, {"fp8": [[1.0, 1.0]]}, {"int8": [[1.0, 0.0]]}],
)
def test_a_calibration_that_cannot_be_is_refused(products: object) -> None:
    with pytest.raises(ConfigError, match="products"):
        Calibration.from_mapping({**CALIBRATION.to_dict(), "products": products})


def test_a_damaged_calibration_names_the_remedy(home: Path) -> None:
    home.mkdir()
    for text in ("name: [", "name: x\nfrom_the_future: 1\n", DEVICES[0].to_yaml()):
        calibration_path().write_text(text, encoding="utf-8")
        with pytest.raises(ConfigError, match="measure again with: iai plan calibrate"):
            load_calibration()


def test_a_calibration_replaces_the_old_one_whole_or_not_at_all(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = calibrated()
    save_calibration(first)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"No space left on device.*set IAI_HOME"):
        save_calibration(calibrated(name="second"))
    assert load_calibration() == first
    assert os.listdir(home) == ["calibration.yaml"]
    with pytest.raises(ConfigError, match="has no calibration to store"):
        save_calibration(DEVICES[0])


def test_the_calibration_stands_where_the_platform_keeps_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("IAI_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert calibration_path() == tmp_path / ".config" / "interconnected_ai" / "calibration.yaml"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    assert calibration_path() == tmp_path / "xdg" / "interconnected_ai" / "calibration.yaml"


def test_the_table_needs_neither_torch_nor_numpy() -> None:
    code = "import sys; import interconnected_ai.planner.devices; print(sorted({'torch', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
