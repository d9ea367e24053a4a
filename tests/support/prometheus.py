"""A real Prometheus over samples that were made before it started."""

import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from chainwatch.promql.series import NAME, Labels
from tests.support.missing import missing
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE

Samples = list[tuple[Labels, list[int], list[float]]]


@contextmanager
def prometheus_over(folder: Path, samples: Samples) -> Iterator[str]:
    """The address of a Prometheus whose blocks hold ``samples`` (times in Unix milliseconds)."""
    if shutil.which("prometheus") is None or shutil.which("promtool") is None:
        missing("prometheus", "Debian's package prometheus has it")
    (folder / "samples").write_text("".join(open_metrics(samples)))
    create = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "samples", "data"]
    subprocess.run(create, cwd=folder, check=True, capture_output=True)
    (folder / "prometheus.yml").write_text("")
    address = f"127.0.0.1:{free_port()}"
    options = [
        "--config.file=prometheus.yml",
        "--storage.tsdb.path=data",
        "--storage.tsdb.retention.time=100y",
    ]
    process = subprocess.Popen(
        ["prometheus", *options, f"--web.listen-address={address}"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _until_ready(address)
        yield f"http://{address}"
    finally:
        process.kill()
        process.wait()


def open_metrics(samples: Samples) -> Iterable[str]:
    """The samples as OpenMetrics text."""
    for labels, times, values in samples:
        pairs = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.pairs if name != NAME)
        for at, value in zip(times, values, strict=True):
            yield f"{labels[NAME]}{{{pairs}}} {value} {at / 1000}\n"
    yield "# EOF\n"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')


def _until_ready(address: str) -> None:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        try:
            urllib.request.urlopen(f"http://{address}/-/ready")
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.05)
        else:
            return
    raise TimeoutError("prometheus is not ready")
