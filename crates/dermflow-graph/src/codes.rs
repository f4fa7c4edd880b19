//! Every code that a diagnostic can have.

/// All codes, in order of the alphabet, with what they mean. A code is stable: scripts and
/// editors may rely on it.
pub const CODES: &[(&str, &str)] = &[
    (
        "alias-bomb",
        "aliases expand to more values than a pipeline can need",
    ),
    (
        "ambiguous-output",
        "`stage` alone could mean several of its outputs",
    ),
    ("bad-key", "a mapping's key is a list or a mapping"),
    ("bad-merge", "`<<` is given something other than mappings"),
    (
        "bad-override",
        "a variant, a matrix or `--set` names something that can't be set",
    ),
    (
        "bad-reference",
        "a `${…}` is malformed, or stands where its value can't",
    ),
    ("bad-set", "`--set` without `=`"),
    (
        "bad-wire",
        "something under `in` or `outputs` is no `stage.port`, or the port must be named",
    ),
    ("empty-matrix", "a matrix without values"),
    ("file-too-large", "a file that is too large to be a pipeline"),
    ("include-cycle", "a file that includes itself"),
    ("invalid-inputs", "the kind refuses what is wired to it"),
    ("invalid-name", "a name with letters that names can't have"),
    (
        "invalid-parameter",
        "the kind refuses a parameter or a combination of them",
    ),
    ("matrix-too-large", "a matrix with too many combinations"),
    ("missing-input", "a required input is not wired"),
    ("missing-kind", "a stage without `kind`"),
    ("missing-parameter", "a required parameter is not written"),
    ("missing-source", "a source file that is not there"),
    ("nested-too-deep", "values that nest too deep"),
    ("no-stages", "a pipeline without stages"),
    (
        "not-a-mapping",
        "something other than a mapping where one is needed",
    ),
    ("not-utf8", "a file that is not UTF-8"),
    ("param-cycle", "params that refer to each other in a circle"),
    (
        "param-too-large",
        "params that expand to more than a pipeline can need",
    ),
    (
        "parameter-length",
        "a parameter with too few or too many letters, elements or entries",
    ),
    ("parameter-range", "a number out of its range"),
    ("parameter-type", "a parameter of the wrong type"),
    (
        "parameter-value",
        "a parameter that is none of the values to choose from",
    ),
    ("repeated-key", "a key that stands twice in a mapping"),
    ("repeated-name", "a name that two files use"),
    (
        "repeated-value",
        "a value that stands twice in a list of a matrix",
    ),
    ("reserved-name", "a param with a name that means something else"),
    ("several-documents", "more than one YAML document in a file"),
    ("stage-cycle", "stages that wait for each other"),
    ("too-many-inputs", "two artifacts for an input that takes one"),
    ("unknown-input", "an input port that the kind does not have"),
    ("unknown-key", "a key that pipelines or stages do not have"),
    ("unknown-kind", "a kind that this program does not have"),
    ("unknown-matrix", "a matrix that is asked for and not in the file"),
    ("unknown-output", "an output port that the stage does not have"),
    ("unknown-param", "a param that is not in the file"),
    ("unknown-parameter", "a parameter that the kind does not have"),
    ("unknown-stage", "a stage that is not in the pipeline"),
    ("unknown-tag", "a YAML tag that means nothing here"),
    (
        "unknown-variant",
        "a variant that is asked for and not in the file",
    ),
    (
        "unreadable-file",
        "a file that is missing, a folder, or may not be read",
    ),
    ("unused-param", "a warning: a param that nothing uses"),
    (
        "unused-stage",
        "a warning: a stage that neither feeds another nor is an output",
    ),
    (
        "wrong-port-type",
        "an artifact that does not fit the input it is wired to",
    ),
    ("wrong-shape", "a value of the wrong type outside of parameters"),
    (
        "wrong-source",
        "a source that is a folder instead of a file, or the other way around",
    ),
    ("yaml-syntax", "a text that is no YAML"),
];
