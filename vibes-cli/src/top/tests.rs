//! What keys and messages make of the state, and how it looks.

use super::picture::{Frame, draw, pane_width};
use super::state::{Deed, Effect, Mode, Top};
use crate::attach::keys::Press;
use crate::attach::window::SURPRISE;
use crate::render::columns;
use crate::render::list::tests::session;
use crate::ui::Paint;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use vibes_protocol::model::{SessionId, SessionInfo};
use vibes_protocol::wire::{Message, Request};

fn id(number: u8) -> SessionId {
    serde_json::from_value(json!(format!("{number:08x}-0000-4000-8000-000000000000"))).unwrap()
}

fn one(number: u8, name: &str, state: &str, more: Value) -> SessionInfo {
    let mut changes = json!({"id": id(number), "name": name, "state": state, "turns": 4, "head": 0,
        "last_activity_ms": 1_000 * i64::from(number)});
    for (key, value) in more.as_object().unwrap() {
        changes[key] = value.clone();
    }
    session(changes)
}

fn asking(number: u8, name: &str, command: &str) -> SessionInfo {
    one(
        number,
        name,
        "waiting_permission",
        json!({"pending_permissions": [{
        "permission_id": format!("p{number}"), "hash": format!("h{number}"), "tool": "execute",
        "raw_input": {"command": command}, "cwd": "/w", "options": [
            {"option_id": "yes", "kind": "allow_once", "name": "Yes"},
            {"option_id": "no", "kind": "reject_once", "name": "No"}]}]}),
    )
}

fn sent(effect: Option<Effect>) -> Request {
    match effect {
        Some(Effect::Send(request)) => *request,
        other => panic!("{other:?}"),
    }
}

struct Desk {
    top: Top,
    size: (usize, usize),
    now: Instant,
}

impl Desk {
    fn new(sessions: Vec<SessionInfo>, size: (usize, usize)) -> Self {
        let mut top = Top::new();
        top.connected(sessions);
        // What is drawn now has been seen for a while when a key comes.
        let now = Instant::now() - SURPRISE - Duration::from_millis(100);
        let mut desk = Self { top, size, now };
        desk.draw();
        desk
    }

    fn draw(&mut self) -> Vec<String> {
        self.top.tend(pane_width(self.size.0));
        let frame = Frame {
            size: self.size,
            now_ms: 100_000,
            now: self.now,
            home: None,
            holds_state: &|_| false,
            paint: Paint::PLAIN,
        };
        draw(&mut self.top, &frame)
    }

    fn keys(&mut self, keys: &str) -> Option<Effect> {
        let mut effect = None;
        for c in keys.chars() {
            let press = match c {
                '\r' => Press::Enter,
                '\x1b' => Press::Escape,
                '↓' => Press::Down,
                c => Press::Char(c),
            };
            effect = self.top.press(&press);
            self.draw();
        }
        effect
    }

    fn names(&self) -> Vec<&str> {
        self.top.order.iter().filter_map(|id| self.top.sessions[id].name.as_deref()).collect()
    }

    fn note(&self) -> &str {
        self.top.note.as_deref().unwrap_or_default()
    }
}

#[test]
fn what_needs_a_person_comes_first_and_the_selected_one_stays_selected() {
    let all = vec![
        one(1, "works", "processing", json!({})),
        one(2, "rests", "suspended", json!({})),
        one(3, "idles", "idle", json!({})),
        asking(5, "later", "ls"),
        asking(4, "first", "ls"),
    ];
    let mut desk = Desk::new(all, (120, 20));
    assert_eq!(desk.names(), ["first", "later", "idles", "works", "rests"]);
    desk.keys("↓↓↓");
    assert_eq!(desk.top.selected, Some(id(1)));
    desk.top.message(Message::SessionUpdated { session: asking(1, "works", "ls") });
    desk.draw();
    assert_eq!((desk.names()[0], desk.top.selected), ("works", Some(id(1))));
    desk.keys("n");
    assert_eq!(desk.top.selected, Some(id(4)));
    // Whoever goes leaves their place to the next.
    desk.top
        .message(Message::SessionUpdated { session: one(4, "first", "failed", json!({"reason": "no key"})) });
    assert_eq!(desk.note(), "first failed: no key");
    desk.draw();
    assert_eq!(desk.top.selected, Some(id(5)));
}

#[test]
fn one_key_answers_the_request_that_was_read_and_no_other() {
    let mut desk = Desk::new(vec![asking(1, "api", "rm -r build")], (100, 24));
    assert!(desk.draw().iter().any(|row| row.contains("command   rm -r build")), "{:#?}", desk.draw());
    let Request::PermissionResponse(response) = sent(desk.keys("a")) else { panic!() };
    assert_eq!((response.hash.as_str(), response.option_id.as_deref()), ("h1", Some("yes")));
    assert_eq!((desk.keys("a"), desk.note()), (None, "an answer is on its way"));
    // Another one takes its place at this moment: the same key is for nobody.
    desk.now = Instant::now();
    let mut next = asking(1, "api", "rm -r src");
    next.pending_permissions[0].permission_id = "p9".to_owned();
    desk.top.message(Message::SessionUpdated { session: next });
    desk.draw();
    assert_eq!(desk.keys("a"), None);
    assert!(desk.note().contains("came up just now"), "{}", desk.note());
    // Before the rules were asked nobody is.
    let mut desk = Desk::new(vec![asking(1, "api", "ls")], (100, 24));
    let mut early = asking(1, "api", "ls");
    early.state = vibes_protocol::model::SessionState::Processing;
    desk.top.message(Message::SessionUpdated { session: early });
    assert_eq!(desk.keys("a"), None);
}

