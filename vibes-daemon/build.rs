//! Builds anew when a page is added or removed: the macro that embeds them sees only those that it knew.

fn main() {
    println!("cargo::rerun-if-changed=../web-ui/dist");
    println!("cargo::rerun-if-changed=build.rs");
}
