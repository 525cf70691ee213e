"""Step 1: bring the pinned packages into build/mini/packages and hold them to the lock.

    python -m recipes.mini.fetch

The first run writes each archive's sha256 into `sources.lock`; every later run checks it.
A package that is already there is not fetched again.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys

from recipes.mini.sources import HERE, PACKAGES, Package, packages

LOCK = HERE / "sources.lock"


def read_lock() -> dict[str, str]:
    """{"name@version": sha256}, empty before the first run."""
    if not LOCK.exists():
        return {}
    lines = (line.split() for line in LOCK.read_text(encoding="utf-8").splitlines())
    return {spec: digest for digest, spec in lines}


def write_lock(lock: dict[str, str]) -> None:
    """One "sha256  name@version" a line, in the order of `sources.toml`."""
    text = "".join(f"{digest}  {spec}\n" for spec, digest in lock.items())
    LOCK.write_text(text, encoding="utf-8")


def fetch(package: Package) -> str:
    """Make sure that the archive is there; returns its sha256."""
    spec = f"{package.name}@{package.version}"
    if not package.archive.exists():
        subprocess.run(["npm", "pack", "--silent", spec], cwd=PACKAGES, check=True, stdout=subprocess.DEVNULL)
    return hashlib.sha256(package.archive.read_bytes()).hexdigest()


def main() -> int:
    """Fetch all, compare with the lock; 1 if an archive is not the locked one."""
    PACKAGES.mkdir(parents=True, exist_ok=True)
    locked, lock, wrong = read_lock(), {}, []
    for package in packages():
        spec = f"{package.name}@{package.version}"
        digest = fetch(package)
        lock[spec] = locked.get(spec, digest)
        state = "new" if spec not in locked else "ok" if digest == locked[spec] else "CHANGED"
        if state == "CHANGED":
            wrong.append(spec)
        print(f"{state:8} {digest[:12]}  {package.archive.stat().st_size / 1e6:6.1f} MB  {package.licence:11} {spec}")
    write_lock(lock)
    for spec in wrong:
        print(f"{spec} differs from {LOCK.name}: delete the archive and fetch again, or review and re-lock.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
