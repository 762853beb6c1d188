from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tamis.text.tokens import ends_word, fold, is_whole, tokens


def test_words_keep_apostrophes_and_numbers_together() -> None:
    words = [token.text for token in tokens("Levi's 1.5-litre, 12,000 km — café")]
    assert words == ["Levi's", "1.5", "litre", "12,000", "km", "café"]


def test_fold_joins_hyphens_case_and_spaces() -> None:
    folded = fold("T-Shirt\u00a0 NAVY’s")
    assert folded.text == "t shirt navy's"
    assert folded.span(*_place(folded.text, "navy's")) == (9, 15)


def test_boundaries_are_asked_of_spaced_scripts_alone() -> None:
    assert not is_whole("bored", 2, 5)
    assert is_whole("a red car", 2, 5)
    assert is_whole("红色汽车", 0, 2)
    assert ends_word("красный", 7)
    assert not ends_word("красный", 3)


@given(st.text(max_size=60))
def test_folded_spans_lead_back_into_the_text(text: str) -> None:
    folded = fold(text)
    for index in range(len(folded.text)):
        start, end = folded.span(index, index + 1)
        assert 0 <= start < end <= len(text)
    assert "  " not in folded.text


@given(st.text(max_size=80))
def test_tokens_are_slices_in_order(text: str) -> None:
    previous = 0
    for token in tokens(text):
        assert text[token.start : token.end] == token.text
        assert token.start >= previous
        previous = token.end


def _place(text: str, word: str) -> tuple[int, int]:
    start = text.index(word)
    return start, start + len(word)
