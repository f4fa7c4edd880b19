"""Programs timed in short turns that alternate, so that what else the machine does meets all alike.

A program is started once, warms up, and answers each line of its standard input, the seconds that a
turn takes, with a line of JSON: `wall` and `cpu`, the seconds of the turn's fastest round. The speed of
a virtual machine swings by a third within minutes; turns of less than a second, one program right after the
other, have the same swing, and the median over many turns of one's seconds as a share of the
other's is the figure that a second run finds again.
"""

import contextlib
import json
import statistics
import subprocess
import sys
import time


# Short rounds are timed together, at least so many seconds of them.
TOGETHER = 0.02


def answer(step, more=dict):
    """The side of a program in Python: takes turns until its standard input ends."""
    step()
    start = time.perf_counter()
    step()
    together = max(1, -int(-TOGETHER // max(time.perf_counter() - start, 1e-9)))
    for line in sys.stdin:
        wall = cpu = float("inf")
        begin = time.perf_counter()
        while True:
            start, start_cpu = time.perf_counter(), time.process_time()
            for _ in range(together):
                step()
            wall = min(wall, (time.perf_counter() - start) / together)
            cpu = min(cpu, (time.process_time() - start_cpu) / together)
            if time.perf_counter() - begin >= float(line):
                break
        print(json.dumps({"wall": wall, "cpu": cpu, **more()}), flush=True)


def take(commands, turns, seconds):
    """What each of the commands, by their names, answers in each of so many turns."""
    with contextlib.ExitStack() as stack:
        programs = {name: stack.enter_context(started(command)) for name, command in commands.items()}
        answers = {name: [] for name in commands}
        order = list(commands)
        for _ in range(turns):
            for name in order:
                answers[name].append(ask(programs[name], seconds))
            # Nobody always goes after the same other.
            order = order[1:] + order[:1]
        return answers


@contextlib.contextmanager
def started(command):
    program = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield program
    finally:
        with contextlib.suppress(BrokenPipeError):
            program.stdin.close()
        program.wait()


def ask(program, seconds):
    with contextlib.suppress(BrokenPipeError):
        program.stdin.write(f"{seconds}\n")
        program.stdin.flush()
    line = program.stdout.readline()
    if not line:
        raise SystemExit(f"it ended: {' '.join(map(str, program.args))}")
    return json.loads(line)


class Comparison:
    """What programs answered in turns, ours beside the fastest of the others by their median."""

    def __init__(self, commands, others, options):
        self.clock = "cpu" if options.threads == 1 else "wall"
        self.answers = take(commands, options.turns, options.seconds)
        self.seconds = {name: statistics.median(self.of(name)) for name in commands}
        self.other = min(others, key=self.seconds.get)

    def of(self, name):
        return [answer[self.clock] for answer in self.answers[name]]

    def times(self, over, under):
        """How many times as long: lower quartile, median and upper quartile of the turns' ratios."""
        ratios = [first / second for first, second in zip(self.of(over), self.of(under))]
        return statistics.quantiles(ratios, n=4, method="inclusive")
