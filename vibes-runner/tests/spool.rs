//! What the agent writes is in the spool: all of it, once, in order, in bounded files, whatever the disk does.

mod common;

use std::fs;

use common::{Daemon, Plan, Rig};
use vibes_runner::spool::{ERR_HALF, ERR_NEW, ERR_OLD, EXIT, SEGMENT};
use vibes_runner::wire::{Order, Refusal, Report};

fn blocked(daemon: &mut Daemon) -> bool {
    daemon.wait(|report| match report {
        Report::Blocked { blocked } => Some(*blocked),
        _ => None,
    })
}

/// What `seq 1 count` prints.
fn numbers(count: u32) -> Vec<u8> {
    (1..=count).flat_map(|number| format!("{number}\n").into_bytes()).collect()
}

fn exit_json(rig: &mut Rig) -> String {
    assert!(rig.wait_end().success());
    rig.file(EXIT)
}

#[test]
fn segments_end_at_newlines() {
    let (mut rig, _daemon) = Plan::sh("seq -f x%.0f 1 3000000").go();
    assert!(exit_json(&mut rig).contains("\"code\":0"));
    let segments = rig.segments();
    assert!(segments.len() > 1);
    for (_, path) in &segments {
        let bytes = fs::read(path).expect("read");
        assert_eq!(bytes.last(), Some(&b'\n'));
        assert!(bytes.len() as u64 <= SEGMENT);
    }
    let expected: Vec<u8> = (1..=3_000_000).flat_map(|n| format!("x{n}\n").into_bytes()).collect();
    assert_ne!(expected[SEGMENT as usize - 1], b'\n', "a cut at the limit would show");
    assert!(rig.spooled() == expected, "every byte, once, in order");
}

#[test]
fn a_line_longer_than_a_segment_is_cut_at_its_limit() {
    let (mut rig, _daemon) = Plan::sh("head -c 40000000 /dev/zero; echo; echo short").go();
    exit_json(&mut rig);
    let lengths: Vec<u64> =
        rig.segments().iter().map(|(_, path)| fs::metadata(path).expect("metadata").len()).collect();
    assert_eq!(lengths, [SEGMENT, SEGMENT, 40_000_007 - 2 * SEGMENT]);
    assert!(rig.spooled().ends_with(b"\0\nshort\n"));
}

#[test]
fn over_budget_the_agent_waits_until_segments_go() {
    let (mut rig, mut daemon) = Plan::sh("seq 1 1000000; read go").with("--budget", "2000000").go();
    let expected = numbers(1_000_000);
    let mut ingested = Vec::new();
    let mut waits = 0;
    while ingested.len() < expected.len() {
        let waited = ingested.len() + 2_100_000 < expected.len();
        if waited {
            assert!(blocked(&mut daemon), "it came to wait");
            assert!(daemon.stat().blocked);
            waits += 1;
        } else {
            rig.eventually("the rest", || daemon.stat().spool_end == expected.len() as u64);
        }
        // The daemon's part: take what is complete, and remove it.
        let mut segments = rig.segments();
        let lying: u64 = segments.iter().map(|(_, path)| fs::metadata(path).expect("metadata").len()).sum();
        assert!(lying <= 2_000_000 + 64 * 1024, "{lying}");
        if waited {
            segments.pop();
        }
        for (offset, path) in segments {
            assert_eq!(offset, ingested.len() as u64);
            ingested.extend(fs::read(&path).expect("read"));
            fs::remove_file(path).expect("remove");
        }
        if waited {
            assert!(!blocked(&mut daemon), "and goes on");
        }
    }
    assert!(waits > 1);
    assert!(ingested == expected, "nothing lost, nothing doubled");
    assert_eq!(daemon.stop(5000, 5000), []);
    assert!(exit_json(&mut rig).contains(&format!("\"spool_end\":{}", expected.len())));
}

#[test]
fn what_all_spools_may_hold_leaves_room_for_others_and_a_little_for_each() {
    const MIB: usize = 1 << 20;
    let (mut rig, mut daemon) = Plan::sh("seq 1 1000000; read go").with("--shared", "8388608").go();
    let expected = numbers(1_000_000);
    assert!(blocked(&mut daemon), "it came to wait");
    let alone = rig.spooled().len();
    assert!((3 * MIB..=4 * MIB + 64 * 1024).contains(&alone), "one alone has half of it: {alone}");
    // Another one takes all there is: what is read goes on all the same, a little at a time.
    let other = rig.dir.with_file_name("2");
    fs::create_dir(&other).expect("it is made");
    fs::File::create(other.join(vibes_runner::spool::segment_name(0)))
        .and_then(|file| file.set_len(64 << 20))
        .expect("it is made");
    let (mut ingested, mut most) = (Vec::new(), alone);
    while ingested.len() < expected.len() {
        let whole = daemon.stat().spool_end == expected.len() as u64;
        let mut segments = rig.segments();
        let lying: usize =
            segments.iter().map(|(_, path)| fs::metadata(path).expect("metadata").len() as usize).sum();
        assert!(lying <= most + 128 * 1024, "{lying}");
        if !whole {
            // The last one is the runner's; when it waits, that one is empty.
            segments.pop();
        }
        for (offset, path) in segments {
            assert_eq!(offset, ingested.len() as u64);
            ingested.extend(fs::read(&path).expect("read"));
            fs::remove_file(path).expect("remove");
        }
        if ingested.len() >= alone {
            most = MIB;
        }
    }
    assert!(ingested == expected, "nothing lost, nothing doubled");
    assert_eq!(daemon.stop(5000, 5000), []);
    assert!(exit_json(&mut rig).contains(&format!("\"spool_end\":{}", expected.len())));
}

