//! Keys in, text and rows out.

use super::*;

fn line(entries: &[&str]) -> Line {
    let mut history = History::none();
    entries.iter().for_each(|entry| history.add(entry));
    Line::new(history)
}

fn typed(line: &mut Line, text: &str) {
    for c in text.chars() {
        // The first letter may be a key of its own.
        if let Act::Key(c) = line.press(Press::Char(c)) {
            line.insert(&c.to_string());
        }
    }
}

fn after(text: &str, keys: &[Press]) -> (String, usize) {
    let mut line = line(&[]);
    typed(&mut line, text);
    for key in keys {
        line.press(key.clone());
    }
    (line.text().to_owned(), line.cursor())
}

#[test]
fn fingers_find_what_they_know() {
    use Press::*;
    let cases: &[(&str, &[Press], &str, usize)] = &[
        ("one two", &[Ctrl('a')], "one two", 0),
        ("one two", &[Ctrl('a'), Alt('f'), Ctrl('k')], "one", 3),
        ("one two", &[Ctrl('w'), Ctrl('y'), Ctrl('y')], "one twotwo", 10),
        ("one two", &[WordLeft, Ctrl('u')], "two", 0),
        ("one two", &[Ctrl('u'), Ctrl('_')], "one two", 7),
        ("one two", &[WordBackspace, Backspace], "one", 3),
        ("one two", &[Home, Alt('d'), Delete], "two", 0),
        ("ab", &[Ctrl('t')], "ba", 2),
        ("日本e\u{301}", &[Left, Backspace], "日e\u{301}", 3),
        ("日本e\u{301}", &[Backspace], "日本", 6),
        ("one", &[Newline, Char('x'), Up, Char('y')], "oyne\nx", 2),
        ("one", &[Newline, Char('x'), Up, Down, End, Char('z')], "one\nxz", 6),
        ("one\\", &[Enter], "one\n", 4),
        ("one", &[Ctrl('c')], "", 0),
        ("x", &[Paste("a\nb\tc".to_owned())], "xa\nb\tc", 6),
    ];
    for (text, keys, expected, cursor) in cases {
        assert_eq!(after(text, keys), ((*expected).to_owned(), *cursor), "{text:?} {keys:?}");
    }
}

#[test]
fn keys_of_an_empty_line_are_no_text() {
    let mut line = line(&[]);
    assert_eq!(line.press(Press::Char('a')), Act::Key('a'));
    assert_eq!(line.press(Press::Char('3')), Act::Key('3'));
    assert_eq!(line.press(Press::Ctrl('c')), Act::Interrupt);
    assert_eq!(line.press(Press::Ctrl('d')), Act::Detach);
    typed(&mut line, "x");
    assert_eq!(line.press(Press::Char('a')), Act::Nothing);
    assert_eq!(line.press(Press::Enter), Act::Submit("xa".to_owned()));
    assert_eq!(line.text(), "");
}

#[test]
fn what_was_typed_before_comes_back_and_the_draft_too() {
    let mut line = line(&["first", "second\nline"]);
    typed(&mut line, "draft");
    line.press(Press::Up);
    assert_eq!(line.text(), "second\nline");
    line.press(Press::Up);
    line.press(Press::Up);
    assert_eq!(line.text(), "first");
    line.press(Press::Up);
    assert_eq!(line.text(), "first");
    line.press(Press::Down);
    line.press(Press::Down);
    assert_eq!(line.text(), "draft");
}

#[test]
fn a_search_goes_back_through_the_history() {
    let mut line = line(&["cargo build", "git push", "cargo test"]);
    line.press(Press::Ctrl('r'));
    typed(&mut line, "car");
    assert_eq!(line.draw(60, 5, "", Paint::PLAIN).rows, ["› search: car · cargo test"]);
    line.press(Press::Ctrl('r'));
    line.press(Press::Ctrl('r'));
    line.press(Press::Enter);
    assert_eq!(line.text(), "cargo build");
    line.press(Press::Ctrl('r'));
    typed(&mut line, "push");
    line.press(Press::Escape);
    assert_eq!(line.text(), "cargo build", "given up");
}

#[test]
fn long_and_wide_lines_wrap_and_the_cursor_is_where_it_types() {
    let mut line = line(&[]);
    typed(&mut line, "x日本語日本語");
    let drawn = line.draw(12, 5, "", Paint::PLAIN);
    assert_eq!(drawn.rows, ["› x日本語日", "  本語"]);
    assert_eq!(drawn.cursor, (1, 6));
    for _ in 0..30 {
        line.press(Press::Newline);
    }
    let drawn = line.draw(12, 3, "", Paint::PLAIN);
    assert_eq!((drawn.rows.len(), drawn.cursor), (3, (2, 2)));
    line.press(Press::Alt('<'));
    assert_eq!(line.draw(12, 3, "", Paint::PLAIN).cursor, (0, 2));
    let mut accented = self::line(&[]);
    typed(&mut accented, "e\u{301}a");
    assert_eq!(accented.draw(12, 3, "", Paint::PLAIN).cursor, (0, 4));
}
