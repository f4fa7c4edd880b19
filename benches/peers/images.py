"""Pictures a second: files to RGB of one size, beside Pillow and torchvision, in one run.

    VENV/bin/python benches/peers/images.py FOLDER [FOLDER...] [--side 224] [--rounds 5]

Needs `pillow`, `torch` and `torchvision`, and built before: `cargo build --release -p dermflow` and
`cargo bench -p dermflow-benches --bench pictures --no-run`. Every tool stretches to SIDE × SIDE with a
bicubic filter that averages. The tools take turns; the figure is of the fastest round.

* `ingest`: the whole stage through the program, into a fresh store: listing, hashing, decoding,
  writing Parquet durably. The others only fill memory.
* `laid out`: the same, and the table laid as a result file, a second copy of all pixels. Pipelines do
  that with few tables of pictures.
* `decode`: the same decoding and resizing alone, in the bench program.
* `Pillow`, `Pillow draft`: `draft` lets libjpeg decode at a fraction, as `ingest` does.
* `torchvision`: `decode_image` and `resize` with `antialias=True` on bytes.
"""

import argparse
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

import torch
from PIL import Image
from torchvision.io import ImageReadMode, decode_image
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2.functional import resize

HERE = pathlib.Path(__file__).resolve().parents[2]
torch.set_num_threads(1)


def pillow(path, side, draft):
    with Image.open(path) as picture:
        if draft:
            picture.draft("RGB", (side, side))
        return picture.convert("RGB").resize((side, side), Image.Resampling.BICUBIC).tobytes()


def torchvision(path, side):
    data = torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8)
    picture = decode_image(data, mode=ImageReadMode.RGB)
    return resize(picture, [side, side], interpolation=InterpolationMode.BICUBIC, antialias=True)


def over(files, work, threads):
    """Seconds that `work` takes for all files on so many threads (all of it frees the interpreter)."""
    started = time.perf_counter()
    if threads == 1:
        for file in files:
            work(file)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, files, chunksize=max(1, min(16, len(files) // (4 * threads)))))
    return time.perf_counter() - started


def built_bench():
    words = ["cargo", "bench", "-q", "-p", "dermflow-benches", "--bench", "pictures", "--no-run", "--message-format=json"]
    lines = subprocess.run(words, cwd=HERE, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    found = [json.loads(line).get("executable") for line in lines if '"pictures"' in line]
    return next(path for path in found if path)


def decode(bench, folder, side, threads):
    words = [bench, "speed", str(folder), str(side), str(threads), "1"]
    files, refused, seconds = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    if refused != "0":
        sys.exit(f"{refused} of {files} pictures in {folder} were refused")
    return float(seconds)


def ingest(folder, side, threads, output):
    place = pathlib.Path(tempfile.mkdtemp(prefix="dermflow-images-"))
    try:
        text = f"name: images\nstages:\n  photos:\n    kind: ingest\n    with: {{root: {json.dumps(str(folder))}, size: {side}, mode: stretch}}\noutputs: {{told: photos.{output}}}\n"
        (place / "dermflow.yaml").write_text(text)
        program = HERE / "target" / "release" / "dermflow"
        started = time.perf_counter()
        words = [program, "run", "dermflow.yaml", "--jobs", str(threads)]
        ended = subprocess.run(words, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        seconds = time.perf_counter() - started
        if ended.returncode:
            sys.exit(ended.stdout)
        return seconds
    finally:
        shutil.rmtree(place)


def main():
    reader = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reader.add_argument("folders", nargs="+", type=pathlib.Path)
    reader.add_argument("--side", type=int, default=224)
    reader.add_argument("--rounds", type=int, default=5)
    given = reader.parse_args()
    bench = built_bench()
    heads = ["ingest", "laid out", "decode", "Pillow", "Pillow draft", "torchvision"]
    print(f"| folder, threads | pictures | {' | '.join(heads)} | decode / best peer | ingest / best peer | laid out / best peer |")
    print("|---" * (len(heads) + 5) + "|")
    for folder in given.folders:
        files = sorted(folder.resolve().iterdir())
        for threads in (1, 2):
            side = given.side
            tools = {
                "ingest": lambda: ingest(folder.resolve(), side, threads, "rejects"),
                "laid out": lambda: ingest(folder.resolve(), side, threads, "samples"),
                "decode": lambda: decode(bench, folder, side, threads),
                "Pillow": lambda: over(files, lambda file: pillow(file, side, False), threads),
                "Pillow draft": lambda: over(files, lambda file: pillow(file, side, True), threads),
                "torchvision": lambda: over(files, lambda file: torchvision(file, side), threads),
            }
            seconds = {name: [] for name in tools}
            for _ in range(given.rounds):
                for name, tool in tools.items():
                    seconds[name].append(tool())
            rates = {name: len(files) / min(times) for name, times in seconds.items()}
            best = max(rates[name] for name in heads[3:])
            cells = [f"{rates[name]:.1f}" for name in heads]
            cells += [f"{rates[name] / best:.2f}" for name in ("decode", "ingest", "laid out")]
            print(f"| {folder.parent.name}/{folder.name}, {threads} | {len(files)} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
