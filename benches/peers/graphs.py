"""The graphs that every tool gets, and what they must compute.

A stage reads the numbers of the stages before it and writes one number. So a tool that skipped
work, or did it in the wrong order, has another number at the end. The command is one shell
without children: what is measured is the tool.
"""

import math
from dataclasses import dataclass, field

MODULUS = 1_000_003


@dataclass
class Graph:
    """Stages are numbered so that each comes after those that it takes."""

    shape: str
    before: list  # for each stage, the stages that it takes
    values: list  # for each stage, its parameter
    source: int = 7  # the first line of the file that stage 0 reads
    remarks: int = 0  # further lines of it, which nobody reads
    sinks: list = field(default_factory=list)

    def __post_init__(self):
        taken = {before for stage in self.before for before in stage}
        self.sinks = [stage for stage in range(len(self.before)) if stage not in taken]

    def __len__(self):
        return len(self.before)

    def source_text(self):
        return f"{self.source}\n" + "a remark\n" * self.remarks

    def expected(self):
        """The number of every stage."""
        numbers = []
        for stage, before in enumerate(self.before):
            first = numbers[before[0]] if before else self.source if stage == 0 else 1
            second = numbers[before[1]] if len(before) > 1 else 1
            numbers.append((first * 31 + second * 17 + self.values[stage] * 5 + stage) % MODULUS)
        return numbers

    def downstream(self, root):
        """How many stages depend on one, itself included."""
        reached = {root}
        for stage, before in enumerate(self.before):
            if reached.intersection(before):
                reached.add(stage)
        return len(reached)


def chain(count):
    return Graph("chain", [[stage - 1] if stage else [] for stage in range(count)], [1] * count)


def layered(count):
    """Layers as wide as there are layers; each stage takes two neighbours of the layer before."""
    width = max(1, math.isqrt(count))
    before = []
    for stage in range(count):
        layer, place = divmod(stage, width)
        above = (layer - 1) * width
        before.append(sorted({above + place, above + (place + width - 1) % width}) if layer else [])
    return Graph("layered", before, [1] * count)


SHAPES = {"chain": chain, "layered": layered}


def command(stage, graph, inputs, output, log, value=None):
    """The shell text of a stage. `inputs` are paths; `value` may be a shell expression."""
    value = graph.values[stage] if value is None else value
    reads = [f"read {name} < {path}" for name, path in zip(("a", "b"), inputs)]
    defaults = [f"{name}=1" for name in ("a", "b")[len(inputs):]]
    number = f"(a * 31 + b * 17 + {value} * 5 + {stage}) % {MODULUS}"
    # One line a stage into a log beside the graph: the same count of work for every tool.
    return "; ".join([*reads, *defaults, f"echo {stage} >> {log}", f"echo $(( {number} )) > {output}"])
