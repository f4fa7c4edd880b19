#!/usr/bin/env python3
"""Many small source files, and one large one: what does it cost to know what changed?

    files.py [--peers VENV] [--files 50000] [--bytes 5000] [--large 2147483648] [--rounds 3]

dermflow lists and hashes them with `list-files`; beside it, in turns: `find` with a `stat` of each
file (the floor for knowing that nothing changed), b3sum, md5sum, and `dvc add` / `dvc status`.
All files are in the page cache.
"""

import argparse
import os
import random
import shutil
import tempfile
from pathlib import Path

import measure
import tools
from measure import median, ratio, say, seconds, table

PIPELINE = """\
name: files
stages:
  files:
    kind: list-files
    with: {path: data}
outputs:
  files: files.files
"""


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    here = Path(__file__).resolve().parents[2]
    parser.add_argument("--dermflow", default=here / "target/release/dermflow")
    parser.add_argument("--peers", help="a virtual environment with dvc")
    parser.add_argument("--files", type=int, default=50_000)
    parser.add_argument("--bytes", type=int, default=5_000)
    parser.add_argument("--large", type=int, default=2 << 30)
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


def small_files(folder, count, size):
    """Files of random bytes, 200 in a folder."""
    chance = random.Random(20)
    paths = []
    for number in range(count):
        path = folder / f"{number // 200:03}" / f"{number:05}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(chance.randbytes(size))
        paths.append(path)
    return paths


def large_file(folder, size):
    folder.mkdir(parents=True)
    chance = random.Random(21)
    with open(folder / "large.bin", "wb") as file:
        while size > 0:
            size -= file.write(chance.randbytes(min(size, 16 << 20)))
    os.sync()


class Race:
    """Commands over one folder of data, timed in turns."""

    def __init__(self, folder, options):
        self.folder, self.options = folder, options
        self.dermflow = [str(Path(options.dermflow).resolve()), "run"]
        self.dvc = tools.find("dvc", options.peers, None)
        self.costs = {}
        (folder / "dermflow.yaml").write_text(PIPELINE)

    def time(self, name, words):
        cost = measure.run(words, self.folder)
        self.costs.setdefault(name, []).append(cost)
        return cost

    def cold(self):
        for gone in (".dermflow", "results"):
            shutil.rmtree(self.folder / gone, ignore_errors=True)
        self.time("dermflow, cold", self.dermflow)

    def expect(self, word, cost):
        """So that a run which found nothing to do isn't timed as one which did, or the reverse."""
        if word not in cost.output:
            raise measure.Failed(f"`{word}` was expected in:\n{cost.output}")

    def sums(self):
        for program in ("b3sum", "md5sum"):
            if path := shutil.which(program):
                self.time(program, ["sh", "-c", f"find data -type f -print0 | xargs -0 {path} > /dev/null"])
        self.time("find and stat", ["sh", "-c", "find data -type f -printf '%p %s %T@ %C@ %i\\n' > /dev/null"])

    def dvc_cold(self):
        for gone in (".dvc", "data.dvc", ".dvcignore"):
            path = self.folder / gone
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        environment = {"DVC_SITE_CACHE_DIR": str(self.folder / ".dvc/site")}
        measure.run([self.dvc, "init", "--no-scm", "--quiet"], self.folder)
        measure.run([self.dvc, "config", "core.site_cache_dir", environment["DVC_SITE_CACHE_DIR"]], self.folder)
        self.time("dvc add, cold", [self.dvc, "add", "data", "--quiet"])

    def show(self, title, base):
        print(f"### {title}\n")
        rows = []
        ours = median([cost.seconds for cost in self.costs[base]])
        for name, costs in self.costs.items():
            taken = median([cost.seconds for cost in costs])
            peak = max(cost.peak_mebibytes for cost in costs)
            floor = measure.floor("/")
            shown = f"{peak:.0f}" if peak > floor + 1 else f"≤ {floor:.0f}"
            rows.append([name, seconds(taken), ratio(taken, ours), shown])
        table(["", "seconds", f"over “{base}”", "peak MiB"], rows)


def many(folder, options):
    race = Race(folder, options)
    paths = small_files(folder / "data", options.files, options.bytes)
    measure.run(["sync"], folder)
    for number in range(options.rounds):
        say(f"  round {number + 1}")
        race.cold()
        race.expect("0 executed", race.time("dermflow, nothing changed", race.dermflow))
        race.time("dermflow plan, nothing changed", [race.dermflow[0], "plan"])
        race.sums()
        paths[number].write_bytes(b"changed %d" % number)
        race.expect("1 executed", race.time("dermflow, one changed", race.dermflow))
        if race.dvc and not number:
            race.dvc_cold()
            race.time("dvc status, nothing changed", [race.dvc, "status", "--quiet"])
            paths[-1].write_bytes(b"changed for dvc")
            race.time("dvc add, one changed", [race.dvc, "add", "data", "--quiet"])
    race.show(f"{options.files:,} files of {options.bytes:,} bytes", "dermflow, nothing changed")


def large(folder, options):
    race = Race(folder, options)
    large_file(folder / "data", options.large)
    for number in range(options.rounds):
        say(f"  round {number + 1}")
        race.cold()
        race.expect("0 executed", race.time("dermflow, nothing changed", race.dermflow))
        for program in ("b3sum", "md5sum"):
            if path := shutil.which(program):
                race.time(program, [path, "data/large.bin"])
        if race.dvc and not number:
            race.dvc_cold()
    race.show(f"one file of {options.large / 2**30:.2g} GiB", "dermflow, cold")


def main():
    options = arguments()
    print(f"{measure.machine()}\n\n* dermflow: {measure.version([options.dermflow, '--version'])}")
    for name in ("b3sum", "md5sum", "dvc"):
        if program := tools.find(name, options.peers, None):
            print(f"* {name}: {measure.version([program, '--version'])}")
    print()
    for part, size in ((many, options.files), (large, options.large)):
        if size:
            with tempfile.TemporaryDirectory(prefix="dermflow-files-") as folder:
                part(Path(folder), options)


if __name__ == "__main__":
    main()
