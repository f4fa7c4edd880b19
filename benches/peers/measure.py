"""Runs a command and says what it took; prints tables. Knows nothing of the tools compared."""

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass


class Failed(Exception):
    """A command that should have ended well did not."""


@dataclass
class Cost:
    """What one command took."""

    seconds: float
    peak_mebibytes: float
    output: str


def run(words, folder, limit=None, environment=None, may_fail=False):
    """Runs a command to its end. The peak is of the largest single process of its tree."""
    with tempfile.TemporaryFile() as taken:
        started = time.perf_counter()
        child = subprocess.Popen(
            [str(word) for word in words],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=taken,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
        status, usage = wait(child, limit, started)
        seconds = time.perf_counter() - started
        taken.seek(0)
        output = taken.read().decode("utf-8", "replace")
    if status != 0 and not may_fail:
        raise Failed(f"`{' '.join(map(str, words))}` ended with {status}:\n{output[-2000:]}")
    return Cost(seconds, usage.ru_maxrss / 1024, output)


def wait(child, limit, started):
    """Waits in the kernel where no limit is set, so that looking costs nothing."""
    if limit is None:
        _, status, usage = os.wait4(child.pid, 0)
        return os.waitstatus_to_exitcode(status), usage
    while True:
        pid, status, usage = os.wait4(child.pid, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status), usage
        if time.perf_counter() - started > limit:
            os.killpg(child.pid, 9)
            os.wait4(child.pid, 0)
            raise Failed(f"took longer than {limit} s")
        time.sleep(0.05)


def floor(folder):
    """The peak that even a program which does nothing is told to have: a new process counts the
    memory of the one that started it, here this script."""
    return run(["true"], folder).peak_mebibytes


def version(words):
    """The first line of what a program says of its version."""
    try:
        found = subprocess.run(words, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    lines = (found.stdout or found.stderr).strip().splitlines()
    return lines[0] if lines else ""


def median(values):
    return statistics.median(values) if values else None


def seconds(value):
    """Three figures that count."""
    if value is None:
        return "–"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def ratio(value, to):
    if value is None or not to:
        return "–"
    found = value / to
    return f"{found:.0f}×" if found >= 10 else f"{found:.2g}×"


def table(heading, rows):
    """A Markdown table."""
    print("| " + " | ".join(heading) + " |")
    print("|" + "---|" * len(heading))
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")
    print(flush=True)


def machine():
    load = os.getloadavg()[0]
    return (
        f"{time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC, {os.cpu_count()} cores, "
        f"{platform.system()} {platform.release()}, load {load:.1f} at the start"
    )


def say(text):
    """Progress, apart from the tables."""
    print(text, file=sys.stderr, flush=True)
