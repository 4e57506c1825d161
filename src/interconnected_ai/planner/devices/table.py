"""The table of devices: GPUs, Apple chips and CPUs by their data sheets. A row is one product; a new one is a row more."""

from collections.abc import Mapping

from interconnected_ai.planner.devices.device import Device

# Figures are the manufacturers'; where a sheet gives them "with sparsity", half of it stands here.


def _gpu(
    name: str,
    *aliases: str,
    mib: int,
    gb_per_second: float,
    tflops: Mapping[str, float],
    usd: tuple[float, str, str] | None,
    source: str,
) -> Device:
    """A row for a GPU. usd: price per hour, whose, and when it was seen."""
    price, price_source, price_date = usd or (None, "no public price with a date was found", "")
    return Device(
        name=name,
        kind="gpu",
        memory_bytes=mib * 2**20,
        memory_bandwidth=gb_per_second * 1e9,
        peak_flops={precision: rate * 1e12 for precision, rate in tflops.items()},
        aliases=aliases,
        usd_per_hour=price,
        price_source=price_source,
        price_date=price_date,
        source=source,
    )


def _apple(chip: str, memory_gib: int, gb_per_second: float, gpu_cores: int, ghz: float, source: str) -> Device:
    """A row for an Apple chip's GPU: a core has 128 units that multiply and add once a cycle, float16 at the same rate."""
    rate = gpu_cores * 128 * 2 * ghz * 1e9
    return Device(
        name=f"Apple {chip} {memory_gib}GB",
        kind="apple",
        memory_bytes=memory_gib * 2**30,
        memory_bandwidth=gb_per_second * 1e9,
        peak_flops={"float32": rate, "float16": rate},
        aliases=(f"Apple {chip}", chip),
        price_source="not rented out by the hour at a public price we know",
        source=(
            f"{source}; the largest memory it is sold with, of which macOS leaves the GPU about three quarters; "
            f"peak = {gpu_cores} GPU cores × 128 × 2 × {ghz} GHz; no published rate for bfloat16 and int8"
        ),
    )


def _cpu(
    name: str,
    *aliases: str,
    cores: int,
    ghz: float,
    flops_per_cycle: Mapping[str, int],
    memory_gib: int,
    gb_per_second: float,
    source: str,
) -> Device:
    """A row for a CPU: peak = cores × GHz × FLOPs per cycle."""
    return Device(
        name=name,
        kind="cpu",
        memory_bytes=memory_gib * 2**30,
        memory_bandwidth=gb_per_second * 1e9,
        peak_flops={precision: cores * ghz * 1e9 * each for precision, each in flops_per_cycle.items()},
        aliases=aliases,
        num_cores=cores,
        price_source="depends on the machine around it",
        source=f"{source}; peak = {cores} cores × {ghz} GHz × {dict(flops_per_cycle)} FLOPs per cycle",
    )


_NVIDIA = "https://www.nvidia.com/content/dam/en-zz/Solutions/Data-Center"
_A100 = f"{_NVIDIA}/a100/pdf/nvidia-a100-datasheet-us-nvidia-1758950-r4-web.pdf"
_HOPPER = (
    "NVIDIA H100 Tensor Core GPU data sheet and Hopper architecture white paper (dense = half of the sparse figures)"
)
_VOLTA = "NVIDIA V100 Tensor Core GPU data sheet (SXM2); no bfloat16, no TF32, no integer tensor cores"
_GA102 = "NVIDIA Ampere GA102 GPU architecture white paper v2, appendix A"
_M2_CLOCK = "Apple; GPU clock as measured by github.com/philipturner/metal-benchmarks"
_M3_CLOCK = "Apple; Apple publishes no GPU clock, the lowest reported one is taken (hmc-tech.com)"

_A100_TFLOPS = {"float32": 19.5, "tf32": 156, "bfloat16": 312, "float16": 312, "int8": 624, "int4": 1248}
_H100_TFLOPS = {"float32": 66.9, "tf32": 494.7, "bfloat16": 989.4, "float16": 989.4, "int8": 1978.9}
_MI300_TFLOPS = {"float32": 163.4, "tf32": 653.7, "bfloat16": 1307.4, "float16": 1307.4, "int8": 2614.9}
_V100_TFLOPS = {"float32": 15.7, "float16": 125}

