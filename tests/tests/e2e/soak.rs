//! The soak of `vibes_tests::soak`, as short as the suite has time for: counted in sessions, not in time.

use vibes_tests::{dice::Dice, soak};

#[test]
fn churn_leaves_no_process_no_descriptor_no_file_and_little_memory() {
    soak::run(soak::Length::Sessions(45), Dice::seed(), false);
}
