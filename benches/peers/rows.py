#!/usr/bin/env python3
"""Ten million narrow rows through import-table, filter, join and sample. Needs pyarrow.

    rows.py [--rows 10000000] [--rounds 1]

Prints wall seconds and the peak memory of the process: cold, nothing changed, and after one value
of one row changed (the filter computes one partition's row anew and takes the others over).
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path

import measure
from measure import median, say, seconds, table

PIPELINE = """\
name: rows
seed: 20
stages:
  rows:
    kind: import-table
    with: {path: rows.parquet, key: id, columns: {age: integer, score: float64}}
  adults:
    kind: filter
    in: {table: rows.table}
    with: {where: {column: age, at-least: 18}}
  both:
    kind: join
    in: {left: adults.table, right: rows.table}
    with: {prefix: all-}
  some:
    kind: sample
    in: {table: both.table}
    with: {share: 0.01}
"""


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    here = Path(__file__).resolve().parents[2]
    parser.add_argument("--dermflow", default=here / "target/release/dermflow")
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=1)
    return parser.parse_args()


def write_rows(path, count, changed=None):
    """`id` counts up; `age` and `score` follow from it, but for the changed row."""
    import pyarrow
    import pyarrow.parquet

    step = 1 << 20
    schema = pyarrow.schema([("id", pyarrow.int64()), ("age", pyarrow.int64()), ("score", pyarrow.float64())])
    with pyarrow.parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for first in range(0, count, step):
            ids = range(first, min(first + step, count))
            ages = [identity * 7919 % 90 for identity in ids]
            if changed is not None and changed in ids:
                ages[changed - first] = 91
            scores = [identity * 31 % 1000 / 1000 for identity in ids]
            writer.write_table(pyarrow.table([list(ids), ages, scores], schema=schema))


class Runs:
    def __init__(self, folder, program):
        self.folder, self.program = folder, str(Path(program).resolve())
        self.costs, self.told = {}, {}

    def run(self, name, *words):
        cost = measure.run([self.program, "run", "--json", *words], self.folder)
        self.costs.setdefault(name, []).append(cost)
        events = [json.loads(line) for line in cost.output.splitlines() if line.startswith("{")]
        self.told[name] = events
        return events

    def stage_rows(self, name):
        for event in self.told[name]:
            if event["event"] == "stage-executed":
                yield event


def main():
    options = arguments()
    print(f"{measure.machine()}\n\n* dermflow: {measure.version([options.dermflow, '--version'])}\n")
    with tempfile.TemporaryDirectory(prefix="dermflow-rows-") as folder:
        folder = Path(folder)
        runs = Runs(folder, options.dermflow)
        (folder / "dermflow.yaml").write_text(PIPELINE)
        for number in range(options.rounds):
            say(f"  round {number + 1}")
            shutil.rmtree(folder / ".dermflow", ignore_errors=True)
            write_rows(folder / "rows.parquet", options.rows)
            runs.run("cold")
            runs.run("nothing changed")
            write_rows(folder / "rows.parquet", options.rows, changed=options.rows // 2)
            runs.run("one row changed")
        report(runs, options)


def report(runs, options):
    print(f"### {options.rows:,} rows of a sample id, an integer and a float\n")
    stages = ["rows", "adults", "both", "some"]
    rows = []
    for name, costs in runs.costs.items():
        taken = {event["stage"]: event for event in runs.stage_rows(name)}
        cells = []
        for stage in stages:
            event = taken.get(stage)
            cells.append(f"{seconds(event['seconds'])} ({event['rows_computed']:,} + {event['rows_reused']:,})" if event else "hit")
        peak = max(cost.peak_mebibytes for cost in costs)
        rows.append([name, seconds(median([cost.seconds for cost in costs])), f"{peak:.0f}", *cells])
    table(["", "seconds", "peak MiB", *(f"{stage}: seconds (rows computed + taken over)" for stage in stages)], rows)


if __name__ == "__main__":
    main()