# Prices on demand, for one GPU, as the providers' own pages listed them in that month (read from dated transcriptions of
# those pages). They move by tens of percent within months and differ by several times between providers.
_RUNPOD = "RunPod, Secure Cloud, on demand (runpod.io/pricing)"
_RUNPOD_COMMUNITY = "RunPod, Community Cloud: third parties' own cards (runpod.io/pricing)"
_LAMBDA = "Lambda, on demand (lambda.ai/pricing)"
_MODAL = "Modal, by the second (modal.com/pricing)"

DEVICES: tuple[Device, ...] = (
    _gpu(
        "A100 40GB SXM", "A100-SXM4-40GB",
        mib=40960, gb_per_second=1555, tflops=_A100_TFLOPS, usd=(1.99, _LAMBDA, "2026-09"), source=_A100,
    ),
    _gpu(
        "A100 80GB SXM", "A100-SXM4-80GB",
        mib=81920, gb_per_second=2039, tflops=_A100_TFLOPS, usd=(1.59, _RUNPOD, "2026-09"), source=_A100,
    ),
    _gpu(
        "A100 80GB PCIe", "A100-PCIE-80GB",
        mib=81920, gb_per_second=1935, tflops=_A100_TFLOPS, usd=(1.59, _RUNPOD, "2026-09"), source=_A100,
    ),
    _gpu(
        "A40", "A40 48GB",
        mib=46068, gb_per_second=696,
        tflops={"float32": 37.4, "tf32": 74.8, "bfloat16": 149.7, "float16": 149.7, "int8": 299.3, "int4": 598.7},
        usd=(0.44, _RUNPOD, "2026-08"), source="https://images.nvidia.cn/content/Solutions/data-center/a40/nvidia-a40-datasheet.pdf",
    ),
    _gpu(
        "A10G", "A10G 24GB",
        mib=23028, gb_per_second=600,
        tflops={"float32": 35, "tf32": 35, "bfloat16": 70, "float16": 70, "int8": 140, "int4": 280},
        usd=None, source="NVIDIA A10G data sheet for AWS (d1.awsstatic.com/product-marketing/ec2, dense figures)",
    ),
    _gpu(
        "H100 SXM", "H100 80GB SXM", "H100 80GB HBM3", "H100-SXM5-80GB",
        mib=81559, gb_per_second=3350, tflops=_H100_TFLOPS, usd=(3.49, _RUNPOD, "2026-09"), source=_HOPPER,
    ),
    _gpu(
        "H100 PCIe", "H100 80GB PCIe",
        mib=81559, gb_per_second=2000,
        tflops={"float32": 51.2, "tf32": 378, "bfloat16": 756.5, "float16": 756.5, "int8": 1513},
        usd=(2.89, _RUNPOD, "2026-09"), source=_HOPPER,
    ),
    _gpu(
        "H100 NVL", "H100 NVL 94GB",
        mib=95830, gb_per_second=3900,
        tflops={"float32": 60, "tf32": 417.5, "bfloat16": 835.5, "float16": 835.5, "int8": 1670.5},
        usd=None, source=f"{_HOPPER}; one of a pair's two cards",
    ),
    _gpu(
        "H200", "H200 SXM", "H200 141GB",
        mib=143771, gb_per_second=4800, tflops=_H100_TFLOPS, usd=(4.59, _RUNPOD, "2026-09"),
        source="NVIDIA H200 Tensor Core GPU data sheet; computes as the H100 SXM does",
    ),
    _gpu(
        "B200", "B200 180GB",
        mib=183359, gb_per_second=8000,
        tflops={"float32": 80, "tf32": 1100, "bfloat16": 2250, "float16": 2250, "int8": 4500},
        usd=(6.79, _RUNPOD, "2026-09"), source="NVIDIA Blackwell architecture technical brief, HGX B200 at 1,000 W",
    ),
    _gpu(
        "GB200", "GB200 186GB",
        mib=189471, gb_per_second=8000,
        tflops={"float32": 80, "tf32": 1250, "bfloat16": 2500, "float16": 2500, "int8": 5000},
        usd=None, source="NVIDIA GB200 NVL72 data sheet: one of a superchip's two GPUs (dense = half of the sparse figures)",
    ),
    _gpu(
        "MI300X", "Instinct MI300X", "AMD Instinct MI300X",
        mib=196592, gb_per_second=5300, tflops=_MI300_TFLOPS, usd=None,
        source="AMD Instinct MI300X data sheet (matrix cores, dense; TF32 stands for AMD's xf32)",
    ),
    _gpu(
        "MI325X", "Instinct MI325X", "AMD Instinct MI325X",
        mib=262128, gb_per_second=6000, tflops=_MI300_TFLOPS, usd=None,
        source="AMD Instinct MI325X data sheet (matrix cores, dense; TF32 stands for AMD's xf32)",
    ),
    _gpu(
        "L4", "L4 24GB",
        mib=23034, gb_per_second=300,
        tflops={"float32": 30.3, "tf32": 60, "bfloat16": 121, "float16": 121, "int8": 242.5},
        usd=(0.80, _MODAL, "2026-05"), source="NVIDIA L4 Tensor Core GPU data sheet (dense = half of the sparse figures)",
    ),
    _gpu(
        "L40S", "L40S 48GB",
        mib=46068, gb_per_second=864,
        tflops={"float32": 91.6, "tf32": 183, "bfloat16": 362.05, "float16": 362.05, "int8": 733},
        usd=(1.09, _RUNPOD, "2026-09"), source="NVIDIA L40S data sheet",
    ),
    _gpu(
        "T4", "Tesla T4", "T4 16GB",
        mib=15360, gb_per_second=320,
        tflops={"float32": 8.1, "float16": 65, "int8": 130, "int4": 260},
        usd=(0.59, _MODAL, "2026-05"), source=f"{_NVIDIA}/tesla-t4/t4-tensor-core-datasheet-951643.pdf; no bfloat16, no TF32",
    ),
    _gpu(
        "V100 16GB", "Tesla V100-SXM2-16GB",
        mib=16160, gb_per_second=900, tflops=_V100_TFLOPS,
        usd=(0.79, f"{_LAMBDA}, rented as eight", "2026-09"), source=_VOLTA,
    ),
    _gpu(
        "V100 32GB", "Tesla V100-SXM2-32GB",
        mib=32510, gb_per_second=900, tflops=_V100_TFLOPS, usd=None, source=_VOLTA,
    ),
    _gpu(
        "RTX 3060 12GB", "GeForce RTX 3060", "RTX 3060",
        mib=12288, gb_per_second=360,
        tflops={"float32": 12.7, "tf32": 12.7, "bfloat16": 25.5, "float16": 25.5, "int8": 101.9, "int4": 203.8},
        usd=None, source="GA106: 28 SMs at 1.777 GHz, with the rates per SM of the Ampere GA102 white paper",
    ),
    _gpu(
        "RTX 3080 10GB", "GeForce RTX 3080", "RTX 3080",
        mib=10240, gb_per_second=760,
        tflops={"float32": 29.8, "tf32": 29.8, "bfloat16": 59.5, "float16": 59.5, "int8": 238, "int4": 476},
        usd=None, source=_GA102,
    ),
    _gpu(
        "RTX 3090", "GeForce RTX 3090", "RTX 3090 24GB",
        mib=24576, gb_per_second=936,
        tflops={"float32": 35.6, "tf32": 35.6, "bfloat16": 71, "float16": 71, "int8": 284, "int4": 568},
        usd=(0.22, _RUNPOD_COMMUNITY, "2026-03"), source=_GA102,
    ),
    _gpu(
        "RTX 4060", "GeForce RTX 4060", "RTX 4060 8GB",
        mib=8188, gb_per_second=272,
        tflops={"float32": 15.1, "tf32": 15.1, "bfloat16": 30.2, "float16": 30.2, "int8": 121, "int4": 242},
        usd=None, source="AD107: 24 SMs at 2.46 GHz, with the rates per SM of the Ada architecture white paper",
    ),
    _gpu(
        "RTX 4070", "GeForce RTX 4070", "RTX 4070 12GB",
        mib=12282, gb_per_second=504,
        tflops={"float32": 29.1, "tf32": 29.1, "bfloat16": 58.3, "float16": 58.3, "int8": 233, "int4": 466},
        usd=None, source="AD104: 46 SMs at 2.475 GHz, with the rates per SM of the Ada architecture white paper",
    ),
    _gpu(
        "RTX 4090", "GeForce RTX 4090", "RTX 4090 24GB",
        mib=24564, gb_per_second=1008,
        tflops={"float32": 82.6, "tf32": 82.6, "bfloat16": 165.2, "float16": 165.2, "int8": 660.6, "int4": 1321.2},
        usd=(0.74, _RUNPOD, "2026-09"), source="NVIDIA Ada GPU architecture white paper v2, appendix A",
    ),
    _gpu(
        "RTX 5090", "GeForce RTX 5090", "RTX 5090 32GB",
        mib=32607, gb_per_second=1792,
        tflops={"float32": 104.8, "tf32": 104.8, "bfloat16": 209.5, "float16": 209.5, "int8": 838},
        usd=(0.69, _RUNPOD_COMMUNITY, "2026-03"), source="NVIDIA RTX Blackwell GPU architecture white paper, appendix A",
    ),
    _gpu(
        "RTX A6000", "A6000", "RTX A6000 48GB",
        mib=49140, gb_per_second=768,
        tflops={"float32": 38.7, "tf32": 77.4, "bfloat16": 154.8, "float16": 154.8, "int8": 309.7, "int4": 619.3},
        usd=None, source=f"{_GA102}, table of the RTX A6000",
    ),
    _gpu(
        "RTX 6000 Ada", "RTX 6000 Ada Generation", "6000 Ada",
        mib=49140, gb_per_second=960,
        tflops={"float32": 91.1, "tf32": 182.1, "bfloat16": 364.2, "float16": 364.2, "int8": 728.5, "int4": 1457},
        usd=None, source="NVIDIA RTX 6000 Ada Generation data sheet (dense = half of the sparse figures)",
    ),
    _apple("M1", 16, 68.25, 8, 1.278, _M2_CLOCK),
    _apple("M1 Pro", 32, 200, 16, 1.296, _M2_CLOCK),
    _apple("M1 Max", 64, 400, 32, 1.296, _M2_CLOCK),
    _apple("M1 Ultra", 128, 800, 64, 1.296, _M2_CLOCK),
    _apple("M2", 24, 100, 10, 1.398, _M2_CLOCK),
    _apple("M2 Pro", 32, 200, 19, 1.398, _M2_CLOCK),
    _apple("M2 Max", 96, 400, 38, 1.398, _M2_CLOCK),
    _apple("M2 Ultra", 192, 800, 76, 1.398, _M2_CLOCK),
    _apple("M3", 24, 100, 10, 1.398, _M3_CLOCK),
    _apple("M3 Pro", 36, 150, 18, 1.398, _M3_CLOCK),
    _apple("M3 Max", 128, 400, 40, 1.398, _M3_CLOCK),
    _apple("M3 Ultra", 512, 819, 80, 1.398, _M3_CLOCK),
    _apple("M4", 32, 120, 10, 1.470, _M3_CLOCK),
    _apple("M4 Pro", 64, 273, 20, 1.470, _M3_CLOCK),
    _apple("M4 Max", 128, 546, 40, 1.470, _M3_CLOCK),
    _cpu(
        "cpu-2-cores-avx2",
        cores=2, ghz=2.5, flops_per_cycle={"float32": 32}, memory_gib=8, gb_per_second=25.6,
        source="a small virtual machine: two 256-bit FMA units a core; one channel of DDR4-3200",
    ),
    _cpu(
        "cpu-ryzen-5-4500u", "Ryzen 5 4500U",
        cores=6, ghz=2.3, flops_per_cycle={"float32": 32}, memory_gib=16, gb_per_second=51.2,
        source="the document's CPU (001_…): Zen 2 at its base clock, two 256-bit FMA units a core; two channels of DDR4-3200",
    ),
    _cpu(
        "cpu-8-cores-avx512",
        cores=8, ghz=2.5, flops_per_cycle={"float32": 64}, memory_gib=32, gb_per_second=51.2,
        source="two 512-bit FMA units a core, as in Xeon Scalable; two channels of DDR4-3200",
    ),
    _cpu(
        "cpu-epyc-64", "EPYC 9554",
        cores=64, ghz=3.1, flops_per_cycle={"float32": 32, "bfloat16": 64}, memory_gib=384, gb_per_second=460.8,
        source="AMD EPYC 9554 (Zen 4) at its base clock: 512-bit operations take both 256-bit units; 12 channels of DDR5-4800",
    ),
)  # fmt: skip
