//! Languages against their definition: brute force over short texts, and the matcher that decides.

use super::random::{Random, case_count};
use crate::pattern;
use crate::set::{Language, Measure, STATES_MAX, STEPS_MAX};

const LETTERS: &[char] = &['a', 'b', ':'];
const LENGTH_MAX: usize = 5;

#[test]
fn inclusion_of_random_globs_is_what_enumeration_says() {
    let texts = short_texts();
    let mut random = Random::new(1);
    let (mut included, mut refuted) = (0, 0);
    for _ in 0..case_count() / 20 {
        let (left, right) = (random.glob(LETTERS, 4), random.glob(LETTERS, 4));
        let only_left = texts.iter().find(|text| pattern::glob(&left, text) && !pattern::glob(&right, text));
        let difference = Language::glob(&left).difference(Language::glob(&right));
        let witness = difference.shortest().unwrap();
        match (&witness, only_left) {
            (None, Some(text)) => panic!("`{left}` has `{text}`, which `{right}` has not"),
            (None, None) => included += 1,
            (Some(witness), shorter) => {
                refuted += 1;
                assert!(
                    pattern::glob(&left, witness) && !pattern::glob(&right, witness),
                    "{left} {right} {witness}"
                );
                // Enumeration goes by length, over fewer characters.
                let length = |text: &str| text.chars().count();
                assert!(
                    shorter.is_none_or(|text| length(witness) <= length(text)),
                    "{left} {right} {witness}"
                );
            }
        }
        assert_eq!(Language::glob(&right).includes(&Language::glob(&left)).unwrap(), witness.is_none());
    }
    assert!(included > 10 && refuted > 100, "{included} {refuted}");
}

#[test]
fn random_formulas_hold_the_texts_that_they_should() {
    let texts = short_texts();
    let mut random = Random::new(2);
    for _ in 0..case_count() / 500 {
        let (language, holds) = formula(&mut random, 3);
        let members = texts.iter().filter(|text| holds(text));
        let first = members.clone().next();
        assert!(texts.iter().all(|text| language.contains(text) == holds(text)));
        let shortest = language.shortest().unwrap();
        if let Some(first) = first {
            let shortest = shortest.as_deref().unwrap();
            assert!(shortest.chars().count() <= first.chars().count(), "{shortest} {first}");
        }
        if let Some(shortest) = &shortest {
            assert!(language.contains(shortest) && holds(shortest));
        }
        assert!(is_same(&language, &language.clone().complement().complement()));
        let all = Language::union([language.clone(), language.clone().complement()]);
        assert!(is_same(&all, &Language::all()));
    }
}

/// Whether two languages hold the same strings.
fn is_same(one: &Language, other: &Language) -> bool {
    one.includes(other).unwrap() && other.includes(one).unwrap()
}

type Holds = Box<dyn Fn(&str) -> bool>;

fn formula(random: &mut Random, depth: usize) -> (Language, Holds) {
    let glob = random.glob(LETTERS, 4);
    match random.below(if depth == 0 { 5 } else { 8 }) {
        0 => (Language::glob(&glob), Box::new(move |text| pattern::glob(&glob, text))),
        1 => (Language::literal(&glob), Box::new(move |text| glob == text)),
        2 => (Language::arn(&glob), Box::new(move |text| pattern::arn(&glob, text))),
        3 => (Language::prefix(&glob), Box::new(move |text| text.starts_with(&glob))),
        4 => (Language::suffix(&glob), Box::new(move |text| text.ends_with(&glob))),
        5 => {
            let (inner, holds) = formula(random, depth - 1);
            (inner.complement(), Box::new(move |text| !holds(text)))
        }
        6 => {
            let ((left, left_holds), (right, right_holds)) =
                (formula(random, depth - 1), formula(random, depth - 1));
            (Language::union([left, right]), Box::new(move |text| left_holds(text) || right_holds(text)))
        }
        _ => {
            let ((left, left_holds), (right, right_holds)) =
                (formula(random, depth - 1), formula(random, depth - 1));
            (left.difference(right), Box::new(move |text| left_holds(text) && !right_holds(text)))
        }
    }
}

/// All texts up to a length, shortest first.
fn short_texts() -> Vec<String> {
    let mut texts = vec![String::new()];
    let mut from = 0;
    for _ in 0..LENGTH_MAX {
        let to = texts.len();
        for index in from..to {
            for letter in LETTERS {
                texts.push(format!("{}{letter}", texts[index]));
            }
        }
        from = to;
    }
    texts
}

