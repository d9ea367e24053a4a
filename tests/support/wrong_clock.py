"""A host's clock that is wrong: libfaketime's, for one process; the monotonic clock stays as it is."""

from collections.abc import Mapping
from pathlib import Path

from tests.support.missing import missing

LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))


class WrongClock:
    """What a process that runs with ``environ`` takes for the time; moved while it runs."""

    def __init__(self, folder: Path, ahead: float = 0.0) -> None:
        if not LIBRARIES:
            missing("libfaketime", "install the package faketime")
        self._file = folder / "faketime"
        self.set(ahead)

    @property
    def environ(self) -> Mapping[str, str]:
        return {
            "LD_PRELOAD": str(LIBRARIES[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, ahead: float) -> None:
        """From now on the clock is ``ahead`` of the true time by so many seconds (negative: behind)."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{ahead:+.0f}\n")
        new.rename(self._file)  # never half of it
