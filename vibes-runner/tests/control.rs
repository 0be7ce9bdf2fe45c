//! What the daemon's side may rely on: start, input once, fencing, reconnecting.

mod common;

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use common::{Plan, alive, mode};
use vibes_runner::spool;
use vibes_runner::wire::{MAX_PENDING_INPUT, Order, Refusal, Report};

#[test]
fn input_reaches_the_agent_once_and_its_output_the_spool() {
    let (mut rig, mut daemon) = Plan::new(&["cat"]).go();
    assert_eq!(daemon.write(1, b"one\n"), Ok(()));
    assert_eq!(daemon.write(1, b"one\n"), Ok(()), "sent again: acknowledged");
    assert_eq!(daemon.write(1, b"two\n"), Err(Refusal::Mismatch), "a known number with other bytes");
    assert_eq!(daemon.write(3, b"three\n"), Err(Refusal::Mismatch), "a number left out");
    assert_eq!(daemon.write(0, b"zero\n"), Err(Refusal::Mismatch));
    assert_eq!(daemon.write(2, b""), Ok(()));
    assert_eq!(daemon.write(3, b"three\n"), Ok(()));
    let grown = daemon.wait(|report| match report {
        Report::Grown { spool_end } if *spool_end == 10 => Some(*spool_end),
        _ => None,
    });
    assert_eq!((grown, rig.text().as_str()), (10, "one\nthree\n"));
    let standing = daemon.stat();
    assert_eq!((standing.last_in_seq, standing.spool_end, standing.pending_input), (3, 10, 0));
    assert_eq!(spool::last_logged_input(&rig.dir).expect("log"), 3);
    for name in [spool::SOCKET, spool::META, spool::IN_LOG, "out.0000000000000000"] {
        assert_eq!(mode(&rig.dir.join(name)), 0o600, "{name}");
    }
    assert_eq!(daemon.stop(5000, 5000), [], "cat ends at the end of its input");
    assert!(rig.wait_end().success());
    assert_eq!(rig.file(spool::EXIT).trim(), r#"{"code":0,"signal":0,"start_errno":0,"spool_end":10}"#);
    assert!(!rig.dir.join(spool::SOCKET).exists(), "only the socket goes");
    assert_eq!(rig.text(), "one\nthree\n");
}

#[test]
fn fault_25_the_agent_gets_a_clean_place() {
    let script = r#"umask; pwd; grep SigIgn /proc/self/status; ls /proc/self/fd | tr '\n' ' '; echo
        echo $VIBES_SESSION; ps -o pgid= -p $$ | tr -d ' '; echo pid $$; cat"#;
    let (rig, mut daemon) = Plan::sh(script).with("--umask", "027").go();
    let text = rig.wait_text("pid ");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "0027");
    assert_eq!(Some(lines[1]), rig.dir.parent().and_then(|dir| dir.to_str()));
    let ignored = u64::from_str_radix(lines[2].trim_start_matches("SigIgn:\t"), 16).expect("mask");
    assert_eq!(ignored & (1 << 12 | 1 << 24), 0, "SIGPIPE and SIGXFSZ, which the runner ignores");
    assert_eq!(lines[3], "0 1 2 3 ", "no descriptor of the runner (3 is the listing's own)");
    assert_eq!(format!("VIBES_SESSION={}", lines[4]), rig.marker);
    let agent = daemon.stat().agent_pid;
    assert_eq!(lines[5], agent.to_string(), "a group of its own");
    let meta = rig.file(spool::META);
    assert!(meta.contains(&format!("\"pid\":{},", rig.pid())), "{meta}");
    assert!(meta.contains(&format!("\"agent_pid\":{agent},")), "{meta}");
    assert!(!meta.contains("\"agent_start_time\":0") && !meta.contains("\"boot_id\":\"\""), "{meta}");
    assert_eq!(
        rustix::process::getsid(rustix::process::Pid::from_raw(rig.pid())).ok(),
        rustix::process::Pid::from_raw(rig.pid()),
        "the runner has a session of its own"
    );
    daemon.send(&Order::Go);
    assert_eq!(daemon.stat().agent_pid, agent, "GO again changes nothing");
    assert_eq!(daemon.stop(1000, 1000), []);
}

