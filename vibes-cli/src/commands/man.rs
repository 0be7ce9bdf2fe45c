//! `vibes man`: manual pages, made from what the parser itself goes by.
//!
//! Invariant: a page for each verb, in one spelling: what `vibes kill` does is not said again for `vibes sessions kill`.

use crate::args;
use crate::error::{Failure, Outcome};
use crate::{render, ui};
use clap::Command;
use clap_mangen::Man;
use std::path::Path;

/// The whole command line without the second spellings.
fn pages() -> Command {
    let mut command = args::command().disable_help_subcommand(true).mut_subcommand("sessions", |sessions| {
        let kept = sessions.get_subcommands().map(|inner| inner.get_name().to_owned()).collect::<Vec<_>>();
        kept.into_iter()
            .fold(sessions, |sessions, name| sessions.mut_subcommand(name, |inner| inner.hide(true)))
    });
    command.build();
    command
}

fn page_of(command: Command) -> Man {
    Man::new(command).source(concat!("vibes ", env!("CARGO_PKG_VERSION"))).manual("vibes")
}

pub(crate) fn run(dir: Option<&Path>) -> Outcome {
    let command = pages();
    let failed = |error: &std::io::Error| Failure::io("cannot write the manual", error);
    let Some(dir) = dir else {
        let mut page = Vec::new();
        page_of(command).render(&mut page).map_err(|error| failed(&error))?;
        return ui::raw(&String::from_utf8_lossy(&page));
    };
    std::fs::create_dir_all(dir).map_err(|error| failed(&error))?;
    let mut count = 0;
    write(&command, dir, &mut count).map_err(|error| failed(&error))?;
    ui::say(&format!(
        "{} in {}: `man -M` wants the directory above one that is called man1",
        render::count(count, "page", "pages"),
        dir.display()
    ));
    Ok(())
}

fn write(command: &Command, dir: &Path, count: &mut usize) -> std::io::Result<()> {
    // Its name is the words before it: `vibes-queue-move.1`.
    page_of(command.clone()).generate_to(dir)?;
    *count += 1;
    command
        .get_subcommands()
        .filter(|inner| !inner.is_hide_set())
        .try_for_each(|inner| write(inner, dir, count))
}
