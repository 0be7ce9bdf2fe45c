//! Figures on the way out: one line each, and all of them as JSON.
//!
//! A line is `name value unit ratio`, then what the ratio is to and whether the goal is met. Values are medians of
//! the rounds; their range is in the JSON, with the load of the machine before and after.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is the one place that prints figures")]

use serde_json::{Value, json};
use std::{fs, io, path::Path};

/// What a figure has to reach.
pub enum Goal {
    /// At least this value.
    AtLeast(f64),
    /// At most this value.
    AtMost(f64),
    /// At least this part of what it is compared to.
    RatioAtLeast(f64),
    /// At most this part of what it is compared to.
    RatioAtMost(f64),
    /// Only for orientation.
    None,
}

impl Goal {
    fn check(&self, value: f64, ratio: Option<f64>) -> (String, Option<bool>) {
        match *self {
            Self::AtLeast(goal) => (format!("value >= {goal}"), Some(value >= goal)),
            Self::AtMost(goal) => (format!("value <= {goal}"), Some(value <= goal)),
            Self::RatioAtLeast(goal) => (format!("ratio >= {goal}"), ratio.map(|ratio| ratio >= goal)),
            Self::RatioAtMost(goal) => (format!("ratio <= {goal}"), ratio.map(|ratio| ratio <= goal)),
            Self::None => (String::new(), None),
        }
    }
}

/// The middle of what was measured; 0 of nothing.
pub fn median(samples: &[f64]) -> f64 {
    quantile(samples, 0.5)
}

/// The value below which a part of the samples lies; 0 of nothing.
pub fn quantile(samples: &[f64], part: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = (sorted.len().saturating_sub(1) as f64 * part).round() as usize;
    sorted.get(at).copied().unwrap_or(0.0)
}

/// All figures of a run.
pub struct Report {
    load: String,
    figures: Vec<Value>,
}

fn load() -> String {
    fs::read_to_string("/proc/loadavg").unwrap_or_default().trim().to_owned()
}

impl Report {
    /// A report of a run that begins now.
    pub fn begin() -> Self {
        eprintln!("# load {}", load());
        Self { load: load(), figures: Vec::new() }
    }

    /// A figure with what it is compared to: the name and the samples of that.
    pub fn figure(
        &mut self,
        name: &str,
        unit: &str,
        samples: &[f64],
        against: Option<(&str, &[f64])>,
        goal: Goal,
    ) {
        let value = median(samples);
        let base = against.map(|(_, samples)| median(samples)).filter(|base| *base > 0.0);
        let ratio = base.map(|base| value / base);
        let (wanted, met) = goal.check(value, ratio);
        let shown = ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}"));
        let mut notes = Vec::new();
        if let (Some((what, _)), Some(base)) = (against, base) {
            notes.push(format!("of {what} ({})", number(base)));
        }
        if let Some(met) = met {
            notes.push(format!("goal {wanted}: {}", if met { "met" } else { "MISSED" }));
        }
        println!("{name:<30} {:>12} {unit:<10} {shown:>6}  {}", number(value), notes.join("; "));
        self.figures.push(json!({
            "name": name, "value": value, "unit": unit, "samples": samples, "ratio": ratio,
            "against": against.map(|(what, samples)| json!({"name": what, "value": base, "samples": samples})),
            "goal": wanted, "met": met,
        }));
    }

    /// Writes everything as JSON.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let cpus = std::thread::available_parallelism().map_or(0, usize::from);
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let whole = json!({
            "machine": {"cpus": cpus, "kernel": kernel.trim(), "load_before": self.load, "load_after": load()},
            "figures": self.figures,
        });
        fs::write(path, format!("{whole:#}\n"))
    }
}

fn number(value: f64) -> String {
    match value.abs() {
        large if large >= 1000.0 => format!("{value:.0}"),
        medium if medium >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}
