//! Long runs as a program: `vibes-endure torture KILLS [SEED]`, `vibes-endure soak MINUTES [SEED]`. What they do
//! stands in `vibes_tests::torture` and `vibes_tests::soak`.

use std::{process::ExitCode, time::Duration};
use vibes_tests::{dice::Dice, soak, torture};

const USAGE: &str = "vibes-endure torture KILLS [SEED] | soak MINUTES [SEED]";

fn number(text: &str) -> u64 {
    text.parse().unwrap_or_else(|_| panic!("{text:?} is no number; {USAGE}"))
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).filter(|word| !word.is_empty()).collect();
    match words[..] {
        ["torture", kills, ref seed @ ..] if seed.len() <= 1 => {
            let mut plan = torture::Plan::from_environment(0, Duration::MAX);
            (plan.kills, plan.within) = (number(kills), None);
            plan.seed = seed.first().map_or(plan.seed, |seed| number(seed));
            torture::run(&plan);
        }
        ["soak", minutes, ref seed @ ..] if seed.len() <= 1 => {
            let length = soak::Length::Time(Duration::from_secs(60 * number(minutes)));
            soak::run(length, seed.first().map_or_else(Dice::seed, |seed| number(seed)), true);
        }
        _ => panic!("{USAGE}"),
    }
    ExitCode::SUCCESS
}