#[test]
fn a_full_disk_makes_the_agent_wait_and_input_be_refused_and_nothing_is_lost() {
    let (mut rig, mut daemon) = Plan::sh("echo up; read a; seq 1 200000; cat").go();
    rig.wait_text("up\n");
    assert_eq!(daemon.write(1, b"a\n"), Ok(()));
    rig.eventually("some output", || rig.spooled().len() > 3);
    // Even zero bytes are too many: as ENOSPC, in the middle of whatever is being written.
    rig.limit_files(Some(0));
    assert_eq!(daemon.write(2, b"b\n"), Err(Refusal::DiskFull));
    if !daemon.stat().blocked && (rig.spooled().len() as u64) < 1_288_897 {
        assert!(blocked(&mut daemon));
    }
    rig.limit_files(None);
    assert_eq!(daemon.write(2, b"b\n"), Ok(()), "the refused number was not used up");
    rig.wait_text("200000\nb\n");
    let mut expected = b"up\n".to_vec();
    expected.extend(numbers(200_000));
    expected.extend(b"b\n");
    assert!(rig.spooled() == expected);
    assert_eq!(daemon.stop(5000, 5000), []);
    assert!(exit_json(&mut rig).contains("\"code\":0"));
}

#[test]
fn blocked_and_going_on_are_told_once_each() {
    let (rig, mut daemon) = Plan::sh("echo up; read a; seq 1 300000; cat").go();
    rig.wait_text("up\n");
    assert_eq!(daemon.write(1, b"a\n"), Ok(()));
    rig.limit_files(Some(0));
    assert!(blocked(&mut daemon));
    let mut second = rig.connect();
    assert!(second.hello(2).blocked, "a new daemon learns it from the greeting");
    rig.limit_files(Some(300_000));
    assert!(!blocked(&mut second));
    rig.wait_text("300000\n");
    assert!(rig.segments().len() > 3, "a limit on files makes shorter ones");
    let mut expected = b"up\n".to_vec();
    expected.extend(numbers(300_000));
    assert!(rig.spooled() == expected);
}

#[test]
fn a_full_disk_keeps_the_runner_but_not_the_person_who_stops() {
    let (mut rig, mut daemon) = Plan::sh("echo up; read a; seq 1 300000; read b; exec sleep 1000").go();
    rig.wait_text("up\n");
    rig.limit_files(Some(0));
    // The log cannot be written either, so the go-ahead has to be the end of input.
    let agent = daemon.stat().agent_pid;
    daemon.send(&Order::Stop { eof_ms: 1500, term_ms: 5000 });
    assert_eq!(daemon.stopped(), [], "the agent is dead although nothing can be written");
    assert!(!common::alive(agent));
    assert!(!rig.dir.join(EXIT).exists());
    rig.limit_files(None);
    let (exit, end) = daemon.wait(|report| match report {
        Report::Exited(exit, end) => Some((*exit, *end)),
        _ => None,
    });
    assert_eq!(exit.signal, 15);
    assert!(exit_json(&mut rig).contains(&format!("\"spool_end\":{end}")));
    let (spooled, whole) = (rig.spooled(), [b"up\n".to_vec(), numbers(300_000)].concat());
    assert_eq!(spooled.len() as u64, end);
    assert!(whole.starts_with(&spooled) && spooled.len() > 69_000, "all that had left the agent");
}

#[test]
fn fault_55_a_flood_of_errors_is_bounded_and_blocks_nothing() {
    let (rig, _daemon) = Plan::sh("head -c 30000000 /dev/zero >&2; echo the last >&2; echo done; cat").go();
    rig.wait_text("done");
    rig.eventually("the end of it is kept", || rig.file(ERR_NEW).ends_with("the last\n"));
    let length = |name| fs::metadata(rig.dir.join(name)).expect("metadata").len();
    assert!(length(ERR_NEW) <= ERR_HALF && length(ERR_OLD) <= ERR_HALF);
    assert!(length(ERR_NEW) + length(ERR_OLD) > ERR_HALF, "at least a half is kept");
}
