//! `run --sign`, and `verify` with the public key.

use crate::project::chain;

const KEY: &str = "-----BEGIN PRIVATE KEY-----\n\
    MC4CAQAwBQYDK2VwBCIEIHcHbQpzGKV9PBbBclGyZkXfTC+H68CZKrF3+6UduSwq\n\
    -----END PRIVATE KEY-----\n";
const PUBLIC: &str = "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a";

#[test]
fn a_signed_run_is_vouched_for_by_its_key_alone() {
    let project = chain(20);
    project.write("key.pem", KEY);
    let refused = project.ended(&["run", "--sign", "data/lesions.csv"]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("openssl genpkey"), "{}", refused.err);
    assert!(!project.at(".dermflow").exists(), "nothing ran");

    let signed = project.done(&["run", "--sign", "key.pem"]).err;
    let public = signed.split_whitespace().last().unwrap().to_string();
    project.write("public.hex", &public);
    let told = project.done(&["verify", "--public-key", "public.hex"]).out;
    assert!(told.contains("1 signatures"), "{told}");

    project.run(&["run", "--set", "youngest=30"]);
    let told = project.done(&["verify", "--public-key", "public.hex"]).out;
    assert!(told.contains("newest 1 journals came after"), "{told}");

    let other = if public == PUBLIC { KEY } else { PUBLIC };
    project.write("other.hex", other.trim());
    let told = project.ended(&["verify", "--public-key", "other.hex"]);
    assert_eq!(told.code, Some(1), "{told:?}");

    let signatures: Vec<_> = crate::project::files_below(&project.at(".dermflow/runs"))
        .into_iter()
        .filter(|path| path.to_string_lossy().ends_with(".signature.json"))
        .collect();
    assert_eq!(signatures.len(), 1);
    let text = std::fs::read_to_string(&signatures[0]).unwrap();
    std::fs::write(&signatures[0], text.replace("\"number\": 1", "\"number\": 2")).unwrap();
    let told = project.ended(&["verify", "--public-key", "public.hex"]);
    assert!(
        told.code == Some(1) && told.out.contains("signature"),
        "{}",
        told.out
    );
}
