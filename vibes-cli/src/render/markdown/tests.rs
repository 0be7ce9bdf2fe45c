//! Blocks, lines and pieces: what they look like, and that what went out stays.

use super::*;

fn drawn(text: &str, width: usize) -> Vec<String> {
    let (mut markdown, mut out) = (Markdown::default(), Vec::new());
    text.lines().for_each(|line| markdown.line(line, width, Paint::PLAIN, &mut out));
    markdown.end(width, Paint::PLAIN, &mut out);
    out
}

fn one(line: &str) -> String {
    drawn(line, 200).join("\n")
}

#[test]
fn marks_vanish_and_words_stay() {
    for (text, expected) in [
        ("# Title", "Title"),
        ("a **bold** and `code` and *it* and ~~gone~~", "a bold and code and it and gone"),
        ("  - item `x`", "  • item x"),
        ("3. three *x*", "3. three x"),
        ("- [x] done", "• [x] done"),
        ("> quoted **x**", "▏ quoted x"),
        ("see [docs](https://a.b/c)", "see docs (https://a.b/c)"),
        ("<https://a.b>", "https://a.b"),
        ("![logo](a.png)", "[image: logo] (a.png)"),
        ("a &lt; b", "a < b"),
        ("***", "────────────────────────────────────────"),
    ] {
        assert_eq!(one(text), expected, "{text}");
    }
}

#[test]
fn what_only_looks_like_markdown_stays() {
    for line in [
        "#include <x>",
        "2 * 3 * 4",
        "snake_case_name",
        "a ** b ** c",
        "`open",
        "rm *.o",
        "a__b__c",
        "__init__ and __init__.py",
        "-x is a flag",
        "1.5 is a number",
        "a | b",
        "x[0] = y",
    ] {
        assert_eq!(one(line), line);
    }
}

#[test]
fn code_is_left_alone_and_keeps_its_language() {
    let text = "```rust\n# not **a** heading\n    deep\n```\nafter";
    assert_eq!(drawn(text, 80), ["```rust", "# not **a** heading", "    deep", "```", "after"]);
    let inner = "````\n```\nx\n```\n````";
    assert_eq!(drawn(inner, 80), ["````", "```", "x", "```", "````"]);
    assert_eq!(drawn("    indented *code*", 80), ["    indented *code*"]);
    assert_eq!(drawn("- a\n\n    more of *it*", 80), ["• a", "", "    more of it"]);
}

#[test]
fn a_line_goes_out_as_soon_as_nothing_can_change_it() {
    let (mut markdown, mut out) = (Markdown::default(), Vec::new());
    let mut feed = |line: &str| {
        markdown.line(line, 80, Paint::PLAIN, &mut out);
        std::mem::take(&mut out)
    };
    assert_eq!(feed("plain words"), ["plain words"]);
    assert_eq!(feed("with **bold** words"), ["with bold words"]);
    assert_eq!(feed("- an item"), ["• an item"]);
    assert_eq!(feed("a **mark that"), Vec::<String>::new());
    assert_eq!(feed("ends here** now"), ["a mark that", "ends here now"]);
    assert_eq!(feed("| a | b |"), Vec::<String>::new());
    assert_eq!(feed("|---|---|"), Vec::<String>::new());
    assert_eq!(feed("| 1 | 2 |"), Vec::<String>::new());
    assert_eq!(feed(""), ["a │ b", "──┼──", "1 │ 2", ""]);
}

#[test]
fn what_is_under_way_can_be_seen_and_what_went_out_is_never_taken_back() {
    let text = "# Head\n\nwords and **bold *and* it** all\nover\n\n| n | v |\n|---|---|\n| a | long words |\n\n- one\n  - two `x\ny` z\n\n```py\ncode\n```\nend";
    let whole = drawn(text, 24);
    for cut in (0..=text.len()).filter(|at| text.is_char_boundary(*at)) {
        let (mut markdown, mut out) = (Markdown::default(), Vec::new());
        let (lines, last) = text[..cut].rsplit_once('\n').unwrap_or(("", &text[..cut]));
        if cut > last.len() {
            lines.split('\n').for_each(|line| markdown.line(line, 24, Paint::PLAIN, &mut out));
        }
        assert_eq!(out, whole[..out.len()], "cut at {cut}");
        assert!(markdown.under_way(last, 24, Paint::PLAIN).iter().all(|line| !line.contains('\n')));
    }
}

#[test]
fn lines_hang_below_their_marker_and_fit() {
    assert_eq!(drawn("- one two three four", 12), ["• one two", "  three four"]);
    assert_eq!(drawn("10. one **two** three", 12), ["10. one two", "    three"]);
    assert_eq!(drawn("> one two three four", 12), ["▏ one two", "▏ three four"]);
    for width in [8, 20, 40, 200] {
        let text = "# A heading that is long\n\n| one | two | three |\n|--|--|--|\n| some words | more of them | https://example.org/very/long |\n\n日本語日本語日本語日本語 *日本語日本語日本語日本語*\n\n> - a `b` c d e f g h i j k l m n\n";
        for line in drawn(text, width) {
            assert!(crate::render::columns(&line) <= width.max(10) + 2, "{width}: {line}");
        }
    }
}

#[test]
fn a_table_becomes_a_list_where_there_is_no_room() {
    let text = "| name | what it is | since |\n|---|---|---|\n| journal | the store of records | first |\n";
    assert_eq!(
        drawn(text, 60),
        [
            "name    │ what it is           │ since",
            "────────┼──────────────────────┼──────",
            "journal │ the store of records │ first"
        ]
    );
    assert_eq!(
        drawn(text, 34),
        [
            "name    │ what it is       │ since",
            "────────┼──────────────────┼──────",
            "journal │ the store of     │ first",
            "        │ records          │"
        ]
    );
    assert_eq!(
        drawn(text, 20),
        ["name", "  journal", "what it is", "  the store of", "  records", "since", "  first"]
    );
}

#[test]
fn what_the_parser_decodes_is_sanitised_again() {
    let text = one("a &#27;[2J &#x9b;1A &#10;║ &#x2551; &#x202e; <b>&amp;</b> [x](a&#27;b) `&#27;`");
    assert!(!text.chars().any(|c| c.is_control() || c == '║' || c == '\u{202e}'), "{text:?}");
}

#[test]
fn a_block_without_end_is_drawn_in_parts() {
    let (mut markdown, mut out) = (Markdown::default(), Vec::new());
    for _ in 0..10_000 {
        markdown.line("| open * row |", 80, Paint::PLAIN, &mut out);
        assert!(markdown.block.len() <= LONGEST * 4 + 100);
    }
    assert!(!out.is_empty());
}

#[test]
fn paint_is_added_on_a_terminal() {
    let mut out = Vec::new();
    Markdown::default().line("**b**", 80, Paint::forced(), &mut out);
    assert_eq!(out, ["\u{1b}[1mb\u{1b}[0m"]);
}
