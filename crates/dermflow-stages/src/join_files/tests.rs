use arrow::array::{Int64Array, StringArray};
use dermflow_core::memory::{MemoryContext, batch};

use super::*;

fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(
        values
            .iter()
            .map(|value| (!value.is_empty()).then_some(*value))
            .collect::<StringArray>(),
    )
}

fn run(with: &str) -> MemoryContext {
    let mut context = MemoryContext::default();
    context.batch_rows = 2;
    let sources = ["a/1.jpg", "a/2.jpg", "b/1.jpg", "b/3.png"];
    let files = batch(
        &sources,
        [
            ("source", texts(&sources)),
            ("label", texts(&["x", "x", "x", ""])),
        ],
    );
    let named = ["a/1.jpg", "b/3.png", "./b/9.jpg", "a/1.jpg"];
    let ages: ArrayRef = Arc::new(Int64Array::from(vec![10, 30, 90, 11]));
    let columns = [
        ("file", texts(&named)),
        ("kind", texts(&["mel", "nev", "bcc", "ack"])),
        ("age", ages),
    ];
    context.add_table("files", files);
    context.add_table("list", batch(&["k1", "k2", "k3", "k4"], columns));
    let parameters: JoinFilesParameters = serde_yaml::from_str(&format!("{{column: file, {with}}}")).unwrap();
    assert!(JoinFiles::check(&parameters).is_empty());
    JoinFiles::run(&parameters, &mut context).unwrap();
    context
}

/// `source label` of the output and `source reason` of the rejects, sorted.
fn told(context: &MemoryContext) -> (Vec<String>, Vec<String>) {
    let lines = |table: RecordBatch, first: &str, second: &str| {
        let text = |name: &str| table.column_by_name(name).unwrap().as_string::<i32>().clone();
        let (first, second) = (text(first), text(second));
        let lines = first.iter().zip(second.iter());
        let mut lines: Vec<String> = lines
            .map(|(a, b)| format!("{} {}", a.unwrap_or("-"), b.unwrap_or("-")))
            .collect();
        lines.sort();
        lines
    };
    (
        lines(context.output("files"), "source", "label"),
        lines(context.output("rejects"), "source", "reason"),
    )
}

#[test]
fn listed_files_stay_and_what_is_listed_in_vain_is_told() {
    let (files, rejects) = told(&run("label: kind, columns: [age]"));
    assert_eq!(files.len(), 2);
    assert!(
        files[0].starts_with("a/1.jpg ") && files[1] == "b/3.png nev",
        "{files:?}"
    );
    assert_eq!(rejects.len(), 2);
    assert_eq!(
        rejects[0],
        "./b/9.jpg the list names this file, and it is not there"
    );
    assert_eq!(
        rejects[1],
        "a/1.jpg the list names this file already, as `a/1.jpg`"
    );
}

#[test]
fn unlisted_files_may_stay_without_what_the_list_would_say() {
    let (files, _) = told(&run("label: kind, unlisted: keep"));
    assert_eq!(files.len(), 4);
    assert!(files.contains(&"a/2.jpg -".to_string()), "{files:?}");
    let (files, _) = told(&run("unlisted: keep"));
    assert!(
        files.contains(&"a/2.jpg x".to_string()),
        "a label that isn't taken from the list stays"
    );
}

#[test]
fn a_file_name_means_every_file_of_that_name() {
    let (files, rejects) = told(&run("match: file-name, label: kind"));
    assert_eq!(files.len(), 3, "{files:?}");
    assert_eq!(rejects.len(), 2);
    let (files, _) = told(&run("match: stem, label: kind"));
    assert_eq!(files.len(), 3);
}

#[test]
fn columns_that_do_not_fit_are_told_at_their_place() {
    let problem = |with: &str| {
        let parameters: JoinFilesParameters = serde_yaml::from_str(&format!("{{{with}}}")).unwrap();
        let files = TableType::exactly([Column::new("source", ColumnType::Text)]);
        let list = [
            ("file", ColumnType::Text),
            ("age", ColumnType::Integer),
            ("source", ColumnType::Text),
        ];
        let list = TableType::exactly(list.map(|(name, column_type)| Column::new(name, column_type)));
        let problem = parameters.joined(&files, &list).unwrap_err();
        format!("{}: {}", problem.parameter, problem.message)
    };
    assert!(problem("column: path").starts_with("column: the list has no column `path`"));
    assert!(problem("column: age").contains("is integer, not text"));
    assert!(problem("column: file, label: age").starts_with("label: "));
    assert!(problem("column: file, columns: [source]").starts_with("columns: the files have"));
    let twice: JoinFilesParameters =
        serde_yaml::from_str("{column: file, columns: [age, age, label]}").unwrap();
    let places: Vec<String> = JoinFiles::check(&twice)
        .into_iter()
        .map(|problem| problem.parameter)
        .collect();
    assert_eq!(places, ["columns.1", "columns.2"]);
}