#[test]
fn witnesses_are_short_and_take_the_characters_of_the_question_first() {
    let table = [
        (Language::all(), Some("")),
        (Language::none(), None),
        (Language::one_of(["b", "a"]), Some("a")),
        (Language::glob("repo:acme/*"), Some("repo:acme/")),
        (Language::glob("a?c").difference(Language::glob("aac")), Some("acc")),
        (Language::glob("*").difference(Language::glob("a*")), Some("")),
        (Language::glob("?*").difference(Language::glob("a*")), Some("b")),
        (Language::glob("a*").difference(Language::glob("a")), Some("aa")),
        (Language::ignore_case("K").difference(Language::one_of(["k", "K"])), Some("\u{212a}")),
        (Language::ignore_case("straße").difference(Language::literal("straße")), Some("straßE")),
        (Language::arn("arn:aws:iam::*:role/x"), Some("arn:aws:iam:::role/x")),
        (Language::arn("arn:aws:ecr"), None),
        (Language::arn("arn:*"), Some("arn:")),
        (Language::glob_ignore_case("ecr:Put*").difference(Language::prefix("ecr:put")), Some("Ecr:put")),
    ];
    for (language, wanted) in table {
        let shortest = language.shortest().unwrap();
        match wanted {
            // Which of equally long texts comes first is a matter of taste, its length is not.
            Some(wanted) => {
                let shortest = shortest.unwrap_or_else(|| panic!("{language:?} is empty"));
                assert_eq!(shortest.chars().count(), wanted.chars().count(), "{shortest} for {wanted}");
                assert!(language.contains(&shortest) && language.contains(wanted), "{shortest} for {wanted}");
            }
            None => assert_eq!(shortest, None, "{language:?}"),
        }
    }
}

#[test]
fn every_character_that_folds_to_another_is_known() {
    for character in (0..=0x10_ffff_u32).filter_map(char::from_u32) {
        let mut lower = character.to_lowercase();
        if character.to_lowercase().eq([character]) && character.to_uppercase().eq([character]) {
            continue;
        }
        if let (Some(lower), None) = (lower.next(), lower.next()) {
            let variants = crate::set::variants(lower);
            assert!(variants.contains(&character), "{character:?} folds to {lower:?}: {variants:?}");
        }
        let variants = crate::set::variants(character);
        assert!(variants.iter().all(|other| pattern::same_but_for_case(character, *other)));
    }
}

#[test]
fn hostile_patterns_meet_the_limit_and_not_a_hang() {
    let started = std::time::Instant::now();
    let hostile = [
        format!("*a{}", "?".repeat(40)),
        "*a?a?a?".repeat(20),
        format!("{}b", "*a".repeat(500)),
        format!("*{}", "ab?".repeat(60)),
        "?".repeat(2_000) + "*",
    ];
    for pattern in &hostile {
        let question = Language::glob(pattern).difference(Language::glob("*b*a*"));
        match question.shortest() {
            Ok(witness) => assert!(witness.is_none_or(|witness| question.contains(&witness))),
            Err(too_large) => assert!(too_large.limit == STATES_MAX && too_large.count > too_large.limit),
        }
    }
    let tail = Language::glob(&format!("*a{}", "?".repeat(40)));
    let other = Language::glob(&format!("*b{}", "?".repeat(39)));
    let entangled = Language::intersection([tail.complement(), other.complement()]);
    assert!(entangled.clone().complement().includes(&Language::all()).is_ok_and(|all| !all));
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}

/// Very long patterns and very many characters make each state cost more: the limit is on all of it, so that
/// no question takes a second of an optimised build (`cargo bench --bench sets` measures it).
#[test]
fn patterns_that_are_costly_to_follow_meet_the_limit_sooner() {
    let letters = |count: u32| (0..count).filter_map(|at| char::from_u32(0x4e00 + at)).collect::<String>();
    for (left, right, measure) in [
        (format!("*{}", letters(20_000)), format!("*{}*", letters(20_000)), Measure::Words),
        ("*".to_owned(), letters(15_000).repeat(10), Measure::Words),
        ("*a?".repeat(1_000), "*b*a?".repeat(1_000), Measure::Steps),
    ] {
        let too_large = Language::glob(&right).includes(&Language::glob(&left)).unwrap_err();
        assert!(too_large.measure == measure && too_large.count > too_large.limit, "{too_large}");
        assert!(measure != Measure::Steps || too_large.limit == STEPS_MAX, "{too_large}");
    }
}

#[test]
fn a_union_of_many_covers_what_none_covers_alone() {
    let parts = ["a*", "b*", "?", ""].map(Language::glob);
    let rest = Language::all().difference(Language::union(parts.clone()));
    let witness = rest.shortest().unwrap().unwrap();
    assert_eq!(witness.chars().count(), 2, "{witness}");
    let covering = parts.into_iter().chain([Language::glob("??*").difference(Language::glob("a*"))]);
    assert!(is_same(&Language::union(covering), &Language::all()));
}
