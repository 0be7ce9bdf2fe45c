//! What keys and messages make of the state, and how it looks.

use super::picture::{Frame, draw, is_narrow, pane_width};
use super::state::{Deed, Effect, Mode, Top};
use crate::attach::keys::Press;
use crate::attach::window::SURPRISE;
use crate::render::columns;
use crate::render::list::tests::session;
use crate::ui::Paint;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
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
    paint: Paint,
}

impl Desk {
    fn new(sessions: Vec<SessionInfo>, size: (usize, usize)) -> Self {
        let mut top = Top::new();
        top.connected(sessions);
        // What is drawn now has been seen for a while when a key comes.
        let now = Instant::now() - SURPRISE - Duration::from_millis(100);
        let mut desk = Self { top, size, now, paint: Paint::PLAIN };
        desk.draw();
        desk
    }

    fn picture(&mut self) -> Buffer {
        self.top.tend(pane_width(self.size.0));
        let frame = Frame {
            narrow: is_narrow(self.size.0),
            now_ms: 100_000,
            now: self.now,
            home: None,
            holds_state: &|_| false,
            paint: self.paint,
        };
        let (columns, rows) = self.size;
        let mut terminal = Terminal::new(TestBackend::new(columns as u16, rows as u16)).unwrap();
        terminal.draw(|screen| draw(&mut self.top, &frame, screen.buffer_mut())).unwrap();
        terminal.backend().buffer().clone()
    }

    /// The rows, without what is empty at their ends.
    fn draw(&mut self) -> Vec<String> {
        let picture = self.picture();
        let width = self.size.0;
        let row = |cells: &[ratatui::buffer::Cell]| {
            let mut row = String::new();
            let mut skip = 0;
            for cell in cells {
                if skip == 0 {
                    row.push_str(cell.symbol());
                    skip = columns(cell.symbol()).max(1);
                }
                skip -= 1;
            }
            row.trim_end().to_owned()
        };
        picture.content.chunks(width).map(row).collect()
    }

    fn keys(&mut self, keys: &str) -> Option<Effect> {
        let mut effect = None;
        for c in keys.chars() {
            let press = match c {
                '\r' => Press::Enter,
                '\x1b' => Press::Escape,
                '↓' => Press::Down,
                '\x08' => Press::Backspace,
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

#[test]
fn each_row_tells_what_is_new_and_what_was_spent() {
    let dollars = |amount: f64| json!({"amount": amount, "currency": "USD"});
    let all = || {
        vec![
            asking(5, "asks", "ls"),
            one(4, "quiet", "idle", json!({"preview": "nothing to tell you at all"})),
            one(3, "news", "idle", json!({"unread": 3, "cost": dollars(1.2), "budget": 5.0})),
            one(2, "日本語", "processing", json!({"unread": 200, "cost": dollars(0.5)})),
            one(
                1,
                "broke",
                "suspended",
                json!({"cost": dollars(5.02), "budget": 5.0, "reason": "its budget is spent"}),
            ),
        ]
    };
    let mut desk = Desk::new(all(), (120, 8));
    let rows = desk.draw();
    let left = |row: &str| row.split('│').next().unwrap_or_default().trim_end().to_owned();
    assert_eq!(
        rows[1..6].iter().map(|row| left(row)).collect::<Vec<_>>(),
        [
            "▸! asks             needs you 1m",
            " ○ quiet            idle      1m",
            " ○ news             idle      1m   +3  $1.20/5",
            " ● 日本語           working   1m +99+    $0.50",
            " $ broke            spent out 1m      $5.02/5!",
        ]
        .map(|row| row.replace("1m", " 1m")),
        "{rows:#?}"
    );
    // On a phone what was spent stays, and how much that might be where there is room for it.
    let mut desk = Desk::new(all(), (40, 20));
    desk.keys("G");
    let rows = desk.draw();
    assert!(rows.iter().any(|row| row.starts_with(" ○ news         idle       1m   +3")), "{rows:#?}");
    assert!(rows.iter().any(|row| row == "▸$ broke        spent out  1m      $5!"), "{rows:#?}");
    assert!(rows.iter().any(|row| row.contains("$5.02 of 5.00, all of")), "{rows:#?}");
    // Without colours nothing is styled, and every mark is there.
    let mut desk = Desk::new(all(), (120, 8));
    assert!(desk.picture().content.iter().all(|cell| cell.style() == ratatui::buffer::Cell::EMPTY.style()));
    desk.paint = Paint::forced();
    let picture = desk.picture();
    assert_eq!(picture[(1, 1)].fg, ratatui::style::Color::Yellow);
    assert_eq!(picture[(1, 5)].fg, ratatui::style::Color::Red);
}

#[test]
fn questions_are_answered_one_after_the_other_in_words() {
    let questions = json!({"questions": [
        {"question": "Which colour?", "header": "Colour", "options": [{"label": "Red"}, {"label": "Blue"}]},
        {"question": "Why?"}]});
    let mut asked = asking(1, "api", "");
    asked.pending_permissions[0].raw_input = questions;
    asked.pending_permissions[0].options = serde_json::from_value(json!([
        {"option_id": "allow", "kind": "answer", "name": "Answer"}]))
    .unwrap();
    let mut desk = Desk::new(vec![asked.clone()], (60, 24));
    let rows = desk.draw();
    assert!(
        rows.iter().any(|row| row.contains("[W]ords")) && !rows.join("").contains("/answer"),
        "{rows:#?}"
    );
    assert_eq!(desk.keys("a"), None);
    desk.keys("w");
    assert!(desk.draw().last().unwrap().starts_with("Colour (1 of 2) › ▏"), "{:#?}", desk.draw());
    assert_eq!((desk.keys("7\r"), desk.note()), (None, "7: 2 are offered"));
    // Letters are letters: none of them denies or quits.
    desk.keys("\x082\rqd");
    assert!(desk.draw().last().unwrap().starts_with("Why? (2 of 2) › qd▏"), "{:#?}", desk.draw());
    let Request::PermissionResponse(response) = sent(desk.keys("\r")) else { panic!() };
    assert_eq!(response.option_id.as_deref(), Some("allow"));
    assert_eq!(response.answers, Some(json!({"Which colour?": "Blue", "Why?": "qd"})));
    assert_eq!((desk.top.mode, desk.keys("w"), desk.note()), (Mode::List, None, "an answer is on its way"));
    // What was typed goes with the request that it was for.
    let mut desk = Desk::new(vec![asked], (60, 24));
    desk.keys("wgreen");
    desk.top.message(Message::SessionUpdated { session: asking(1, "api", "ls") });
    let mut next = asking(1, "api", "ls");
    next.pending_permissions[0].permission_id = "p9".to_owned();
    desk.top.message(Message::SessionUpdated { session: next });
    desk.draw();
    assert_eq!(desk.top.mode, Mode::List);
    assert!(desk.note().contains("the question is gone"), "{}", desk.note());
    assert_eq!(
        (desk.keys("w"), desk.note().contains("just now") || desk.note().contains("no question")),
        (None, true)
    );
}
