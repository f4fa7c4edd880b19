//! Rounds in turns with other programs: what `benches/peers/turns.py` asks for.

use std::error::Error;
use std::io::BufRead;
use std::time::Instant;

pub type Failure = Box<dyn Error + Send + Sync>;

/// Short rounds are timed together, at least this many seconds of them.
const TOGETHER: f64 = 0.02;

/// Answers each line of standard input, the seconds that a turn takes, with a line of JSON: wall
/// and processor seconds (of this thread: for one thread) of the turn's fastest round, and what `more`
/// adds. One round that doesn't count comes first.
pub fn take(
    mut round: impl FnMut() -> Result<(), Failure>,
    more: impl Fn() -> String,
) -> Result<(), Failure> {
    round()?;
    let start = Instant::now();
    round()?;
    let together = (TOGETHER / start.elapsed().as_secs_f64().max(1e-9))
        .ceil()
        .max(1.0) as u32;
    for line in std::io::stdin().lock().lines() {
        let seconds: f64 = line?.trim().parse()?;
        let (mut wall, mut cpu) = (f64::MAX, f64::MAX);
        let begin = Instant::now();
        loop {
            let (start, start_cpu) = (Instant::now(), processor_seconds());
            for _ in 0..together {
                round()?;
            }
            wall = wall.min(start.elapsed().as_secs_f64() / f64::from(together));
            cpu = cpu.min((processor_seconds() - start_cpu) / f64::from(together));
            if begin.elapsed().as_secs_f64() >= seconds {
                break;
            }
        }
        println!("{{\"wall\": {wall}, \"cpu\": {cpu}{}}}", more());
    }
    Ok(())
}

/// Of this thread; not a number where the system doesn't tell.
fn processor_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text.split(' ').next().and_then(|first| first.parse::<f64>().ok());
    nanoseconds.map_or(f64::NAN, |nanoseconds| nanoseconds / 1e9)
}
