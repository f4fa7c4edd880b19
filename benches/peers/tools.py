"""One class per tool: how it is told of a graph, run, and asked what it would do.

Every tool gets the graph in its own usual form: dermflow, DVC and ninja a stage each in a
generated file, Snakemake one rule with a table, make a parameter file per stage (it does not see
changed commands).
"""

import hashlib
import json
import os
import shutil
from pathlib import Path

import graphs
import measure


class Tool:
    name = ""
    # Whether its results were laid out for it, instead of computed by it (see Dvc.lay_out).
    laid_out = False

    def __init__(self, program, folder, jobs):
        self.program, self.folder, self.jobs = program, Path(folder), jobs
        self.log = self.folder / "stages.log"
        self.folder.mkdir(parents=True)

    def write_source(self, graph):
        (self.folder / "source.txt").write_text(graph.source_text())

    def write(self, graph):
        """Writes the graph as it is now; called again after a change."""

    def begin(self):
        """What a user does once."""

    def run(self, limit=None):
        return measure.run(self.run_words(), self.folder, limit)

    def ask(self, limit=None):
        return measure.run(self.ask_words(), self.folder, limit)

    def number(self, stage):
        return int((self.folder / f"out/{stage}").read_text())

    def stages_run(self):
        """How many stages ran since the last time this was asked."""
        try:
            count = len(self.log.read_text().splitlines())
        except FileNotFoundError:
            return 0
        self.log.unlink()
        return count


def plain_inputs(stage, graph):
    found = [f"out/{before}" for before in graph.before[stage]]
    return found if stage else ["source.txt"]


class Dermflow(Tool):
    name = "dermflow"

    def write(self, graph):
        lines = ["name: bench", "stages:"]
        for stage, before in enumerate(graph.before):
            inputs = [f"inputs/p{at}/out" for at in range(len(before))] if stage else ["source.txt"]
            text = graphs.command(stage, graph, inputs, "outputs/number/out", self.log, "VALUE")
            lines += [f"  s{stage}:", "    kind: process"]
            if before:
                wires = ", ".join(f"p{at}: s{other}.number" for at, other in enumerate(before))
                lines.append(f"    in: {{{wires}}}")
            lines += ["    with:", f"      command: {json.dumps(text)}"]
            if not stage:
                lines.append("      files: [source.txt]")
            lines.append(f"      environment: {{VALUE: '{graph.values[stage]}'}}")
            lines.append("      outputs: {number: files}")
        lines.append("outputs:")
        lines += [f"  s{stage}: s{stage}.number" for stage in graph.sinks]
        (self.folder / "dermflow.yaml").write_text("\n".join(lines) + "\n")

    def run_words(self):
        return [self.program, "run", "--jobs", self.jobs]

    def ask_words(self):
        return [self.program, "plan"]

    def number(self, stage):
        return int((self.folder / f"results/bench/s{stage}/out").read_text())


class Ninja(Tool):
    name = "ninja"

    def write(self, graph):
        lines = ["rule mix", "  command = $mix", ""]
        for stage in range(len(graph)):
            inputs = plain_inputs(stage, graph)
            read = inputs if graph.before[stage] or stage == 0 else []
            text = graphs.command(stage, graph, read, f"out/{stage}", self.log)
            taken = " ".join(inputs if read else [])
            lines += [f"build out/{stage}: mix {taken}", "  mix = " + text.replace("$", "$$")]
        (self.folder / "build.ninja").write_text("\n".join(lines) + "\n")

    def run_words(self):
        return [self.program, "-j", self.jobs, "--quiet"]

    def ask_words(self):
        return [self.program, "-n", "--quiet"]


class Make(Tool):
    name = "make"

    def write(self, graph):
        values = self.folder / "values"
        values.mkdir(exist_ok=True)
        (self.folder / "out").mkdir(exist_ok=True)
        lines = ["all: " + " ".join(f"out/{stage}" for stage in graph.sinks), ""]
        for stage in range(len(graph)):
            read = plain_inputs(stage, graph) if graph.before[stage] or stage == 0 else []
            value = values / str(stage)
            if not value.exists() or value.read_text() != f"{graph.values[stage]}\n":
                value.write_text(f"{graph.values[stage]}\n")
            text = graphs.command(stage, graph, read, f"out/{stage}", self.log, "v")
            text = f"read v < values/{stage}; {text}"
            lines += [f"out/{stage}: {' '.join([*read, f'values/{stage}'])}", "\t@" + text.replace("$", "$$")]
        (self.folder / "Makefile").write_text("\n".join(lines) + "\n")

    def run_words(self):
        return [self.program, "-j", self.jobs, "--silent"]

    def ask_words(self):
        return [self.program, "-n", "--silent"]


