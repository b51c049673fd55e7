//! `hashFiles(…)`: one hash for all files of the workspace that match. Patterns and order as in GitHub's
//! runner (`src/Misc/expressionFunc/hashFiles`, with `@actions/glob`).

use std::io::Read as _;
use std::path::{Path, PathBuf};

use landfall_wire::hash::{Algorithm, Hasher, sha256_hex};

/// Folders below the workspace that are followed.
const DEPTH_MAX: usize = 64;
/// Files and folders that are looked at.
const ENTRIES_MAX: usize = 1_000_000;
/// Read at once, in bytes.
const CHUNK_BYTES: usize = 64 * 1024;
/// The only option there is; it stands before the patterns.
const FOLLOW: &str = "--follow-symbolic-links";

/// The SHA-256 over the SHA-256 of each matching file, as hex digits; empty when nothing matches.
///
/// # Errors
/// The runner's text for a pattern or option that isn't one; a file that can't be read; a limit.
pub fn hash_files(workspace: &Path, arguments: &[String]) -> Result<String, String> {
    let (follow, patterns) = match arguments.split_first() {
        Some((option, rest)) if option.starts_with("--") => {
            if !option.eq_ignore_ascii_case(FOLLOW) {
                return Err(format!("Invalid glob option {option}, available option: '{FOLLOW}'."));
            }
            (true, rest)
        }
        _ => (false, arguments),
    };
    let lines = patterns.iter().flat_map(|text| text.lines()).map(str::trim);
    let patterns = lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| Pattern::parse(workspace, line))
        .filter_map(Result::transpose)
        .collect::<Result<Vec<_>, _>>()?;
    let mut all = Vec::new();
    for file in find(workspace, &patterns, follow)? {
        let path = workspace.join(&file);
        if path.is_file() {
            let cannot = |error| format!("hashFiles cannot read {}: {error}", file.display());
            all.extend_from_slice(&digest(&path).map_err(cannot)?);
        }
    }
    Ok(if all.is_empty() { String::new() } else { sha256_hex(&all) })
}

/// The files of a workspace that lines of patterns name, and the folder that all of them lie in, as
/// `actions/upload-artifact` sees it: where the patterns begin to differ.
///
/// # Errors
/// As [`hash_files`].
pub fn matching(workspace: &Path, lines: &str) -> Result<(PathBuf, Vec<PathBuf>), String> {
    let patterns = lines
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| Pattern::parse(workspace, line))
        .filter_map(Result::transpose)
        .collect::<Result<Vec<_>, _>>()?;
    let files = find(workspace, &patterns, false)?;
    let mut places = search_paths(&patterns).into_iter();
    let mut root = places.next().unwrap_or_default();
    for place in places {
        while !place.starts_with(&root) {
            root.pop();
        }
    }
    if workspace.join(&root).is_file() {
        root.pop();
    }
    Ok((root, files))
}

/// The 32 bytes of a file's SHA-256.
fn digest(file: &Path) -> std::io::Result<Vec<u8>> {
    let (mut file, mut hasher) = (std::fs::File::open(file)?, Hasher::new(Algorithm::Sha256));
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match file.read(&mut chunk)? {
            0 => break,
            length => hasher.update(chunk.get(..length).unwrap_or_default()),
        }
    }
    let digest = hasher.finish();
    let hex = digest.as_str().strip_prefix("sha256:").unwrap_or_default();
    let byte = |at: usize| hex.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    Ok((0..hex.len()).step_by(2).filter_map(byte).collect())
}

/// A pattern below the workspace.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Pattern {
    negate: bool,
    segments: Vec<String>,
}

impl Pattern {
    /// Reads a pattern; none when it is about another place than the workspace.
    fn parse(workspace: &Path, text: &str) -> Result<Option<Self>, String> {
        let mut rest = text;
        let mut negate = false;
        while let Some(after) = rest.strip_prefix('!') {
            (rest, negate) = (after.trim_start(), !negate);
        }
        if rest.is_empty() {
            return Err(format!("Invalid pattern '{text}': pattern cannot be empty"));
        }
        let below = match rest.strip_prefix('/') {
            Some(_) => match rest.strip_prefix(&*workspace.to_string_lossy()) {
                Some(below) if below.is_empty() || below.starts_with('/') => below,
                _ => return Ok(None),
            },
            None if rest == "~" || rest.starts_with("~/") => return Ok(None),
            None => rest.strip_prefix("./").unwrap_or(if rest == "." { "" } else { rest }),
        };
        let segments: Vec<String> =
            below.split('/').filter(|segment| !segment.is_empty()).map(str::to_owned).collect();
        if segments.iter().any(|segment| segment == "." || segment == "..") {
            return Err(format!("Invalid pattern '{rest}'. Relative pathing '.' and '..' is not allowed."));
        }
        Ok(Some(Self { negate, segments }))
    }

