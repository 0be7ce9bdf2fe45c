//! The fake agent as a program. Everything it can do stands in `vibes_tests::fake`.

fn main() -> std::process::ExitCode {
    vibes_tests::fake::run()
}