#[test]
fn orders_wait_for_hello_and_unknown_ones_are_refused() {
    let rig = Plan::new(&["cat"]).start();
    let mut daemon = rig.connect();
    let refused = |report: &Report| match report {
        Report::Refused { in_seq, why } => Some((*in_seq, *why)),
        _ => None,
    };
    daemon.send(&Order::Go);
    assert_eq!(daemon.wait(refused), (0, Refusal::Protocol));
    assert_eq!(daemon.write(1, b"early"), Err(Refusal::Protocol));
    assert!(!daemon.hello(1).going);
    assert_eq!(daemon.write(1, b"early"), Err(Refusal::NotRunning));
    daemon.send(&Order::Signal { signal: 15 });
    assert_eq!(daemon.wait(refused), (0, Refusal::NotRunning));
    let unknown = [77_u8];
    let mut frame = 1_u32.to_le_bytes().to_vec();
    frame.extend(crc32fast::hash(&unknown).to_le_bytes());
    frame.extend(unknown);
    daemon.stream.write_all(&frame).expect("send");
    assert_eq!(daemon.wait(refused), (0, Refusal::Protocol));
    assert_eq!(daemon.stop(0, 0), [], "a stop before GO");
    assert!(rig.file(spool::EXIT).contains("\"code\":-1"));
}

#[test]
fn a_lower_fence_is_refused_and_a_higher_one_evicts() {
    let (rig, mut first) = Plan::new(&["cat"]).go();
    let mut second = rig.connect();
    assert_eq!(second.hello(5).fence, 1, "the highest before");
    first.closed();
    let mut third = rig.connect();
    third.send(&Order::Hello { protocol: 1, fence: 4 });
    assert_eq!(third.next(), Some(Report::Refused { in_seq: 0, why: Refusal::Fenced }));
    assert_eq!(third.next(), None, "and closed");
    assert_eq!(second.write(1, b"mine\n"), Ok(()), "the refused one disturbed nobody");
    let mut fourth = rig.connect();
    assert_eq!(fourth.hello(5).fence, 5, "an equal fence is the same daemon again");
    second.closed();
    for _ in 0..20 {
        // Who never says hello cannot crowd the controller out.
        std::mem::forget(rig.connect());
    }
    assert_eq!(fourth.stat().last_in_seq, 1);
    rig.wait_text("mine\n");
}

#[test]
fn the_agent_outlives_its_daemon_and_half_a_frame_is_nothing() {
    let (rig, mut first) = Plan::sh("cat; echo end").go();
    assert_eq!(first.write(1, b"one\n"), Ok(()));
    let whole = Order::Write { in_seq: 2, hash: [2; 32], bytes: b"two\n".to_vec() }.encode();
    for cut in [1, 8, 20, whole.len() - 1] {
        let mut dying = rig.connect();
        dying.hello(2);
        dying.stream.write_all(&whole[..cut]).expect("send");
    }
    let mut next = rig.connect();
    let standing = next.hello(3);
    assert_eq!((standing.fence, standing.last_in_seq, standing.exit), (2, 1, None));
    assert!(alive(standing.agent_pid));
    next.stream.write_all(&whole).expect("send");
    assert_eq!(next.answer(2), Ok(()));
    rig.wait_text("one\ntwo\n");
}

#[test]
fn every_split_of_a_frame_is_one_frame() {
    let (rig, mut daemon) = Plan::new(&["cat"]).go();
    let frame = Order::Write { in_seq: 1, hash: [0; 32], bytes: b"split\n".to_vec() }.encode();
    for byte in &frame {
        daemon.stream.write_all(&[*byte]).expect("send");
    }
    assert_eq!(daemon.answer(1), Ok(()));
    rig.wait_text("split\n");
    // A harmed frame ends the connection, not the runner.
    let mut harmed = frame;
    harmed[10] ^= 1;
    daemon.stream.write_all(&harmed).expect("send");
    daemon.closed();
    assert_eq!(rig.connect().hello(1).last_in_seq, 1);
}

#[test]
fn fault_54_an_agent_that_does_not_read_costs_no_more_than_8_mib_and_its_output_goes_on() {
    let (rig, mut daemon) = Plan::sh("while :; do echo tick; sleep 0.01; done").go();
    let bytes = vec![b'x'; 1 << 20];
    let mut taken = 0;
    let refusal = loop {
        match daemon.write(taken + 1, &bytes) {
            Ok(()) => taken += 1,
            Err(why) => break why,
        }
        assert!(taken < 20, "refused at some point");
    };
    assert_eq!(refusal, Refusal::Busy);
    let standing = daemon.stat();
    assert_eq!(standing.last_in_seq, taken, "what was refused is not logged");
    assert!(standing.pending_input <= MAX_PENDING_INPUT as u64 && taken >= 8, "{standing:?}");
    let end = standing.spool_end;
    rig.eventually("output flows", || rig.spooled().len() as u64 > end + 50);
    assert_eq!(daemon.stop(50, 5000), []);
}

