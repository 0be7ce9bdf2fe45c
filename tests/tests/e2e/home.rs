//! Where the state lies: a home that is missing, cannot be written, or is no directory; and a place that is a link, or
//! becomes one while it is used.

use super::store::problems;
use rustix::{
    fs::{CWD, RenameFlags, renameat_with},
    process::{Uid, geteuid},
    thread::set_thread_res_uid,
};
use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read},
    os::unix::{
        fs::{PermissionsExt, chown, symlink},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
};
use vibes_protocol::paths::StateDir;
use vibes_runner::points::Point;
use vibes_tests::{TestEnv, points::Hook};

/// Nobody, as most systems number it.
const NOBODY: u32 = 65_534;

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("our own files can be opened up");
}

/// Runs `vibes` with such a home, and with the state directory named or not. Gives the exit code and what it said.
fn vibes(env: &TestEnv, home: Option<&str>, named: bool, args: &[&str]) -> (i32, String) {
    let mut variables: BTreeMap<_, _> = env.variables().clone();
    // Without a home, the configuration would be that of whoever runs the test.
    variables.retain(|name, _| !name.starts_with("XDG_") || home.is_none() && name == "XDG_CONFIG_HOME");
    variables.retain(|name, _| name != "HOME" && (named || name != "VIBES_STATE_DIR"));
    variables.extend(home.map(|home| ("HOME".to_owned(), home.to_owned())));
    let mut command = Command::new(env.binary("vibes"));
    let ran = command.args(args).env_clear().envs(variables).current_dir(env.work()).output();
    let ran = ran.expect("vibes can be started");
    let text = [ran.stdout, ran.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    (ran.status.code().unwrap_or(-1), text.concat())
}

#[test]
fn fault_29_without_a_home_that_can_be_used_the_error_names_what_helps_and_naming_a_place_does() {
    let env = TestEnv::new();
    let file = env.path("file");
    fs::write(&file, "precious").expect("a file can be made");
    // Nobody may make a directory in `/sys`, not even root.
    let homes = [(None, 1, "HOME"), (Some(file.as_str()), 4, "Not a directory"), (Some("/sys"), 4, "/sys/")];
    for (home, code, why) in homes {
        for args in [&["ls"][..], &["run", "fake", "-d", "say hi"], &["daemon", "start"]] {
            let (ended, said) = vibes(&env, home, false, args);
            assert_eq!(ended, code, "{home:?} {args:?}: {said}");
            assert!(said.contains(why) && said.contains("VIBES_STATE_DIR"), "{home:?} {args:?}: {said}");
        }
        let (ended, said) = vibes(&env, home, true, &["run", "fake", "--wait-ready", "-d", "say hi"]);
        assert_eq!(ended, 0, "{home:?}: {said}");
        let (ended, said) = vibes(&env, home, true, &["kill", "-"]);
        assert_eq!(ended, 0, "{home:?}: {said}");
        let (ended, said) = vibes(&env, home, true, &["daemon", "stop"]);
        assert_eq!(ended, 0, "{home:?}: {said}");
    }
    assert_eq!(fs::read_to_string(file).ok().as_deref(), Some("precious"));
}

#[test]
fn fault_29_a_state_directory_on_a_network_is_told() {
    let env = TestEnv::new();
    // What the system would say of a directory on NFS; strace says it here.
    let traced = |args: &[&str]| {
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-o", "/dev/null", "-e", "inject=statfs:poke_exit=@arg2=6969000000000000"]);
        strace.args(args).env_clear().envs(env.variables()).stdin(Stdio::null()).stderr(Stdio::null());
        strace
    };
    let works = traced(&["true"]).status().is_ok_and(|ended| ended.success());
    if !works {
        return eprintln!("SKIPPED: this strace cannot change what a call answers");
    }
    let mut daemon = traced(&["vibesd", "run"]).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut said = BufReader::new(daemon.stdout.take().expect("it is piped"));
    let mut word = String::new();
    said.read_line(&mut word).expect("a pipe can be read");
    assert_eq!(word, "ready\n");
    let told = problems(&env);
    assert!(told.contains("on a network file system (NFS)") && told.contains("VIBES_STATE_DIR"), "{told}");
    env.vibes(&["daemon", "stop"]).ok();
    daemon.wait().expect("it is ours");
    // On its own disk nothing is told.
    env.daemon();
    assert_eq!(problems(&env), "[]");
}

/// Listens at the place as another user, and gives what it heard from everybody when it is let go.
fn impostor(socket: PathBuf, over: Arc<AtomicBool>) -> thread::JoinHandle<(usize, Vec<u8>)> {
    let (tell, told) = mpsc::channel();
    let thread = thread::spawn(move || {
        // This thread alone: what it listens at carries its user.
        let nobody = Some(Uid::from_raw(NOBODY));
        set_thread_res_uid(nobody, nobody, nobody).expect("root may be anybody");
        let listener = UnixListener::bind(socket).expect("the directory is nobody's");
        tell.send(()).expect("the test waits");
        let (mut callers, mut heard) = (0, Vec::new());
        for stream in listener.incoming() {
            if over.load(Ordering::Acquire) {
                break;
            }
            callers += 1;
            let _ = stream.expect("a caller").read_to_end(&mut heard);
        }
        (callers, heard)
    });
    told.recv().expect("it listens");
    thread
}

#[test]
fn fault_84_a_place_that_becomes_a_link_to_another_users_hears_nothing_whenever_it_does() {
    if !geteuid().is_root() {
        return eprintln!("SKIPPED: only root can be another user");
    }
    let env = TestEnv::started();
    let (place, link, decoy) =
        (env.state().root().to_owned(), env.root().join("link"), env.root().join("decoy"));
    fs::create_dir(&decoy).expect("a directory can be made");
    chown(&decoy, Some(NOBODY), None).expect("root may give files away");
    symlink(&decoy, &link).expect("a link can be made");
    let socket = StateDir::new(&decoy).socket();
    let over = Arc::new(AtomicBool::new(false));
    let impostor = impostor(socket.clone(), over.clone());
    chmod(&socket, 0o777);
    let swap = || renameat_with(CWD, &place, CWD, &link, RenameFlags::EXCHANGE).expect("both are there");
    swap();
    let ran = env.vibes(&["run", "fake", "-d", "say secret"]).exits(4);
    assert!(ran.stderr.contains(&format!("user {NOBODY}")), "{}", ran.stderr);
    swap();
    env.vibes(&["ls"]).ok();
    // And now at any moment of a command.
    let rounds = if vibes_tests::full_size() { 2000 } else { 200 };
    thread::scope(|scope| {
        let commands = scope.spawn(|| {
            (0..rounds).map(|_| env.vibes(&["run", "nobody", "-d", "say secret"])).for_each(|ran| {
                let refused = ran.code == 4 && ran.stderr.contains(&format!("user {NOBODY}"));
                assert!(refused || ran.code != 4, "{}: {}", ran.code, ran.stderr);
            });
        });
        while !commands.is_finished() {
            swap();
        }
    });
    if fs::symlink_metadata(&place).expect("one of both is there").is_symlink() {
        swap();
    }
    over.store(true, Ordering::Release);
    drop(UnixStream::connect(&socket));
    let (callers, heard) = impostor.join().expect("it only listens");
    assert!(callers > 0, "nobody was ever led there");
    assert_eq!(String::from_utf8_lossy(&heard), "", "of {callers} callers");
    let made: Vec<_> =
        fs::read_dir(&decoy).expect("it is there").flatten().map(|entry| entry.path()).collect();
    assert_eq!(made, [socket], "nothing was made there");
}

/// Swaps the place for another one while a daemon that starts holds at a point.
fn swapped_at(point: Point) {
    let env = TestEnv::new();
    let (place, decoy) = (env.state().root().to_owned(), env.root().join("decoy"));
    for dir in [&place, &decoy] {
        fs::create_dir_all(dir.join("run")).expect("a directory can be made");
        chmod(dir, 0o700);
        chmod(&dir.join("run"), 0o700);
    }
    let hook = Hook::holding(&env, point, Some(1));
    let start = env.spawn_vibes(&["daemon", "start"], "", &hook.variables());
    let held = hook.held();
    renameat_with(CWD, &place, CWD, &decoy, RenameFlags::EXCHANGE).expect("both are there");
    held.say("go");
    let ran = start.wait();
    assert_ne!(ran.code, 0);
    assert!(ran.stderr.contains("was replaced while the daemon started"), "{}", ran.stderr);
    assert!(!env.state().socket().exists(), "nobody is served there");
    renameat_with(CWD, &place, CWD, &decoy, RenameFlags::EXCHANGE).expect("both are there");
    env.vibes(&["ls"]).ok();
}

#[test]
#[cfg_attr(not(feature = "points"), ignore = "needs programs with points")]
fn fault_84_a_place_that_is_replaced_while_a_daemon_starts_is_not_served() {
    swapped_at(Point::LockTaken);
    swapped_at(Point::StoreOpened);
}

#[test]
fn fault_84_links_in_the_state_directory_are_not_followed() {
    for name in ["run", "log"] {
        let env = TestEnv::new();
        let (place, elsewhere) = (env.state().root().join(name), env.root().join("elsewhere"));
        fs::create_dir(&elsewhere).expect("a directory can be made");
        chmod(&elsewhere, 0o700);
        chmod(env.state().root(), 0o700);
        symlink(&elsewhere, &place).expect("a link can be made");
        let ran = env.vibes(&["run", "fake", "-d", "say hi"]).exits(4);
        assert!(ran.stderr.contains("symlink"), "{name}: {}", ran.stderr);
        assert_eq!(
            fs::read_dir(&elsewhere).expect("it is there").count(),
            0,
            "{name}: nothing was made there"
        );
        fs::remove_file(&place).expect("it is a link");
        env.vibes(&["ls"]).ok();
    }
}
