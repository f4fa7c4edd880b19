#!/usr/bin/env python3
"""Sets the same graphs of trivial stages before dermflow, ninja, make, DVC and Snakemake, in turns.

    engines.py [--peers VENV] [--shapes layered,chain] [--sizes 10,100,1000] [--rounds 3] [--limit 60]

Prints Markdown tables: median seconds, and after the slash how many stages ran. Every result is
compared with what the graph must give, so that nobody is timed who did not do the work. A tool
that took more than `--limit` seconds for a graph's cold run, or that would by its last size, gets
no larger one (`--patient NAME` lifts that for a tool). DVC's state of such a graph is laid out for
it instead, so that the steps with little to do can be timed.
"""

import argparse
import os
import shutil
import tempfile
from pathlib import Path

import graphs
import measure
import tools
from measure import Failed, median, ratio, say, seconds, table

# Finding that nothing is to be done takes it seconds here, and minutes above.
LARGEST_FOR_DVC = 1_000

STEPS = ["cold", "no-op", "ask", "touch", "leaf", "root", "put back", "same bytes"]


class Wrong(Exception):
    """A tool gave something else than the graph asks for."""


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    here = Path(__file__).resolve().parents[2]
    parser.add_argument("--dermflow", default=here / "target/release/dermflow")
    parser.add_argument("--peers", help="a virtual environment with ninja, dvc and snakemake")
    parser.add_argument("--tools", default=",".join(tools.TOOLS))
    parser.add_argument("--shapes", default="chain,layered")
    parser.add_argument("--sizes", default="10,100,1000")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--limit", type=float, default=60)
    parser.add_argument("--patient", action="append", default=[], metavar="NAME")
    parser.add_argument("--jobs", default=str(os.cpu_count()))
    parser.add_argument("--folder", help="where to work; a temporary folder by default")
    parser.add_argument("--steps", default=",".join(STEPS))
    return parser.parse_args()


class Contest:
    """One graph, several tools, one measurement after the other."""

    def __init__(self, graph, contestants, options):
        self.graph, self.contestants, self.options = graph, contestants, options
        self.costs = {}  # (tool, step) -> list of Cost
        self.ran = {}  # (tool, step) -> set of stages that ran

    def step(self, name, act):
        for tool in list(self.contestants):
            taken = self.costs.setdefault((tool.name, name), [])
            if taken and max(cost.seconds for cost in taken) * len(taken) > self.options.limit:
                continue  # slow enough that one look more would tell nothing
            self.one(tool, name, act)

    def one(self, tool, name, act):
        tool.stages_run()
        cost = act(tool)
        self.costs[(tool.name, name)].append(cost)
        self.ran.setdefault((tool.name, name), set()).add(tool.stages_run())
        if name != "ask":
            self.check(tool, name)

    def check(self, tool, step):
        expected = self.graph.expected()
        for stage in self.graph.sinks:
            if (found := tool.number(stage)) != expected[stage]:
                raise Wrong(f"{tool.name} after {step}: stage {stage} gave {found}, not {expected[stage]}")

    def change(self, change):
        """Changes the graph, and tells every tool outside of the time taken."""
        change(self.graph)
        for tool in self.contestants:
            tool.write(self.graph)

    def round(self, number, steps):
        run = lambda tool: tool.run()
        last = len(self.graph) - 1

        def set_value(stage, value):
            self.change(lambda graph: graph.values.__setitem__(stage, value))

        def set_source(**what):
            for key, value in what.items():
                setattr(self.graph, key, value)
            for tool in self.contestants:
                tool.write_source(self.graph)

        if "no-op" in steps:
            self.step("no-op", run)
        if "ask" in steps:
            self.step("ask", lambda tool: tool.ask())
        if "touch" in steps:
            for tool in self.contestants:
                os.utime(tool.folder / "source.txt")
            self.step("touch", run)
        if "leaf" in steps:
            set_value(last, 1000 + number)
            self.together("leaf", run)
        # What was not computed cold is not computed now either.
        self.contestants = [tool for tool in self.contestants if not tool.laid_out]
        if "root" in steps:
            set_value(0, 2000 + number)
            self.together("root", run)
            set_value(0, 1)
            self.together("put back", run)
        if "same bytes" in steps:
            set_source(remarks=self.graph.remarks + 1)
            self.together("same bytes", run)

    def together(self, name, act):
        """A step that no tool may miss, because it changes what is expected."""
        for tool in self.contestants:
            self.costs.setdefault((tool.name, name), [])
            self.one(tool, name, act)