#[test]
fn a_daemon_that_does_not_read_is_dropped_and_stops_nothing() {
    let (rig, mut deaf) = Plan::sh("while :; do echo tick; sleep 0.01; done").go();
    let many = Order::Stat.encode().repeat(1000);
    deaf.stream.set_write_timeout(Some(std::time::Duration::from_secs(5))).expect("timeout");
    let mut sent = 0;
    while deaf.stream.write_all(&many).is_ok() {
        sent += 1;
        assert!(sent < 1000, "its answers were bounded");
    }
    let mut daemon = rig.connect();
    let end = daemon.hello(1).spool_end;
    rig.eventually("output flows", || rig.spooled().len() as u64 > end + 50);
}

#[test]
fn a_closed_stdin_is_told() {
    let (rig, mut daemon) = Plan::sh("exec <&-; echo closed; exec sleep 1000").go();
    rig.wait_text("closed");
    assert_eq!(daemon.write(1, b"x"), Ok(()), "nobody knows yet: logged and lost with the reader");
    assert_eq!(daemon.write(2, b"x"), Err(Refusal::NotRunning));
    assert_eq!(daemon.write(1, b"x"), Ok(()), "still known");
    assert_eq!(daemon.stop(0, 5000), []);
}

#[test]
fn signals_go_to_the_group() {
    let (rig, mut daemon) =
        Plan::sh("trap 'echo got' INT; echo up; while :; do sleep 1000 & wait; done").go();
    rig.wait_text("up");
    daemon.send(&Order::Signal { signal: 2 });
    rig.wait_text("got");
    daemon.send(&Order::Signal { signal: 9 });
    let exit = daemon.wait(|report| match report {
        Report::Exited(exit, _) => Some(*exit),
        _ => None,
    });
    assert_eq!((exit.code, exit.signal), (-1, 9));
}

#[test]
fn a_socket_path_may_be_long() {
    let (rig, mut daemon) = Plan::new(&["cat"]).deep().go();
    assert!(rig.dir.as_os_str().len() > 200);
    assert_eq!(daemon.write(1, b"deep\n"), Ok(()));
    rig.wait_text("deep\n");
}

#[test]
fn bad_usage_and_bad_places_are_refused() {
    let run = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vibes-runner"));
        let output = command.args(words).stdin(Stdio::null()).output().expect("run");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for words in [&[][..], &["--dir"], &["--dir", "/nowhere", "--"], &["--gen", "x"], &["--what", "1"]] {
        let (code, reason) = run(words);
        assert_eq!(code, Some(1), "{words:?}");
        assert!(reason.starts_with("vibes-runner: "), "{reason}");
    }
    let dir = std::env::temp_dir().join(format!("vibes-runner-open-{}", std::process::id()));
    fs::create_dir_all(&dir).expect("make");
    fs::set_permissions(&dir, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("mode");
    let dir = dir.to_str().expect("text");
    let words = ["--dir", dir, "--session", "s", "--gen", "1", "--cwd", "/", "--", "true"];
    let (code, reason) = run(&words);
    assert!(code == Some(1) && reason.contains("0700"), "{reason}");
    assert_eq!(fs::read_dir(dir).expect("list").count(), 0, "nothing was left there");
    fs::remove_dir(dir).expect("remove");
}

#[test]
fn a_directory_is_one_generations() {
    let rig = Plan::new(&["cat"]).start();
    let dir = rig.dir.to_str().expect("text");
    let words = ["--dir", dir, "--session", "s", "--gen", "1", "--cwd", "/", "--", "true"];
    let output = Command::new(env!("CARGO_BIN_EXE_vibes-runner")).args(words).output().expect("run");
    assert_eq!(output.status.code(), Some(1));
    assert!(rig.file(spool::META).contains(&format!("\"pid\":{},", rig.pid())), "the first one is unharmed");
    rig.connect().hello(1);
}
