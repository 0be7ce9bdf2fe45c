# Verbs of this workshop. `just` alone lists them.

default:
    @just --list --unsorted

# Format everything.
fmt:
    cargo fmt --all

# Warnings are errors; formatting is checked.
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --locked --features points -- -D warnings
    cargo metadata --manifest-path fuzz/Cargo.toml --locked --format-version 1 >/dev/null
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --locked --quiet

# The inner loop: everything but the long torture. Arguments go to the test runner.
test *ARGS: build
    cargo nextest run --workspace --locked --features points -E 'not test(torture::)' {{ARGS}}

# Debug binaries, all of them: the tests drive them as programs, and make them die at their points.
build:
    cargo build --workspace --bins --locked --features points

# What to run before a commit.
pre-commit: fmt lint test

# All that CI runs, in its order.
ci:
    bash .ci/run

# Kill daemons N times in the middle of work and check that nothing was lost, doubled or reordered. Any N will do.
torture N="2000" SEED="":
    cargo build --workspace --bins --locked --release
    "${CARGO_TARGET_DIR:-target}"/release/vibes-endure torture {{N}} {{SEED}}

# Kill daemon and runner at each of their points, the first N times they come by.
points N="50": build
    VIBES_POINTS_HITS={{N}} cargo nextest run -p vibes-tests --locked --features points -E 'test(crash::)' --no-fail-fast

# One daemon under churn for so many minutes: prints what it holds every few seconds, and a verdict.
soak MINUTES="60" SEED="":
    cargo build --workspace --bins --locked --release
    "${CARGO_TARGET_DIR:-target}"/release/vibes-endure soak {{MINUTES}} {{SEED}}

# Kill daemon and runner at every system call that the work of the tests makes. Needs strace; takes long.
sweep: build
    VIBES_SWEEP=all cargo nextest run -p vibes-tests --locked --features points -E 'test(crash::sweep)' --no-fail-fast

# Measure against floors and peers in the same run; see docs/performance.md.
bench *ARGS:
    cargo build --workspace --bins --locked --release
    cargo run --release --locked -p vibes-tests --bin vibes-bench -- {{ARGS}}

# Count the instructions a record costs and compare with tests/instructions.json; `--bless` writes it. Needs valgrind.
instructions *ARGS:
    cargo build --workspace --bins --locked --release
    cargo build -p vibes-core --example hot_path --locked --release
    cargo run --release --locked -p vibes-tests --bin vibes-bench -- --instructions {{ARGS}}

# Licences, advisories, duplicate crates.
deny:
    cargo deny check

# Install the three programs beside each other.
install:
    cargo install --locked --path vibes-cli
    cargo install --locked --path vibes-daemon
    cargo install --locked --path vibes-runner

# Fuzz every reader of foreign bytes for a while: `just fuzz 60`, `just fuzz 600 acp`.
fuzz SECONDS="60" *TARGETS:
    fuzz/run {{SECONDS}} {{TARGETS}}

# Compare the API with its description: so many examples of each kind for each route. Needs Python 3; fetches schemathesis.
api EXAMPLES="50":
    cargo build --workspace --bins --locked
    tests/api/run {{EXAMPLES}}

# Write docs/faults.md anew from tests/faults.toml and the names of the tests.
faults:
    VIBES_BLESS=1 cargo test -q -p vibes-tests --locked --test faults

# The page: its types, its tests, its bundle. Needs Node.js.
web:
    cd web-ui && npm ci --no-audit --no-fund && npm run typecheck && npm test && npm run build

# The page in a real browser against real daemons. Needs Chromium.
web-e2e: build
    cd web-ui && npm run e2e