def contest(shape, size, names, programs, folder, options, cold_seconds):
    graph = graphs.SHAPES[shape](size)
    contestants = []
    for name in names:
        before = cold_seconds.get((shape, name))
        too_long = before and before[1] * size / before[0] > options.limit and name not in options.patient
        if too_long and not (name == "dvc" and size <= LARGEST_FOR_DVC):
            say(f"  {name} is left out: by its last size it would take too long")
            continue
        tool = tools.TOOLS[name](programs[name], folder / f"{shape}-{size}" / name, options.jobs)
        tool.write_source(graph)
        tool.write(graph)
        tool.begin()
        if too_long:
            tool.lay_out(graph)
        contestants.append(tool)
    found = Contest(graph, contestants, options)
    for tool in [tool for tool in contestants if not tool.laid_out]:
        limit = None if tool.name in options.patient else options.limit * 2
        try:
            found.costs[(tool.name, "cold")] = []
            found.one(tool, "cold", lambda tool: tool.run(limit))
            cold_seconds[(shape, tool.name)] = (size, found.costs[(tool.name, "cold")][0].seconds)
        except Failed as error:
            say(f"  {tool.name} is left out: {error}")
            cold_seconds[(shape, tool.name)] = (size, float("inf"))
            contestants.remove(tool)
    steps = options.steps.split(",")
    for number in range(options.rounds):
        say(f"  round {number + 1}")
        # What is slow is measured once; the quick ones make up the rounds.
        slow = [tool for tool in contestants if tool.laid_out or found.costs[(tool.name, "cold")][0].seconds > options.limit / 6]
        found.contestants = [tool for tool in contestants if not number or tool not in slow]
        found.round(number, steps)
    return found


def cell(found, tool, step):
    costs = found.costs.get((tool, step))
    if not costs:
        return "–"
    ran = found.ran[(tool, step)]
    count = "" if step == "ask" else "/" + ",".join(str(number) for number in sorted(ran))
    return f"{seconds(median([cost.seconds for cost in costs]))}{count}"


def peak(found, tool, step):
    costs = found.costs.get((tool, step))
    if not costs:
        return "–"
    floor, highest = measure.floor("/"), max(cost.peak_mebibytes for cost in costs)
    return f"{highest:.0f}" if highest > floor + 1 else f"≤ {floor:.0f}"


def report(found, shape, size, names, options):
    root = found.graph.downstream(0)
    ideal = {"cold": size, "no-op": 0, "touch": 0, "leaf": 1, "root": root, "put back": 0, "same bytes": 1}
    told = [step for step in STEPS if step == "cold" or step in options.steps.split(",")]
    print(f"### {shape}, {size} stages\n")
    heading = ["", *(f"{step} ({ideal[step]})" if step in ideal else "plan / status" for step in told), "peak MiB, cold", "no-op"]
    rows = []
    for name in names:
        if (name, "no-op") not in found.costs:
            continue
        rows.append([name, *(cell(found, name, step) for step in told), *(peak(found, name, step) for step in ("cold", "no-op"))])
    table(heading, rows)
    ours = lambda step: median([cost.seconds for cost in found.costs.get(("dermflow", step), [])])
    theirs = lambda name, step: median([cost.seconds for cost in found.costs.get((name, step), [])])
    if ("dermflow", "cold") in found.costs:
        print("Their time over dermflow's:\n")
        rows = []
        for name in names:
            if name != "dermflow" and (name, "no-op") in found.costs:
                rows.append([name, *(ratio(theirs(name, step), ours(step)) if theirs(name, step) else "–" for step in told)])
        table(["", *told], rows)


def main():
    options = arguments()
    names = options.tools.split(",")
    programs = {name: tools.find(name, options.peers, options.dermflow) for name in names}
    for name in [name for name in names if not programs[name]]:
        say(f"{name} is not installed: left out")
    names = [name for name in names if programs[name]]
    print(f"{measure.machine()}, {options.jobs} jobs, {options.rounds} rounds\n")
    for name in names:
        print(f"* {name}: {measure.version([programs[name], '--version'])}")
    print()
    folder = Path(options.folder or tempfile.mkdtemp(prefix="dermflow-engines-"))
    cold_seconds = {}
    try:
        for shape in options.shapes.split(","):
            for size in map(int, options.sizes.split(",")):
                say(f"{shape}, {size} stages")
                found = contest(shape, size, names, programs, folder, options, cold_seconds)
                report(found, shape, size, names, options)
    finally:
        if not options.folder:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
