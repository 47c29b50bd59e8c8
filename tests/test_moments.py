"""Samplers: which moments of a video become pictures."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimicit.moments import MOST, At, Every, KeyFrames, Sampler, Uniform, choose, frame_id

seconds = st.floats(0, 1e4, allow_nan=False)


def test_uniform_gives_the_middles_of_equal_parts() -> None:
    assert choose(Uniform(4), Fraction(8)) == ([1, 3, 5, 7], [])
    assert choose(Uniform(2, 1, 3), Fraction(8)) == ([1.5, 2.5], [])
    assert choose(Uniform(1, 2, 2), Fraction(8)) == ([2], []), "a segment may be one moment"


def test_a_segment_is_cut_where_the_video_ends_and_one_after_it_is_told() -> None:
    assert choose(Uniform(2, 6, 12), Fraction(8)) == ([6.5, 7.5], [])
    assert choose(Uniform(2, 9, 12), Fraction(8)) == ([], [9])
    assert choose(Every(1, 6.5, 20), Fraction(8)) == ([6.5, 7.5], [])


def test_every_begins_at_the_start_and_ends_before_the_end() -> None:
    assert choose(Every(1), Fraction(3)) == ([0, 1, 2], [])
    assert choose(Every(1), Fraction(301, 100)) == ([0, 1, 2, 3], [])
    assert choose(Every(0.1), Fraction(3, 10)) == ([0, 0.1, 0.2], []), "floats add no fourth"
    assert choose(Every(5), Fraction(3)) == ([0], [])


def test_given_moments_keep_their_order_and_those_after_the_end_are_told() -> None:
    assert choose(At((5, 1, 9, 8)), Fraction(8)) == ([5, 1], [9, 8])


def test_key_frames_are_taken_where_they_are_and_thinned_evenly() -> None:
    keys = [Fraction(n, 2) for n in range(10)]
    assert choose(KeyFrames(), Fraction(5), keys)[0] == [n / 2 for n in range(10)]
    assert choose(KeyFrames(2), Fraction(5), keys)[0] == [1, 3.5]
    assert choose(KeyFrames(5, 1, 2), Fraction(5), keys)[0] == [1, 1.5]
    assert choose(KeyFrames(5, 4.6, 4.9), Fraction(5), keys) == ([], [])


@given(st.integers(1, 500), seconds, seconds, st.fractions(Fraction(1, 100), 10_000))
def test_whatever_is_chosen_lies_in_the_segment_and_in_the_video(
    count: int, start: float, length: float, duration: Fraction
) -> None:
    samplers: list[Sampler] = [Uniform(count, start, start + length)]
    if length < count:
        samplers.append(Every(1, start, start + length))
    for sampler in samplers:
        inside, late = choose(sampler, duration)
        assert bool(inside) != bool(late)
        assert inside == sorted(inside)
        for moment in inside:
            assert start <= moment <= min(start + length, float(duration)) + 1e-6


@pytest.mark.parametrize(
    "make",
    [
        lambda: Uniform(0),
        lambda: Uniform(MOST + 1),
        lambda: Uniform(2, 3, 2),
        lambda: Uniform(2, -1),
        lambda: Uniform(2, math.nan),
        lambda: Uniform(2, 0, math.inf),
        lambda: Every(0),
        lambda: Every(math.nan),
        lambda: Every(-1),
        lambda: At(()),
        lambda: At((1, -0.1)),
        lambda: At((math.inf,)),
        lambda: KeyFrames(0),
    ],
)
def test_a_sampler_that_makes_no_sense_cannot_be_made(make: object) -> None:
    assert callable(make)
    with pytest.raises(ValueError, match=r"seconds|chosen|given|segment|moment|step"):
        make()


def test_a_step_taken_for_milliseconds_is_found_out() -> None:
    with pytest.raises(ValueError, match="moments, more than"):
        choose(Every(0.001), Fraction(3600))


@given(st.fractions(0, 10_000, max_denominator=90_000))
def test_the_frame_shown_at_the_time_in_its_id_is_the_frame(time: Fraction) -> None:
    name = frame_id("DC_IMG_v", time)
    milliseconds = int(name.rpartition("_")[2])
    assert len(name) == len("DC_IMG_v_") + 9
    assert time <= Fraction(milliseconds, 1000) < time + Fraction(1, 1000)
