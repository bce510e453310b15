"""What is marked as changed in a pair of texts: everything that differs, nothing that does not."""

from hypothesis import given
from hypothesis import strategies as st

from lifecycle.differences import CUT, differences, first_difference, shared

texts = st.text(alphabet="ab 中文。\n", max_size=60)


@given(texts, texts)
def test_pieces_give_the_texts_and_what_is_the_same_is_the_same(before: str, after: str) -> None:
    ours, theirs = differences(before, after)
    assert [text for kind, text in ours if kind == "same"] == [text for kind, text in theirs if kind == "same"]
    assert (before == after) == all(kind == "same" for kind, _ in (*ours, *theirs))
    plain = "".join(text.replace("⏎\n", "\n").replace("␣", " ") for _, text in ours)
    assert plain == before


def test_only_the_changed_word_or_character_is_marked() -> None:
    ours, theirs = differences("write to a@b.org now", "write to <EMAIL> now")
    assert [text for kind, text in ours if kind == "same"][-1] == " now"
    assert ("added", "<EMAIL>") in theirs
    ours, theirs = differences("他買了書", "他买了书")
    assert [tuple(piece) for piece in ours] == [("same", "他"), ("removed", "買"), ("same", "了"), ("removed", "書")]


def test_what_cannot_be_seen_is_named() -> None:
    assert ("removed", "⟨U+200B⟩") in differences("one \u200btwo", "one two")[0]
    assert ("removed", "␣") in differences("one  two", "one two")[0]


def test_the_end_of_an_excerpt_is_no_change() -> None:
    """Excerpts are cut at one length: a text that lost a word shows one word more at its end."""
    words = [f"word{number}" for number in range(80)]
    before, after = " ".join(words)[:CUT], " ".join(words[:5] + words[6:])[:CUT]
    ours, theirs = differences(before, after)
    assert "".join(text for kind, text in ours if kind == "removed").strip("␣ ") == "word5"
    assert all(kind == "same" for kind, _ in theirs)


@given(texts, texts)
def test_the_first_difference(one: str, other: str) -> None:
    place = first_difference(one, other)
    assert one[:place] == other[:place]
    assert one == other or one[place : place + 1] != other[place : place + 1]


@given(texts, texts)
def test_shared_passages_are_marked_in_the_text_as_it_stands(text: str, passage: str) -> None:
    assert "".join(piece.text for piece in shared(text, passage)) == text


def test_shared_passages_are_found_whatever_their_case() -> None:
    pieces = shared("So: WHAT IS THE CAPITAL of France?", "what is the capital of France")
    assert [piece.text for piece in pieces if piece.kind == "shared"] == ["WHAT IS THE CAPITAL of France"]