class Dvc(Tool):
    name = "dvc"

    def begin(self):
        measure.run([self.program, "init", "--no-scm", "--quiet"], self.folder)
        for option in ("core.analytics", "core.check_update"):
            measure.run([self.program, "config", option, "false"], self.folder)

    def write(self, graph):
        (self.folder / "out").mkdir(exist_ok=True)
        lines = ["stages:"]
        for stage in range(len(graph)):
            read = plain_inputs(stage, graph) if graph.before[stage] or stage == 0 else []
            text = graphs.command(stage, graph, read, f"out/{stage}", self.log)
            lines += [f"  s{stage}:", f"    cmd: {json.dumps(text)}"]
            if read:
                lines.append(f"    deps: [{', '.join(read)}]")
            lines.append(f"    outs: [out/{stage}]")
        (self.folder / "dvc.yaml").write_text("\n".join(lines) + "\n")

    def lay_out(self, graph):
        """Writes the results, the cache and the lock file as a cold run would have left them,
        which at 1,000 stages takes DVC longer than all the rest takes together. That the next
        run finds nothing to do shows that it was done right."""
        self.laid_out = True
        numbers = graph.expected()
        lines = ["schema: '2.0'", "stages:"]
        (self.folder / "out").mkdir(exist_ok=True)
        for stage in range(len(graph)):
            (self.folder / f"out/{stage}").write_text(f"{numbers[stage]}\n")
        for stage in range(len(graph)):
            read = plain_inputs(stage, graph) if graph.before[stage] or stage == 0 else []
            text = graphs.command(stage, graph, read, f"out/{stage}", self.log)
            lines += [f"  s{stage}:", f"    cmd: {json.dumps(text)}"]
            lines += ["    deps:"] * bool(read) + [line for path in read for line in self.locked(path, False)]
            lines += ["    outs:", *self.locked(f"out/{stage}", True)]
        (self.folder / "dvc.lock").write_text("\n".join(lines) + "\n")

    def locked(self, path, cached):
        content = (self.folder / path).read_bytes()
        digest = hashlib.md5(content).hexdigest()
        if cached:
            place = self.folder / ".dvc/cache/files/md5" / digest[:2] / digest[2:]
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        return [f"    - path: {path}", "      hash: md5", f"      md5: {digest}", f"      size: {len(content)}"]

    def run_words(self):
        return [self.program, "repro", "--quiet"]

    def ask_words(self):
        return [self.program, "status", "--quiet"]

    def ask(self, limit=None):
        # With --quiet its exit code says whether something changed.
        return measure.run(self.ask_words(), self.folder, limit, may_fail=True)


SNAKEFILE = """\
import json

GRAPH = json.load(open("graph.json"))

rule all:
    input: [f"out/{stage}" for stage in GRAPH["sinks"]]

rule mix:
    input: lambda wildcards: GRAPH["inputs"][int(wildcards.stage)]
    output: "out/{stage}"
    params: text=lambda wildcards: GRAPH["commands"][int(wildcards.stage)]
    shell: "{params.text}"
"""


class Snakemake(Tool):
    name = "snakemake"

    def write(self, graph):
        read = [plain_inputs(stage, graph) if graph.before[stage] or stage == 0 else [] for stage in range(len(graph))]
        texts = [graphs.command(stage, graph, read[stage], f"out/{stage}", self.log) for stage in range(len(graph))]
        told = {"sinks": graph.sinks, "inputs": read, "commands": texts}
        (self.folder / "graph.json").write_text(json.dumps(told))
        (self.folder / "Snakefile").write_text(SNAKEFILE)

    def run_words(self):
        return [self.program, "--cores", self.jobs, "--quiet", "all", "--nocolor"]

    def ask_words(self):
        return [self.program, "--cores", self.jobs, "--dry-run", "--quiet", "all", "--nocolor"]


TOOLS = {tool.name: tool for tool in (Dermflow, Ninja, Make, Dvc, Snakemake)}
VERSION_WORDS = {"dermflow": "--version", "ninja": "--version", "make": "--version", "dvc": "--version", "snakemake": "--version"}


def find(name, peers, dermflow):
    """The program of a tool: dermflow as given, others from the virtual environment or PATH."""
    if name == "dermflow":
        return str(Path(dermflow).resolve()) if Path(dermflow).exists() else None
    beside = Path(peers) / "bin" / name if peers else None
    if beside and os.access(beside, os.X_OK):
        return str(beside.absolute())
    return shutil.which(name)
