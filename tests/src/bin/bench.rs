//! The benchmark as a program. What it measures stands in `bench/`; how to read it, in `docs/performance.md`.

#[path = "../bench/mod.rs"]
mod bench;

fn main() -> std::process::ExitCode {
    bench::run()
}
