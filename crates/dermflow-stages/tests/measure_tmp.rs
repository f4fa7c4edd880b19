use dermflow_core::memory::MemoryContext;
use std::time::Instant;
#[test]
fn measure() {
    let registry = dermflow_stages::registry();
    let kind = registry.get("process").unwrap();
    for yaml in ["{command: [cp, /etc/hostname, outputs/o/x], outputs: {o: files}}", "{command: 'cp /etc/hostname outputs/o/x', outputs: {o: files}}"] {
        let p = kind.parse(&serde_yaml::from_str(yaml).unwrap()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let mut times = Vec::new();
        for _ in 0..300 {
            let mut c = MemoryContext::default();
            c.scratch = dir.path().to_path_buf();
            let s = Instant::now();
            kind.run(&p, &mut c).unwrap();
            times.push(s.elapsed());
        }
        times.sort();
        println!("{yaml}: median {:?} p90 {:?}", times[150], times[270]);
    }
    let s = Instant::now();
    for _ in 0..300 { std::process::Command::new("/bin/cp").args(["/etc/hostname", "/tmp/xx"]).status().unwrap(); }
    println!("bare cp {:?}", s.elapsed() / 300);
}
#[test]
fn big() {
    use arrow::array::*; use std::sync::Arc;
    let n: i64 = 1_000_000;
    let keys: Vec<String> = (0..n).map(|i| i.to_string()).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let v: ArrayRef = Arc::new(Int64Array::from_iter_values(0..n));
    let b = dermflow_core::memory::sorted(&dermflow_core::memory::batch(&keys, [("v", v)])).unwrap();
    let registry = dermflow_stages::registry();
    for (k, y, ports) in [("filter","where: {column: v, above: 500000}", vec!["table"]), ("join","{prefix: r_}", vec!["left","right"]), ("sample","share: 0.5", vec!["table"]), ("sample","rows: 100000", vec!["table"]), ("concat","{}", vec!["tables","tables","tables"])] {
        let kind = registry.get(k).unwrap();
        let p = kind.parse(&serde_yaml::from_str(y).unwrap()).unwrap();
        let mut c = MemoryContext::default();
        for port in ports { c.add_table(port, b.clone()); }
        let s = Instant::now();
        kind.run(&p, &mut c).unwrap();
        println!("{k} {y}: {:?}", s.elapsed());
    }
}