    /// The folder or file before the first wildcard.
    fn search_path(&self) -> PathBuf {
        self.segments.iter().map_while(|segment| literal(segment)).collect()
    }

    /// Whether a path, or a folder that it lies in, matches.
    fn fits(&self, path: &[&str]) -> bool {
        // One row of "these segments match so many parts" at a time, as for a longest common subsequence.
        let mut reached = vec![false; path.len() + 1];
        if let Some(first) = reached.first_mut() {
            *first = true;
        }
        for segment in &self.segments {
            let mut next = vec![false; reached.len()];
            let mut open = false;
            for (at, is_reached) in reached.iter().enumerate() {
                open = if segment == "**" {
                    open || *is_reached
                } else {
                    let before = at.checked_sub(1).filter(|before| reached.get(*before) == Some(&true));
                    let part = before.and_then(|before| path.get(before));
                    part.is_some_and(|part| segment_fits(segment, part))
                };
                if let Some(state) = next.get_mut(at) {
                    *state = open;
                }
            }
            reached = next;
        }
        reached.contains(&true)
    }

    /// Whether something below a folder may match.
    fn may_fit_below(&self, folder: &[&str]) -> bool {
        for (segment, part) in self.segments.iter().zip(folder) {
            if segment == "**" {
                return true;
            }
            if !segment_fits(segment, part) {
                return false;
            }
        }
        true
    }
}

/// The text that a segment stands for when it has no wildcard; a set of one character is that character.
fn literal(segment: &str) -> Option<String> {
    let tests = tests(segment);
    let one = |test: &Test| match test {
        Test::In { not: false, ranges } => match ranges.as_slice() {
            [(from, to)] if from == to => Some(*from),
            _ => None,
        },
        _ => None,
    };
    tests.iter().map(one).collect()
}

#[derive(Clone, Debug)]
enum Test {
    Any,
    One,
    In { not: bool, ranges: Vec<(char, char)> },
}

/// `*`, `?`, `[…]`, `\x` and plain characters of one segment.
fn tests(segment: &str) -> Vec<Test> {
    let is = |character| Test::In { not: false, ranges: vec![(character, character)] };
    let mut rest = segment;
    let mut tests = Vec::new();
    while let Some(character) = rest.chars().next() {
        rest = rest.get(character.len_utf8()..).unwrap_or("");
        tests.push(match character {
            '*' => Test::Any,
            '?' => Test::One,
            '\\' => match rest.chars().next() {
                Some(escaped) => {
                    rest = rest.get(escaped.len_utf8()..).unwrap_or("");
                    is(escaped)
                }
                None => is('\\'),
            },
            '[' => match set(rest) {
                Some((test, after)) => {
                    rest = after;
                    test
                }
                None => is('['),
            },
            other => is(other),
        });
    }
    tests
}

/// The inside of `[…]` and what follows it.
fn set(text: &str) -> Option<(Test, &str)> {
    let (not, inside) = match text.strip_prefix(['!', '^']) {
        Some(inside) => (true, inside),
        None => (false, text),
    };
    let first = inside.chars().next()?;
    let close = first.len_utf8() + inside.get(first.len_utf8()..)?.find(']')?;
    let characters: Vec<char> = inside.get(..close)?.chars().collect();
    let (mut ranges, mut at) = (Vec::new(), 0);
    while let Some(from) = characters.get(at).copied() {
        match (characters.get(at + 1), characters.get(at + 2)) {
            (Some('-'), Some(to)) => {
                ranges.push((from, *to));
                at += 3;
            }
            _ => {
                ranges.push((from, from));
                at += 1;
            }
        }
    }
    Some((Test::In { not, ranges }, inside.get(close + 1..)?))
}

fn segment_fits(segment: &str, name: &str) -> bool {
    let tests = tests(segment);
    let mut states = vec![false; tests.len() + 1];
    enter(&tests, &mut states, 0);
    for character in name.chars() {
        let mut next = vec![false; states.len()];
        for (at, test) in tests.iter().enumerate() {
            if states.get(at) != Some(&true) {
                continue;
            }
            match test {
                Test::Any => enter(&tests, &mut next, at),
                Test::One => enter(&tests, &mut next, at + 1),
                Test::In { not, ranges } => {
                    if ranges.iter().any(|(from, to)| (*from..=*to).contains(&character)) != *not {
                        enter(&tests, &mut next, at + 1);
                    }
                }
            }
        }
        states = next;
    }
    states.last() == Some(&true)
}

