"""What the benchmark prints: the machine, and tables of medians and ratios."""

import importlib.metadata
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from comunik_pbx.sandbox.bench_calls import Burst, Variant
from comunik_pbx.sandbox.bench_decision import DecisionTime
from comunik_pbx.sandbox.sandbox import Sandbox

AIM_RATIO = 1.35
AIM_LATER_MS = 10.0


def machine(sandbox: Sandbox) -> list[str]:
    """When, on what and with which versions."""
    cpu = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.machine(),
    )
    ram = next((int(line.split()[1]) / 2**20 for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    version = importlib.metadata.version("comunik-pbx")
    return [
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {len(os.sched_getaffinity(0))} cores ({cpu}), {ram:.0f} GB RAM, "
        f"load {os.getloadavg()[0]:.1f} at the start",
        f"comunik-pbx {version}, Asterisk {sandbox.asterisk.program.version}, SIPp {sandbox.sipp.version}, "
        f"Python {platform.python_version()}, Linux {platform.release().split('-')[0]}",
    ]


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def decisions(times: Sequence[DecisionTime]) -> list[str]:
    """The decision alone."""
    rows = [f"{'decision, µs (median)':<34}{'steps':>7}{'plan':>8}{'encode':>8}"]
    return rows + [f"{one.name:<34}{one.steps:>7}{one.plan_us:>8.1f}{one.encode_us:>8.1f}" for one in times]


def burst_line(variant: Variant, one: Burst) -> str:
    """One burst."""
    return (
        f"{variant.name:<36} CPU {one.asterisk_ms:5.2f} + {one.service_ms:4.2f} ms a call, "
        f"through in {one.through(0.5):5.2f} (p50) {one.through(0.99):6.2f} (p99) ms, lost {one.lost}"
    )


def costs(bursts: Mapping[Variant, Sequence[Burst]], baseline: Mapping[Variant, Variant]) -> list[str]:
    """Medians over the rounds; of the ratios within each round also what lies in the middle half."""
    rows = [
        f"\n{'per call, medians over the rounds':<36}{'CPU, ms':>9}{'Asterisk':>10}{'service':>9}{'ratio':>7}"
        f"{'half within':>13}{'p50, ms':>9}{'p99, ms':>9}{'later':>7}{'lost':>6}"
    ]
    for variant, several in sorted(bursts.items(), key=lambda item: (item[0].by_carrier, item[0] in baseline)):
        ratio = half = later = ""
        if variant in baseline:
            pairs = list(zip(several, bursts[baseline[variant]], strict=True))
            ratios = [one.cpu_ms / plain.cpu_ms for one, plain in pairs]
            several_ratios = ratios if len(ratios) > 1 else ratios * 2
            low, middle, high = statistics.quantiles(several_ratios, n=4, method="inclusive")
            ratio, half = f"{middle:.2f}", f"{low:.2f} to {high:.2f}"
            later = f"{statistics.median(one.through(0.99) - plain.through(0.99) for one, plain in pairs):+.1f}"
        rows.append(
            f"{variant.name:<36}{_median(several, 'cpu_ms'):>9.2f}{_median(several, 'asterisk_ms'):>10.2f}"
            f"{_median(several, 'service_ms'):>9.2f}{ratio:>7}"
            f"{half:>13}{statistics.median(one.through(0.5) for one in several):>9.2f}"
            f"{statistics.median(one.through(0.99) for one in several):>9.2f}{later:>7}"
            f"{sum(one.lost for one in several):>6}"
        )
    rows.append(f"aims: ratio at most {AIM_RATIO}, p99 at most {AIM_LATER_MS:g} ms later than plain Dial(), none lost")
    return rows


def ramp(ramped: Sequence[tuple[float, Burst, Burst, int]]) -> list[str]:
    """How it goes with more calls a second."""
    rows = [
        f"{'calls a second':<16}{'plain p50':>10}{'p99, ms':>9}{'lost':>6}   {'comunik-pbx p50':>16}{'p99, ms':>9}"
        f"{'lost':>6}{'live':>12}"
    ]
    return rows + [
        f"{rate:<16g}{plain.through(0.5):>10.2f}{plain.through(0.99):>9.2f}{plain.lost:>6}   "
        f"{live.through(0.5):>16.2f}{live.through(0.99):>9.2f}{live.lost:>6}{f'{decided}/{live.calls}':>12}"
        for rate, plain, live, decided in ramped
    ]


def _median(several: Sequence[Burst], what: str) -> float:
    return float(statistics.median(getattr(one, what) for one in several))
