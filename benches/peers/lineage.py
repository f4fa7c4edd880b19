"""Exports of lineage, as other programs read them.

    ../peers/bin/pip install roc-validator rocrate==0.13.0 prov openlineage-python
    ../peers/bin/python benches/peers/lineage.py scores.metrics classifier.model
    ../peers/bin/python benches/peers/lineage.py --program target/release/dermflow --store .dermflow RUN

Each artifact's (or run's) lineage is exported in the three forms, and given to
* rocrate-validator (crs4), profile Provenance Run Crate and all that it rests on: what a crate
  must, should and may have;
* `prov`, which reads the PROV-JSON, writes it again and compares;
* OpenLineage's Python client: every event and facet is made again by the class that the client
  has for it, which knows the fields and the version of the schema.

Exit code 1 where something that must hold doesn't. No network is used: the context of RO-Crate
1.1 is the one that the package `rocrate` 0.13 ships.
"""

import argparse
import importlib.util
import json
import pkgutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

CONTEXT = "https://w3id.org/ro/crate/1.1/context"


def export(arguments, form, to):
    words = [arguments.program, "export-lineage", *arguments.artifacts, "--store", arguments.store]
    subprocess.run([*words, "--format", form, "--to", str(to)], check=True)


class Answer:
    """What the validator gets for an address."""

    status_code, headers, from_cache = 200, {"Content-Type": "application/ld+json"}, True

    def __init__(self, document):
        self.document = document
        self.text = json.dumps(document)
        self.content = self.text.encode()

    def json(self):
        return self.document

    def raise_for_status(self):
        pass


def check_crate(folder):
    """Gives the issues at MUST; tells all."""
    from rocrate_validator import models, services
    from rocrate_validator.utils.http import HttpRequester

    shipped = Path(importlib.util.find_spec("rocrate").origin).parent / "data/ro-crate.jsonld"
    context = json.loads(shipped.read_text())
    assert context["@id"] == CONTEXT, f"rocrate ships {context['@id']}: install 0.13.0"

    def get(self, address, *_, **__):
        if address == CONTEXT:
            return Answer(context)
        raise RuntimeError(f"{address} is not at hand")

    HttpRequester.get = get
    settings = services.ValidationSettings(
        rocrate_uri=str(folder),
        profile_identifier="provenance-run-crate",
        requirement_severity=models.Severity.OPTIONAL,
    )
    result = services.validate(settings)
    issues = result.get_issues()
    print(f"rocrate-validator: {len(issues)} issues")
    told = Counter((str(one.severity.name), one.check.identifier, one.message) for one in issues)
    for (severity, check, message), count in sorted(told.items()):
        print(f"  {severity:12} {check:32} {count:4} x {' '.join(str(message).split())}")
    return sum(one.severity == models.Severity.REQUIRED for one in issues)


def check_prov(path):
    from prov.model import ProvAgent, ProvDocument, PROV

    document = ProvDocument.deserialize(str(path), format="json")
    again = ProvDocument.deserialize(content=document.serialize(format="json"), format="json")
    counts = Counter(type(record).__name__ for record in document.get_records())
    print("prov:", ", ".join(f"{count} {name}" for name, count in sorted(counts.items())))
    agents = document.get_records(ProvAgent)
    software = [PROV["SoftwareAgent"] in agent.get_asserted_types() for agent in agents]
    wrong = [] if document == again else ["reads back as another document"]
    if not software or not all(software):
        wrong.append("its agents are not read as software agents")
    for one in wrong:
        print("  ", one)
    return len(wrong)


def classes():
    """The client's class for each schema, by the address that it states."""
    import openlineage.client.generated as generated

    found = {}
    for module in pkgutil.iter_modules(generated.__path__):
        held = importlib.import_module(f"{generated.__name__}.{module.name}")
        for one in vars(held).values():
            if isinstance(one, type) and hasattr(one, "_get_schema"):
                found[one._get_schema()] = one
    return found


def check_events(path):
    from openlineage.client.generated.base import Dataset, Job, Run, RunEvent

    known, wrong, made = classes(), [], Counter()

    def facet(name, value):
        address = value["_schemaURL"]
        fields = {key: field for key, field in value.items() if not key.startswith("_")}
        if name.startswith("dermflow_"):
            return
        if address not in known:
            wrong.append(f"{name}: the client has no class for {address}")
            return
        known[address](**fields)
        made[name] += 1

    events = [json.loads(line) for line in Path(path).read_text().splitlines()]
    for event in events:
        try:
            run, job = event["run"], event["job"]
            sides = [
                [Dataset(namespace=one["namespace"], name=one["name"]) for one in event[side]]
                for side in ("inputs", "outputs")
            ]
            RunEvent(
                eventType=event["eventType"],
                eventTime=event["eventTime"],
                producer=event["producer"],
                run=Run(runId=run["runId"]),
                job=Job(namespace=job["namespace"], name=job["name"]),
                inputs=sides[0],
                outputs=sides[1],
            )
            groups = [run["facets"], job["facets"]]
            for one in event["inputs"] + event["outputs"]:
                groups += [one.get(kind, {}) for kind in ("facets", "inputFacets", "outputFacets")]
            for group in groups:
                for name, value in group.items():
                    facet(name, value)
        except (TypeError, ValueError) as error:
            wrong.append(f"{event['job']['name']}: {error}")
    told = ", ".join(f"{count} {name}" for name, count in sorted(made.items()))
    print(f"openlineage-python: {len(events)} events; facets: {told}")
    for one, count in Counter(wrong).items():
        print(f"   {count} x {one}")
    return len(wrong)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("artifacts", nargs="+")
    parser.add_argument("--program", default="target/release/dermflow")
    parser.add_argument("--store", default=".dermflow")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        for form, name in (("ro-crate", "crate"), ("prov", "prov.json"), ("openlineage", "events.jsonl")):
            export(arguments, form, folder / name)
        wrong = [
            check_crate(folder / "crate"),
            check_prov(folder / "prov.json"),
            check_events(folder / "events.jsonl"),
        ]
    sys.exit(1 if any(wrong) else 0)


if __name__ == "__main__":
    main()
