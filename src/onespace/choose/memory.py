"""The most memory that this process has held so far."""

from __future__ import annotations

import sys
from pathlib import Path


def peak_bytes() -> int | None:
    """The largest resident size of the process in bytes; None where the system doesn't say.

    On Linux the kernel's mark for this program is read: what ``getrusage`` says there may be the size of the process
    that started it.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text("ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