#[test]
fn a_yes_takes_a_request_that_was_read_to_its_end_and_a_no_does_not() {
    let long: String = (0..60).map(|n| format!("echo {n}\n")).collect();
    for size in [(40, 20), (140, 30)] {
        let mut desk = Desk::new(vec![asking(1, "api", &long)], size);
        assert!(desk.draw().iter().any(|row| row.contains("more lines below")), "{:#?}", desk.draw());
        assert_eq!((desk.keys("a"), desk.keys("1"), desk.keys("s")), (None, None, None));
        assert!(desk.note().contains("read all of it"), "{}", desk.note());
        let mut seen = desk.draw().join("\n");
        while !desk.top.shown.as_ref().unwrap().whole {
            desk.keys(" ");
            seen.push_str(&desk.draw().join("\n"));
        }
        assert!((0..60).all(|n| seen.contains(&format!("echo {n}"))), "a line was left out");
        assert!(matches!(sent(desk.keys("a")), Request::PermissionResponse(_)));
        let mut desk = Desk::new(vec![asking(1, "api", &long)], size);
        assert!(matches!(sent(desk.keys("d")), Request::PermissionResponse(_)));
    }
}

#[test]
fn what_ends_something_asks_first_and_means_what_was_selected_then() {
    let all = vec![one(1, "api", "processing", json!({})), one(2, "web", "idle", json!({}))];
    let mut desk = Desk::new(all, (100, 20));
    assert_eq!(desk.names(), ["web", "api"]);
    desk.keys("↓x");
    assert_eq!(desk.top.mode, Mode::Sure(Deed::Kill, id(1)));
    assert!(desk.draw().last().unwrap().contains("kill api?"));
    assert_eq!((desk.keys("n"), desk.note()), (None, "nothing was done"));
    let Request::KillSession(kill) = sent(desk.keys("xy")) else { panic!() };
    assert_eq!(kill.session_id, id(1).to_string());
    let Request::Interrupt(interrupt) = sent(desk.keys("iy")) else { panic!() };
    assert_eq!(interrupt.turn, Some(4));
    desk.keys("x");
    desk.top.message(Message::SessionUpdated { session: one(1, "api", "killed", json!({})) });
    assert_eq!((desk.top.mode, desk.keys("y")), (Mode::List, None), "it has gone by itself");
    assert_eq!((desk.keys("i"), desk.note()), (None, "no turn runs"));
    assert_eq!(desk.keys("\r"), Some(Effect::Attach(id(2))));
    assert_eq!(desk.keys("q"), Some(Effect::Leave));
}

#[test]
fn a_filter_takes_letters_that_are_keys_elsewhere() {
    let all = vec![one(1, "quail", "idle", json!({})), one(2, "web", "idle", json!({"cwd": "/srv/x"}))];
    let mut desk = Desk::new(all, (100, 20));
    assert_eq!(desk.keys("/qu"), None);
    assert_eq!(desk.names(), ["quail"]);
    desk.keys("\rj");
    assert!(desk.draw()[0].contains("/qu (1)"));
    desk.keys("\x1b/SRV idle");
    assert_eq!(desk.names(), ["web"]);
    desk.keys("zzz");
    assert!(desk.draw().iter().any(|row| row.contains("No session fits")));
    desk.keys("\x1b");
    assert_eq!(desk.names().len(), 2);
}

#[test]
fn no_row_is_wider_than_its_screen_and_no_word_of_others_is_obeyed() {
    let evil = "x\u{1b}]0;y\u{7}\u{202e}\u{9b}2J";
    let more = json!({"preview": evil, "cwd": evil, "reason": evil, "agent": evil});
    for size in [(20, 4), (40, 24), (99, 30), (100, 30), (300, 80), (1, 1)] {
        let mut all: Vec<SessionInfo> = (0..50).map(|n| one(n, evil, "processing", more.clone())).collect();
        all.push(asking(60, evil, evil));
        let mut desk = Desk::new(all, size);
        for keys in ["", "?", "xx", "/z"] {
            desk.keys(keys);
            let rows = desk.draw();
            assert_eq!(rows.len(), size.1.max(1));
            for row in rows {
                assert!(size.0 < 20 || columns(&row) < size.0, "{size:?} {row:?}");
                assert!(!row.chars().any(|c| c.is_control() || c == '\u{202e}'), "{row:?}");
            }
        }
    }
}
