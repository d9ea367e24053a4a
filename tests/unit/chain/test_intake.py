"""How many bytes of answers are held at once (S10), and what of them is left for others (S8)."""

from __future__ import annotations

import pytest

from chainwatch.chain.intake import (
    FREE,
    LOOKED_THROUGH,
    MAX_ANSWER,
    ROOM,
    Intake,
    NoRoom,
    TooLarge,
    is_crumbled,
)


def test_one_answer_has_a_limit_whatever_room_there_is_S10() -> None:
    with Intake(10 * MAX_ANSWER).share("a") as share:
        share.take(MAX_ANSWER)
        with pytest.raises(TooLarge):
            share.take(1)


def test_all_answers_together_have_a_limit_and_what_was_parsed_is_given_back_S10() -> None:
    intake = Intake()
    with intake.share("a") as one, intake.share("b") as two, intake.share("c") as three:
        one.take(ROOM // 3)
        two.take(ROOM // 4)
        with pytest.raises(NoRoom):
            three.take(ROOM // 3)
        assert intake.held <= ROOM
    assert intake.held == 0


def test_an_owner_leaves_as_much_for_all_others_as_it_takes_S8() -> None:
    intake = Intake(100 * FREE)
    with intake.share("greedy") as greedy, intake.share("greedy") as more, intake.share("modest") as modest:
        greedy.take(FREE + 50 * FREE)
        with pytest.raises(NoRoom):
            more.take(FREE + FREE)
        modest.take(FREE + 20 * FREE)


def test_an_answer_of_ordinary_size_always_has_room_S8() -> None:
    intake = Intake(2 * FREE)
    with intake.share("greedy") as greedy, intake.share("greedy") as small:
        greedy.take(2 * FREE)
        with pytest.raises(NoRoom):
            greedy.take(FREE)
        small.take(FREE)


def test_a_large_answer_in_tiny_pieces_is_distinguished_from_logs_S10() -> None:
    assert is_crumbled(b"[" + b"1," * LOOKED_THROUGH)
    assert not is_crumbled(b"1," * 1_000)
    assert not is_crumbled(b'{"address":"0x0123456789012345678901234567890123456789"},' * 30_000)