/// Marks a state and those that are reached from it without a character.
fn enter(tests: &[Test], states: &mut [bool], from: usize) {
    let mut at = from;
    while let Some(state) = states.get_mut(at) {
        *state = true;
        match tests.get(at) {
            Some(Test::Any) => at += 1,
            _ => return,
        }
    }
}

/// Matching files in the order in which they are hashed: depth first, each folder's entries by name.
fn find(workspace: &Path, patterns: &[Pattern], follow: bool) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    let mut open: Vec<PathBuf> = search_paths(patterns);
    open.reverse();
    let mut seen = 0;
    while let Some(path) = open.pop() {
        seen += 1;
        let parts: Vec<String> =
            path.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        if seen > ENTRIES_MAX || parts.len() > DEPTH_MAX {
            return Err(format!(
                "hashFiles looks at {ENTRIES_MAX} files at most, and at {DEPTH_MAX} folders inside of each other"
            ));
        }
        let full = workspace.join(&path);
        let Some(is_dir) = is_dir(&full, follow) else { continue };
        if is_dir {
            if patterns.iter().any(|pattern| !pattern.negate && pattern.may_fit_below(&parts)) {
                let mut names: Vec<_> = std::fs::read_dir(&full)
                    .map_err(|error| format!("hashFiles cannot read {}: {error}", path.display()))?
                    .filter_map(|entry| Some(entry.ok()?.file_name()))
                    .collect();
                names.sort();
                open.extend(names.iter().rev().map(|name| path.join(name)));
            }
        } else {
            let decide = |is_in: bool, pattern: &Pattern| match pattern.fits(&parts) {
                true => !pattern.negate,
                false => is_in,
            };
            if patterns.iter().fold(false, decide) {
                files.push(path);
            }
        }
    }
    Ok(files)
}

/// Whether there is a folder to go into; none when there is nothing, or the way leads in a circle.
fn is_dir(path: &Path, follow: bool) -> Option<bool> {
    let kind = std::fs::symlink_metadata(path).ok()?.file_type();
    if !follow || !kind.is_symlink() {
        return Some(kind.is_dir());
    }
    let target = path.canonicalize().ok()?;
    let inside = path.parent()?.canonicalize().ok()?;
    (!inside.starts_with(&target)).then(|| target.is_dir())
}

/// Where to look: before the first wildcard of each pattern, without what lies inside of another.
fn search_paths(patterns: &[Pattern]) -> Vec<PathBuf> {
    let all: Vec<PathBuf> =
        patterns.iter().filter(|pattern| !pattern.negate).map(Pattern::search_path).collect();
    let mut paths: Vec<PathBuf> = Vec::new();
    for path in &all {
        if !all.iter().any(|other| other != path && path.starts_with(other)) && !paths.contains(path) {
            paths.push(path.clone());
        }
    }
    paths
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use landfall_wire::hash::sha256;

    use super::*;

    /// The table: files of a workspace, then patterns and which files count, in order.
    const CASES: &str = include_str!("../cases/hash_files.txt");

    #[test]
    fn each_pattern_hashes_the_files_of_its_row_in_their_order() {
        let dir = tempfile::tempdir().unwrap();
        let workspace = dir.path().canonicalize().unwrap().join("work space");
        let (mut rows, mut wrong) = (0, Vec::new());
        for line in CASES.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
            if let Some(file) = line.strip_prefix("file ") {
                let path = workspace.join(file);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, file).unwrap();
                continue;
            }
            if let Some((link, target)) = line.strip_prefix("link ").and_then(|rest| rest.split_once(" -> "))
            {
                std::os::unix::fs::symlink(target, workspace.join(link)).unwrap();
                continue;
            }
            let (patterns, wanted) = line.split_once(" => ").unwrap();
            let arguments: Vec<String> = patterns
                .split(" ; ")
                .map(|text| text.replace("{workspace}", &workspace.to_string_lossy()).replace('⏎', "\n"))
                .collect();
            let got = hash_files(&workspace, &arguments);
            let wanted = match wanted.strip_prefix("error ") {
                Some(error) => Err(error.to_owned()),
                None if wanted == "nothing" => Ok(String::new()),
                None => {
                    let digests: Vec<u8> =
                        wanted.split(", ").flat_map(|file| sha256(file.as_bytes())).collect();
                    Ok(sha256_hex(&digests))
                }
            };
            rows += 1;
            if got != wanted {
                wrong.push(format!("{line}\n  got {got:?}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert!(rows >= 20, "{rows} rows");
    }
}
