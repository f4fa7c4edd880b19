"""The stage `summary` of python.yaml: the mean of a column within each value of another.

Everything that a program is told stands in the JSON file that DERMFLOW_CONTEXT names.
"""

import hashlib
import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

context = json.loads(Path(os.environ["DERMFLOW_CONTEXT"]).read_text())
by, value = context["parameters"]["by"], context["parameters"]["value"]


def tell(**message):
    """A line for whoever watches, or a figure that stays with the result."""
    with open(context["messages"], "a") as messages:
        messages.write(json.dumps(message) + "\n")


# A table comes as Parquet files; all have the same columns.
table = pa.concat_tables([pq.read_table(path) for path in context["inputs"]["lesions"]["parquet"]])
groups = table.group_by(by, use_threads=False).aggregate([(value, "mean"), ([], "count_all")]).sort_by(by)
tell(type="progress", done=table.num_rows, total=table.num_rows)
tell(type="metric", name="groups", value=groups.num_rows)

# Every table here has sample ids: 32 bytes, or their 64 hexadecimal digits. A row that stands
# for no one image gets one of its own, made from what it is.
names = groups[by].to_pylist()
identities = [hashlib.sha256(name.encode()).hexdigest() for name in names]
summary = pa.table(
    {
        "sample_id": identities,
        by: groups[by],
        "lesions": groups["count_all"],
        "mean": groups[f"{value}_mean"],
    }
)
pq.write_table(summary, context["outputs"]["groups"]["path"])

page = Path(context["outputs"]["page"]["path"]) / "summary.txt"
page.write_text("".join(f"{name}: {count}\n" for name, count in zip(names, groups["count_all"].to_pylist())))
print(f"{len(names)} groups of {table.num_rows} lesions")
