use super::*;
use crate::github::commands::{Annotation, Command, CommandReader, Loudness};
use crate::github::masks::Masks;
use crate::github::{commands, files};

/// Cases: the file, then `---`, then `NAME=VALUE` with `⏎` for newlines, or `error LINE: TEXT`.
#[test]
fn every_file_of_the_protocol_reads_as_its_case_says() {
    let mut wrong = Vec::new();
    for (name, body, wanted) in cases(include_str!("../../../cases/github/files.txt")) {
        let body = body.replace('␍', "\r");
        let found = match files::environment(&body) {
            Ok(pairs) => pairs
                .iter()
                .map(|(name, value)| format!("{name}={}", value.replace('\n', "⏎").replace('\r', "␍")))
                .collect::<Vec<_>>()
                .join("\n"),
            Err(error) => format!("error {error}"),
        };
        if found != wanted {
            wrong.push(format!("=== {name}\n{found}\n--- wanted\n{wanted}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn node_options_may_be_an_output_and_not_a_variable() {
    assert!(files::assignments("NODE_OPTIONS=x\n").is_ok());
    let error = files::environment("A=1\nnode_options=x\n").unwrap_err();
    assert_eq!((error.line, error.message.contains("NODE_OPTIONS")), (2, true));
}

#[test]
fn paths_are_one_a_line() {
    assert_eq!(files::paths("/a\n\n/b c\r\n"), ["/a", "/b c"]);
}

fn command(line: &str) -> Option<Command> {
    CommandReader::default().line(line)
}

#[test]
fn commands_are_read_with_their_escapes_and_everything_else_is_text() {
    let text = |text: &str| text.to_owned();
    let note = |loudness, message: &str, properties: &[(&str, &str)]| {
        let properties = properties.iter().map(|(key, value)| (text(key), text(value))).collect();
        Some(Command::Annotation(Annotation { loudness, message: text(message), properties }))
    };
    for (line, wanted) in [
        ("::add-mask::s3cret", Some(Command::AddMask(text("s3cret")))),
        ("::add-mask::a%0Ab%25", Some(Command::AddMask(text("a\nb%")))),
        ("::add-mask::%250A", Some(Command::AddMask(text("%0A")))),
        ("::add-mask::a::b", Some(Command::AddMask(text("a::b")))),
        ("  ::debug::x\r", Some(Command::Debug(text("x")))),
        ("::set-output name=tag::v1=2", Some(Command::SetOutput { name: text("tag"), value: text("v1=2") })),
        ("::SAVE-STATE name=a::b", Some(Command::SaveState { name: text("a"), value: text("b") })),
        (
            "::error file=a.rs,line=3,title=Oh%3A no%2C::broken",
            note(Loudness::Error, "broken", &[("file", "a.rs"), ("line", "3"), ("title", "Oh: no,")]),
        ),
        ("::warning::careful", note(Loudness::Warning, "careful", &[])),
        ("::notice ::", note(Loudness::Notice, "", &[])),
        ("::group::Build", Some(Command::Group(text("Build")))),
        ("::endgroup::", Some(Command::EndGroup)),
        ("::echo::on", Some(Command::Echo(true))),
        ("::add-matcher::m.json", Some(Command::Matcher)),
        (
            "::add-path::/x",
            Some(Command::Unsecure { command: text("add-path"), name: text(""), value: text("/x") }),
        ),
        (
            "::add-mask:: ",
            Some(Command::Invalid(text("Can't add secret mask for empty string in ##[add-mask] command."))),
        ),
        (
            "::set-output::x",
            Some(Command::Invalid(text("Required field 'name' is missing in ##[set-output] command."))),
        ),
        ("::unknown::x", None),
        ("::error", None),
        ("text ::error::x", None),
        ("", None),
        ("::::", None),
    ] {
        assert_eq!(command(line), wanted, "{line}");
    }
}

#[test]
fn stopped_commands_are_text_until_the_token_comes_back() {
    let mut reader = CommandReader::default();
    for (line, wanted) in [
        ("::stop-commands::pause-7", Some(Command::Stop)),
        ("::add-mask::x", None),
        ("::endgroup::", None),
        ("::pause-8::", None),
        ("::pause-7::", Some(Command::Resume)),
        ("::endgroup::", Some(Command::EndGroup)),
    ] {
        assert_eq!(reader.line(line), wanted, "{line}");
    }
    for token in ["", "error", "GROUP"] {
        let found = commands::CommandReader::default().line(&format!("::stop-commands::{token}"));
        assert!(matches!(found, Some(Command::Invalid(_))), "{token}");
    }
}

#[test]
fn a_secret_is_hidden_in_every_form_in_which_tools_print_it() {
    let mut masks = Masks::new();
    masks.add("p@ss'w\"ord&<1>");
    for (text, wanted) in [
        ("it is p@ss'w\"ord&<1>!", "it is ***!"),
        ("p@ss'w\"ord&<1>p@ss'w\"ord&<1>", "***"),
        (r#"{"v":"p@ss'w\"ord&<1>"}"#, r#"{"v":"***"}"#),
        ("?v=p%40ss%27w%22ord%26%3C1%3E&x", "?v=***&x"),
        ("<v>p@ss'w&quot;ord&amp;&lt;1&gt;</v>", "<v>***</v>"),
        ("'p@ss''w\"ord&<1>'", "'***'"),
        // base64 of the secret alone, of "AWS:" before it, and of "x:" before it and ":y" after it.
        ("cEBzcyd3Im9yZCY8MT4=", "***"),
        ("QVdTOnBAc3Mnd1wib3JkJjwxPg==", "QVdTOnBAc3Mnd1wib3JkJjwxPg=="),
        ("p@ss", "p@ss"),
    ] {
        assert_eq!(masks.mask(text), wanted, "{text}");
    }
    assert!(masks.contains_secret("x p%40ss%27w%22ord%26%3C1%3E"));
    assert!(!masks.contains_secret("nothing"));
}

#[test]
fn base64_hides_the_secret_wherever_it_begins_in_a_group_of_three() {
    let mut masks = Masks::new();
    masks.add("supersecretvalue");
    // base64 of "AWS:supersecretvalue", "a:supersecretvalue:b" and "xyzsupersecretvalue".
    for text in
        ["QVdTOnN1cGVyc2VjcmV0dmFsdWU=", "YTpzdXBlcnNlY3JldHZhbHVlOmI=", "eHl6c3VwZXJzZWNyZXR2YWx1ZQ=="]
    {
        let masked = masks.mask(text);
        assert!(masked.contains("***") && masked.len() < text.len() / 2 + 6, "{text}: {masked}");
    }
}

#[test]
fn each_line_of_a_secret_is_hidden_and_blank_ones_are_not() {
    let mut masks = Masks::new();
    masks.add("-----BEGIN-----\n\nabcdef\r\nghijkl\n");
    masks.add("  ");
    masks.add("");
    assert_eq!(masks.mask("x abcdef y ghijkl z"), "x *** y *** z");
    assert_eq!(masks.mask("a  b"), "a  b");
    assert_eq!(masks.mask("ü abcdef ü"), "ü *** ü");
}

#[test]
fn overlapping_secrets_become_one_mask_and_masks_do_not_print() {
    let mut masks = Masks::new();
    masks.add("abcabc");
    masks.add("bcabcd");
    assert_eq!(masks.mask("xabcabcabcdx"), "x***x");
    assert!(!format!("{masks:?}").contains("abc"));
}
