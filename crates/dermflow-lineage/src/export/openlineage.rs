//! OpenLineage: for each action an event when it started and one when it was complete.

use dermflow_core::{Artifact, ColumnType, Key};
use serde_json::{Value, json};

use super::{HOME, Story, Told, inputs, shown, source_digest, source_title, times};

/// The version of the event's schema.
const EVENT: &str = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent";

/// The events in the order of time, as a consumer takes them: one JSON object each.
pub fn open_lineage(story: &Story) -> Vec<Value> {
    let mut events = Vec::new();
    for one in &story.told {
        let (start, end) = times(&one.record);
        events.push((one.record.making.started, event(story, one, "START", &start)));
        events.push((super::ended(&one.record), event(story, one, "COMPLETE", &end)));
    }
    events.sort_by(|a, b| a.0.total_cmp(&b.0));
    events.into_iter().map(|(_, event)| event).collect()
}

fn facet(name: &str, version: &str) -> Value {
    let schema = format!("https://openlineage.io/spec/facets/{version}/{name}.json#/$defs/{name}");
    json!({"_producer": HOME, "_schemaURL": schema})
}

/// A facet of ours: formats allow them under a name of their own.
fn own_facet(name: &str) -> Value {
    json!({"_producer": HOME, "_schemaURL": format!("{HOME}#{name}")})
}

fn event(story: &Story, one: &Told, sort: &str, time: &str) -> Value {
    let record = &one.record;
    let engine = {
        let mut engine = facet("ProcessingEngineRunFacet", "1-1-1");
        let mut words = record.making.program.split(' ');
        engine["name"] = words.next().unwrap_or("dermflow").into();
        engine["version"] = words.next().unwrap_or("unknown").into();
        engine
    };
    let mut action = own_facet("ActionRunFacet");
    action["key"] = one.key.hex().into();
    action["kind"] = record.manifest.kind.clone().into();
    action["kindVersion"] = record.manifest.version.into();
    action["seed"] = record.manifest.seed.into();
    action["parameters"] = json!(record.manifest.parameters);
    let mut taken: Vec<Value> = inputs(record)
        .map(|(port, ancestor)| {
            let maker = ancestor
                .action
                .and_then(|key| story.told.iter().find(|told| told.key == key));
            let stage = maker.map_or("unknown", |told| told.stage.as_str());
            let mut dataset = dataset(
                story,
                &format!("{stage}.{}", ancestor.port),
                &ancestor.artifact.hex(),
            );
            if let Some(Artifact::Table(table)) =
                maker.and_then(|told| told.record.outputs.get(&ancestor.port))
            {
                dataset["facets"]["schema"] = schema(&table.columns);
            }
            let mut input = own_facet("InputPortFacet");
            input["port"] = port.clone().into();
            dataset["inputFacets"] = json!({"dermflow_port": input});
            dataset
        })
        .collect();
    taken.extend(record.manifest.sources.values().map(|source| {
        let title = source_title(source);
        dataset(story, &format!("source {title}"), &source_digest(source).hex())
    }));
    let given = shown(record).map(|(port, artifact)| {
        let mut dataset = dataset(story, &format!("{}.{port}", one.stage), &artifact.name().hex());
        if let Artifact::Table(table) = artifact {
            dataset["facets"]["schema"] = schema(&table.columns);
        }
        let mut statistics = facet("OutputStatisticsOutputDatasetFacet", "1-0-2");
        statistics["rowCount"] = artifact.rows().into();
        statistics["size"] = artifact.bytes().into();
        dataset["outputFacets"] = json!({"outputStatistics": statistics});
        dataset
    });
    let given: Vec<Value> = given.collect();
    json!({
        "eventType": sort, "eventTime": time, "producer": HOME, "schemaURL": EVENT,
        "run": {"runId": run_id(&one.key), "facets": {"processing_engine": engine, "dermflow_action": action}},
        "job": {"namespace": format!("dermflow.{}", story.pipeline), "name": one.stage, "facets": {}},
        "inputs": taken, "outputs": given,
    })
}

fn dataset(story: &Story, name: &str, version: &str) -> Value {
    let mut facet = facet("DatasetVersionDatasetFacet", "1-0-1");
    facet["datasetVersion"] = version.into();
    json!({"namespace": format!("dermflow.{}", story.pipeline), "name": name, "facets": {"version": facet}})
}

fn schema(columns: &[dermflow_core::Column]) -> Value {
    let fields = columns.iter().map(|column| {
        let sort = match &column.column_type {
            ColumnType::List(_) => "list".to_string(),
            other => other.to_string(),
        };
        json!({"name": column.name, "type": sort})
    });
    let mut schema = facet("SchemaDatasetFacet", "1-1-1");
    schema["fields"] = fields.collect();
    schema
}

/// A UUID made of the key (RFC 9562, version 8): the same action is the same run everywhere.
fn run_id(key: &Key) -> String {
    let digest = key.digest();
    let mut bytes = [0u8; 16];
    bytes.copy_from_slice(&digest.as_bytes()[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}
