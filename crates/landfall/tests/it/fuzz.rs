//! What the fuzz targets begin with, without a fuzzer: every file of `fuzz/seeds` and those that `fuzz/cases.txt`
//! names, and damaged copies of each.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::fuzz_targets::TARGETS;

/// What takes the place of numbers.
const NUMBERS: &[&[u8]] = &[
    b"-1",
    b"0",
    b"4294967296",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"18446744073709551616",
    b"1e308",
    b"0.5",
];
/// Damaged copies of each file.
const COPIES: u64 = 12;
/// What is put into them beside bytes of their own.
const PIECES: &[&[u8]] = &[
    b"",
    b"\0",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\r\n",
    b"\n",
    b"\"",
    b"'",
    b"\\u",
    b"{",
    b"[[[[[[[[",
    b"}",
    b":",
    b"- ",
    b"${",
    b"${{",
    b"%",
    b"%zz",
    b"-1",
    b"99999999999999999999",
    b"9223372036854775807",
    b"null",
    b"*",
    b"\xc3\xa4",
    b"\t",
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

/// The files that a target begins with.
fn beginnings(target: &str) -> Vec<PathBuf> {
    let seeds = folder().join("seeds").join(target);
    let mut files: Vec<PathBuf> = names(&seeds, "").into_iter().map(|name| seeds.join(name)).collect();
    for (of, cases, ending) in cases().iter().filter(|(of, _, _)| of == target) {
        let here = names(cases, ending);
        assert!(!here.is_empty(), "no file of {} is for {of}", cases.display());
        files.extend(here.into_iter().map(|name| cases.join(format!("{name}{ending}"))));
    }
    files
}

/// Further files: for which target, in which folder, with which ending.
fn cases() -> Vec<(String, PathBuf, String)> {
    let text = std::fs::read_to_string(folder().join("cases.txt")).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [target, cases, ending] = words[..] else { panic!("{line}") };
            (target.to_owned(), folder().join("..").join(cases), ending.to_owned())
        })
        .collect()
}

fn names(folder: &Path, extension: &str) -> BTreeSet<String> {
    let entries =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    entries.filter_map(|name| name.strip_suffix(extension).map(str::to_owned)).collect()
}

#[test]
fn every_target_has_a_binary_and_something_to_begin_with() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names(&folder().join("seeds"), ""), targets);
    assert_eq!(names(&folder().join("fuzz_targets"), ".rs"), targets);
    let manifest: toml::Table =
        std::fs::read_to_string(folder().join("Cargo.toml")).unwrap().parse().unwrap();
    let bins = manifest["bin"].as_array().unwrap().iter();
    assert_eq!(bins.map(|bin| bin["name"].as_str().unwrap().to_owned()).collect::<BTreeSet<_>>(), targets);
    assert!(cases().iter().all(|(target, _, _)| targets.contains(target)));
}

#[test]
fn no_target_fails_at_what_it_begins_with_nor_at_damaged_copies_of_it() {
    for (target, run) in TARGETS {
        for file in beginnings(target) {
            let name = file.file_name().unwrap().to_str().unwrap();
            let whole = std::fs::read(&file).unwrap();
            attempt(*run, &whole, &format!("{target}/{name}"));
            let mut dice = Dice::of(name);
            for copy in 0..COPIES {
                attempt(*run, &dice.damaged(&whole), &format!("{target}/{name}, damaged copy {copy}"));
            }
        }
    }
}

/// Runs a target, and says with what it failed.
fn attempt(run: fn(&[u8]), input: &[u8], what: &str) {
    let ended = std::panic::catch_unwind(|| run(input));
    assert!(ended.is_ok(), "{what}:\n{}", String::from_utf8_lossy(input));
}

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    /// Puts another number in the place of the next one.
    fn replace_number(&mut self, bytes: &mut Vec<u8>, at: usize) {
        let Some(start) = bytes.iter().skip(at).position(u8::is_ascii_digit).map(|more| at + more) else {
            return;
        };
        let length = bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        drop(bytes.splice(start..start + length, NUMBERS[self.throw(NUMBERS.len())].iter().copied()));
    }

    fn of(name: &str) -> Self {
        // <https://en.wikipedia.org/wiki/Fowler%E2%80%93Noll%E2%80%93Vo_hash_function>
        Self(name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        }))
    }

    fn throw(&mut self, sides: usize) -> usize {
        // <https://en.wikipedia.org/wiki/Xorshift#xorshift*>
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).unwrap() % sides
    }

    /// The same with one to three things wrong.
    fn damaged(&mut self, whole: &[u8]) -> Vec<u8> {
        let mut bytes = whole.to_vec();
        for _ in 0..1 + self.throw(3) {
            let at = self.throw(bytes.len() + 1);
            let to = bytes.len().min(at + [0, 1, 1, 4, 30][self.throw(5)]);
            match self.throw(6) {
                0 => drop(bytes.splice(at..to, PIECES[self.throw(PIECES.len())].iter().copied())),
                1 => {
                    let from = self.throw(bytes.len() + 1);
                    let piece: Vec<u8> = bytes[from..].iter().take(100).copied().collect();
                    drop(bytes.splice(at..at, piece));
                }
                2 => bytes.truncate(at),
                3 => drop(bytes.drain(at..to)),
                4 => self.replace_number(&mut bytes, at),
                _ => bytes[at..to].iter_mut().for_each(|byte| *byte ^= 1 << self.throw(8)),
            }
        }
        bytes
    }
}
