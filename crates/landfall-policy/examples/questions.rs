//! Answers questions about languages, one on a line of standard input: `LEFT<tab>RIGHT`, two patterns with
//! `*` and `?`. Answers `in` when every text of the left one is in the right one, `out<tab>TEXT` with a text
//! that shows that it isn't, or `too large`. `tools/inclusion.py` compares the answers with z3's.

#![allow(clippy::print_stdout, reason = "it speaks to its caller")]

use std::io::{BufRead, Write, stdin, stdout};

use landfall_policy::set::Language;

fn main() -> std::io::Result<()> {
    let mut out = stdout().lock();
    for line in stdin().lock().lines() {
        let line = line?;
        let Some((left, right)) = line.split_once('\t') else {
            writeln!(out, "no question: expected LEFT<tab>RIGHT")?;
            continue;
        };
        match Language::glob(left).difference(Language::glob(right)).shortest() {
            Ok(None) => writeln!(out, "in")?,
            Ok(Some(text)) => writeln!(out, "out\t{text}")?,
            Err(_) => writeln!(out, "too large")?,
        }
    }
    out.flush()
}
