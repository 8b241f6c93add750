"""If this failed, a pattern in a schema would be taken to match what it does not, or stop an agent for years."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_lineage.detect.json_patterns import literal_prefix, matches, matches_everything

texts = st.text("abx-19 ", max_size=7)


def grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    groups = st.sampled_from(
        ("({})", "(?:{})", "(?:{})*", "(?:{})+", "(?:{})?", "(?:{}){{1,2}}", "(?:{}){{2}}", "(?:{})+?")
    )
    return st.one_of(
        st.builds("{}{}".format, inner, inner),
        st.builds("{}|{}".format, inner, inner),
        st.builds(lambda group, part: group.format(part), groups, inner),
    )


atoms = st.sampled_from(
    (*"abx-.^$", "", *(rf"\{each}" for each in "dwsW-"), "[ab]", "[^a]", "[a-x1]", r"[\d-]", r"\x61")
)
patterns = st.recursive(atoms, grown, max_leaves=6)


@settings(max_examples=600, deadline=None)
@given(patterns, st.lists(texts, min_size=3, max_size=8))
def test_matches_are_those_of_pythons_engine(pattern: str, samples: list[str]) -> None:
    for text in samples:
        found = matches(pattern, text)
        if found is not None:
            assert found == (re.search(pattern, text) is not None)
            prefix = literal_prefix(pattern)
            if found and prefix is not None:
                assert text.startswith(prefix[0])
                assert prefix[1] != "all" or text == prefix[0]
            if prefix is not None and prefix[1] == "any" and text.startswith(prefix[0]):
                assert found
    if matches_everything(pattern):
        assert all(re.search(pattern, text) for text in samples)


@pytest.mark.parametrize(
    "pattern",
    [
        *(r"(?=a)", r"(a)\1", r"\bа", r"\p{L}", "(", "[a", "a{2", "*a", r"\k<n>", "a**", "(?<n>a)"),
        *(
            "a)",
            "(a",
            "^*",
            "a{2,1}",
            "a{x}",
            "a{1,x}",
            "a{٢}",
            r"\x6",
            r"\x6g",
            r"\u006",
            r"[\d-x]",
            "[b-a]",
            "a" * 2_001,
        ),
    ],
    ids=ascii,
)
def test_what_is_not_known_is_said(pattern: str) -> None:
    assert matches(pattern, "aa") is None


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("^a$", "a\n", False),  # unlike Python
        (r"\d", "٣", False),
        (r"\s", "\u2003", True),
        (".", "\u2028", False),
        (r"\u0061", "a", True),
        (r"[\b]", "\b", True),
        ("^[^]$", "a", True),
        (r"^a\nb\tc$", "a\nb\tc", True),
        (r"^\0$", "\0", True),
        (r"^1\.5$", "1.5", True),
        (r"^1\.5$", "1x5", False),
        (r"^[\d.]+$", "1.5", True),
        (r"^[\D]$", "1", False),
        ("^a{2}b", "ab", False),
        ("^a{2}b", "aab", True),
        ("^(a{2}|b){2,}$", "aab", True),
        ("^a{1,2}$", "aaa", False),
        ("^a+?b??$", "aa", True),
        ("^a{2}?$", "aa", True),
        ("^[a-c-]$", "-", True),
        *(("^[b-d]$", each, each in "bcd") for each in "abcde"),
        *(("a", "b" * length + "a", True if length < 10_000 else None) for length in (9_999, 10_000)),
    ],
    ids=lambda each: ascii(each)[:30],
)
def test_matches(pattern: str, text: str, found: bool | None) -> None:
    assert matches(pattern, text) is found


@pytest.mark.parametrize(
    ("pattern", "known"),
    [
        ("", True),
        ("^", True),
        ("a*", True),
        ("(?:a|b)*c?", True),
        ("a", False),
        ("^a*", False),
        ("a|b", False),
        ("(", False),
    ],
)
def test_what_is_found_in_every_text(pattern: str, known: bool) -> None:
    assert matches_everything(pattern) is known


@pytest.mark.parametrize(
    ("pattern", "prefix"),
    [
        ("^ab", ("ab", "any")),
        ("^ab$", ("ab", "all")),
        ("^", ("", "any")),
        ("^ab+", ("a", "more")),
        (r"^a\.b[cd]", ("a.b", "more")),
        ("^a$b", ("a", "more")),
        ("ab", None),
        ("^a|^b", None),
        ("", None),
        ("(", None),
    ],
)
def test_what_a_text_starts_with(pattern: str, prefix: tuple[str, str] | None) -> None:
    assert literal_prefix(pattern) == prefix


def test_no_pattern_takes_long() -> None:
    for pattern in ("^(a+)+$", "(a|a)*b", "(a*)*(a*)*c", "(?:a{1,50}){1,50}b", "a{1000}" * 50, "(" * 500):
        assert matches(pattern, "a" * 5_000) in (None, True, False)
