#!/usr/bin/env python3
"""Compares inclusion of random globs with z3's answer.

    pip install z3-solver
    tools/inclusion.py [--count 10000] [--seed 1] [--timeout 2000]

Asks `cargo run --release --example questions` (crates/landfall-policy) and z3 whether every text of one pattern
is in another, of random patterns over a small alphabet: short ones, which meet often, longer ones, and
pairs that differ by an edit. A text that shows a difference is checked with Python's own matcher. Prints the
counts and each disagreement; exits 1 when there is one. --timeout is z3's, in milliseconds for a question.
"""

import argparse
import random
import re
import subprocess
import sys
from collections import Counter

import z3

ANY_CHAR = z3.AllChar(z3.ReSort(z3.StringSort()))


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--count", type=int, default=10_000)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--timeout", type=int, default=2_000)
    options = options.parse_args()
    dice = random.Random(options.seed)
    questions = [question(dice) for _ in range(options.count)]
    counts = Counter()
    for (left, right), ours in zip(questions, ask(questions), strict=True):
        verdict = judge(left, right, ours, options.timeout)
        counts[verdict] += 1
        counts[ours.split("\t")[0]] += 1
        if verdict not in ("agree", "z3 timed out"):
            print(f"{verdict}: {left!r} in {right!r}: we say {ours!r}", file=sys.stderr)
    for name, count in counts.most_common():
        print(f"{name}: {count}")
    bad = set(counts) - {"agree", "z3 timed out", "in", "out"}
    sys.exit(1 if bad else 0)


def ask(questions):
    command = "cargo run --quiet --release -p landfall-policy --example questions".split()
    text = "".join(f"{left}\t{right}\n" for left, right in questions)
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def question(dice):
    kind = dice.randrange(3)
    if kind == 0:
        return glob(dice, "ab", 5), glob(dice, "ab", 5)
    if kind == 1:
        return glob(dice, "abc:/", 14), glob(dice, "abc:/", 14)
    left = glob(dice, "ab:", 9)
    return (left, edited(dice, left)) if dice.random() < 0.7 else (edited(dice, left), left)


def glob(dice, letters, longest):
    weights = [2, 1] + [3 / len(letters)] * len(letters)
    return "".join(dice.choices(["*", "?", *letters], weights, k=dice.randint(0, longest)))


def edited(dice, pattern):
    at = dice.randint(0, len(pattern))
    new = dice.choice(["*", "?", "a", "**", "*?", ""])
    return pattern[:at] + new + pattern[at + dice.randint(0, 2):]


def judge(left, right, ours, timeout):
    if ours.startswith("out\t"):
        witness = ours.removeprefix("out\t")
        if not matches(left, witness) or matches(right, witness):
            return "the witness is none"
    elif ours != "in":
        return ours
    solver = z3.Solver()
    solver.set("timeout", timeout)
    text = z3.String("text")
    solver.add(z3.InRe(text, language(left)), z3.Not(z3.InRe(text, language(right))))
    answer = solver.check()
    if answer == z3.unknown:
        return "z3 timed out"
    return "agree" if (answer == z3.unsat) == (ours == "in") else "DISAGREE"


def language(pattern):
    parts = [z3.Re("")]
    for letter in pattern:
        if letter == "*":
            parts.append(z3.Star(ANY_CHAR))
        elif letter == "?":
            parts.append(ANY_CHAR)
        else:
            parts.append(z3.Re(letter))
    return z3.Concat(*parts) if len(parts) > 1 else parts[0]


def matches(pattern, text):
    expression = "".join({"*": ".*", "?": "."}.get(letter, re.escape(letter)) for letter in pattern)
    return re.fullmatch(expression, text, re.DOTALL) is not None


if __name__ == "__main__":
    main()
