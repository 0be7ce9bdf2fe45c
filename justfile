# Verbs of this workshop. `just` alone lists them.

default:
    @just --list --unsorted

# Format everything.
fmt:
    cargo fmt --all

# Warnings are errors; formatting is checked.
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --locked -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --locked --quiet

# The inner loop: everything but the long torture. Arguments go to the test runner.
test *ARGS: build
    cargo nextest run --workspace --locked -E 'not test(torture::)' {{ARGS}}

# Debug binaries, all of them: the tests drive them as programs.
build:
    cargo build --workspace --bins --locked

# What to run before a commit.
pre-commit: fmt lint test

# All that CI runs, in its order.
ci:
    bash .ci/run

# Kill the daemon N times in the middle of work and check that nothing was lost, doubled or reordered.
torture N="500" SEED="":
    cargo build --workspace --bins --locked --release
    VIBES_TORTURE_CYCLES={{N}} {{ if SEED != "" { "VIBES_TORTURE_SEED=" + SEED } else { "" } }} \
        cargo nextest run -p vibes-tests --release --locked -E 'test(torture::)' --no-capture

# Measure against floors and peers in the same run; see docs/performance.md.
bench *ARGS:
    cargo build --workspace --bins --locked --release
    cargo run --release --locked -p vibes-tests --bin vibes-bench -- {{ARGS}}

# Licences, advisories, duplicate crates.
deny:
    cargo deny check

# Install the three programs beside each other.
install:
    cargo install --locked --path vibes-cli
    cargo install --locked --path vibes-daemon
    cargo install --locked --path vibes-runner
