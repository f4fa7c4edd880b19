//! OpenLineage: for each action an event when it started and one when it was complete.

use dermflow_core::{Artifact, ColumnType, Key};
use serde_json::{Value, json};

use super::{Story, Told, inputs, leaves, producer, shown, source_digest, source_title, times};

/// The version of the event's schema.
const EVENT: &str = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent";

/// What an event tells of.
#[derive(Clone, Copy)]
enum Moment {
    Start,
    Complete,
}

/// The events in the order of time, as a consumer takes them: one JSON object each.
pub fn open_lineage(story: &Story) -> Vec<Value> {
    let mut events = Vec::new();
    for one in &story.told {
        let (start, end) = times(&one.record);
        events.push((
            one.record.making.started,
            event(story, one, Moment::Start, &start),
        ));
        events.push((
            super::ended(&one.record),
            event(story, one, Moment::Complete, &end),
        ));
    }
    events.sort_by(|a, b| a.0.total_cmp(&b.0));
    events.into_iter().map(|(_, event)| event).collect()
}

/// A facet of the specification, as the version that its published schema has now.
fn facet(name: &str, version: &str) -> Value {
    let schema = format!("https://openlineage.io/spec/facets/{version}/{name}.json#/$defs/{name}");
    json!({"_producer": producer(), "_schemaURL": schema})
}

/// A facet of ours: formats allow them under a name of their own.
fn own_facet(name: &str) -> Value {
    json!({"_producer": producer(), "_schemaURL": format!("urn:dermflow:openlineage:{name}")})
}

fn event(story: &Story, one: &Told, moment: Moment, time: &str) -> Value {
    let taken = taken(story, one);
    let given: Vec<Value> = match moment {
        // What comes out, and how much, is not known before.
        Moment::Start => Vec::new(),
        Moment::Complete => given(story, one),
    };
    json!({
        "eventType": match moment { Moment::Start => "START", Moment::Complete => "COMPLETE" },
        "eventTime": time, "producer": producer(), "schemaURL": EVENT,
        "run": {"runId": run_id(&one.key), "facets": run_facets(one)},
        "job": {"namespace": namespace(story), "name": one.stage, "facets": {"jobType": job_type(one)}},
        "inputs": taken, "outputs": given,
    })
}

fn namespace(story: &Story) -> String {
    format!("dermflow.{}", story.pipeline)
}

/// The engine, the parameters as other tools read them, and what only dermflow says.
fn run_facets(one: &Told) -> Value {
    let record = &one.record;
    let mut engine = facet("ProcessingEngineRunFacet", "1-1-1");
    let mut words = record.making.program.split(' ');
    engine["name"] = words.next().unwrap_or("dermflow").into();
    engine["version"] = words.next().unwrap_or("unknown").into();
    let mut parameters = facet("ExecutionParametersRunFacet", "1-0-0");
    let told = leaves(&record.manifest.parameters).into_iter();
    parameters["parameters"] = told
        .map(|(path, value)| json!({"key": path, "value": value}))
        .collect();
    let mut action = own_facet("ActionRunFacet");
    action["key"] = one.key.hex().into();
    action["kind"] = record.manifest.kind.clone().into();
    action["kindVersion"] = record.manifest.version.into();
    action["seed"] = record.manifest.seed.into();
    action["parameters"] = json!(record.manifest.parameters);
    json!({"processing_engine": engine, "executionParameters": parameters, "dermflow_action": action})
}

fn job_type(one: &Told) -> Value {
    let mut job = facet("JobTypeJobFacet", "2-0-4");
    job["processingType"] = "BATCH".into();
    job["integration"] = "DERMFLOW".into();
    job["jobType"] = one.record.manifest.kind.clone().into();
    job
}

/// The artifacts that went in, and the source files.
fn taken(story: &Story, one: &Told) -> Vec<Value> {
    let artifacts = inputs(&one.record).map(|(port, ancestor)| {
        let maker = ancestor
            .action
            .and_then(|key| story.told.iter().find(|told| told.key == key));
        let stage = maker.map_or("unknown", |told| told.stage.as_str());
        let made = maker.and_then(|told| told.record.outputs.get(&ancestor.port));
        let name = format!("{stage}.{}", ancestor.port);
        let mut dataset = dataset(story, &name, &ancestor.artifact.hex(), made);
        let mut input = own_facet("PortInputDatasetFacet");
        input["port"] = port.clone().into();
        dataset["inputFacets"] = json!({"dermflow_port": input});
        dataset
    });
    let sources = one.record.manifest.sources.values().map(|source| {
        let name = format!("source {}", source_title(source));
        dataset(story, &name, &source_digest(source).hex(), None)
    });
    artifacts.chain(sources).collect()
}

/// The artifacts that came out, with their sizes.
fn given(story: &Story, one: &Told) -> Vec<Value> {
    let all = shown(&one.record).map(|(port, artifact)| {
        let name = format!("{}.{port}", one.stage);
        let mut dataset = dataset(story, &name, &artifact.name().hex(), Some(artifact));
        let mut statistics = facet("OutputStatisticsOutputDatasetFacet", "1-0-2");
        statistics["size"] = artifact.bytes().into();
        match artifact {
            Artifact::Table(_) => statistics["rowCount"] = artifact.rows().into(),
            Artifact::Model(_) | Artifact::Files(_) => {
                statistics["fileCount"] = artifact.blobs().len().into();
            }
        }
        dataset["outputFacets"] = json!({"outputStatistics": statistics});
        dataset
    });
    all.collect()
}

/// An artifact or a source, named by where it comes from and its content.
fn dataset(story: &Story, name: &str, version: &str, artifact: Option<&Artifact>) -> Value {
    let mut content = facet("DatasetVersionDatasetFacet", "1-0-1");
    content["datasetVersion"] = version.into();
    let mut sort = facet("DatasetTypeDatasetFacet", "1-0-1");
    sort["datasetType"] = match artifact {
        Some(Artifact::Table(_)) => "TABLE",
        Some(Artifact::Model(_)) => "MODEL",
        Some(Artifact::Files(_)) | None => "FILE",
    }
    .into();
    let mut facets = json!({"version": content, "datasetType": sort});
    if let Some(Artifact::Table(table)) = artifact {
        facets["schema"] = schema(&table.columns);
    }
    json!({"namespace": namespace(story), "name": name, "facets": facets})
}

fn schema(columns: &[dermflow_core::Column]) -> Value {
    let fields = columns.iter().zip(1..).map(|(column, position)| {
        let sort = match &column.column_type {
            ColumnType::List(_) => "list".to_string(),
            other => other.to_string(),
        };
        json!({"name": column.name, "type": sort, "ordinal_position": position})
    });
    let mut schema = facet("SchemaDatasetFacet", "1-2-0");
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
