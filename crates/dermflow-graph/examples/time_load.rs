use dermflow_core::*;
use dermflow_graph::*;
use std::collections::BTreeMap;
#[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct P {
    #[serde(default)]
    value: i64,
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    share: f64,
    #[serde(default)]
    text: String,
    #[serde(default)]
    more: BTreeMap<String, i64>,
}
struct K;
impl StageKind for K {
    type Parameters = P;
    const NAME: &'static str = "pass";
    const VERSION: u32 = 1;
    const ABOUT: &'static str = "";
    const EXAMPLE: &'static str = "";
    fn inputs(_: &P) -> Inputs {
        Inputs {
            ports: vec![InputPort::one("of", PortType::Table(TableType::any()), "").with_arity(Arity::Many)],
            open: false,
        }
    }
    fn outputs(_: &P, w: &InputTypes) -> Result<Vec<OutputPort>, Problem> {
        Ok(vec![OutputPort::new(
            "same",
            w.get("of")
                .map_or(PortType::Table(TableType::any()), |t| t[0].clone()),
            "",
        )])
    }
    fn run(_: &P, _: &mut dyn StageContext) -> Result<(), StageError> {
        Ok(())
    }
}
struct S;
impl StageKind for S {
    type Parameters = P;
    const NAME: &'static str = "src";
    const VERSION: u32 = 1;
    const ABOUT: &'static str = "";
    const EXAMPLE: &'static str = "";
    fn inputs(_: &P) -> Inputs {
        Inputs::default()
    }
    fn outputs(_: &P, _: &InputTypes) -> Result<Vec<OutputPort>, Problem> {
        Ok(vec![OutputPort::new(
            "same",
            PortType::Table(TableType::any()),
            "",
        )])
    }
    fn run(_: &P, _: &mut dyn StageContext) -> Result<(), StageError> {
        Ok(())
    }
}
fn main() {
    let registry = Registry::new().with::<K>().with::<S>();
    for n in [10, 100, 1000, 10000, 20000] {
        let mut t = "params: {p: 0.5}\nstages:\n  s0: {kind: src}\n".to_string();
        for i in 1..n {
            t += &format!(
                "  s{i}:\n    kind: pass\n    in: {{of: [s{}.same, s{}]}}\n    with: {{value: {i}, share: \"${{p}}\", text: some text}}\n",
                i - 1,
                i / 2
            );
        }
        let file = std::env::temp_dir().join(format!("time-load-{n}.yaml"));
        std::fs::write(&file, &t).unwrap();
        let mut best = f64::MAX;
        for _ in 0..5 {
            let start = std::time::Instant::now();
            let l = load(&Request {
                file: &file,
                registry: &registry,
                overrides: &[],
                cells: CellSelection::Base,
            });
            match l {
                Ok(l) => assert_eq!(l.pipelines[0].stages.len(), n),
                Err(e) => panic!("{}", e.0[0]),
            }
            best = best.min(start.elapsed().as_secs_f64());
        }
        println!("{n} stages, {} kB: {:.2} ms", t.len() / 1000, best * 1e3);
        _ = std::fs::remove_file(file);
    }
}
