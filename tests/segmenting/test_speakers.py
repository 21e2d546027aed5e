"""Groups, counts and paths with known answers."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.segmenting.speakers import (best_path, count_groups, group_windows, label_steps, likelihood,
                                          neighbour_graph, resegment, spectrum, speech_frames, speech_windows,
                                          standardised, supervectors)

RANDOM = np.random.default_rng(0)
CENTRES = np.eye(3, 12)
TRUE = np.repeat([0, 1, 2], 40)
ROWS = CENTRES[TRUE] + RANDOM.normal(0, 0.1, (120, 12))


@pytest.mark.parametrize("num_samples", [0, 1, 159, 160, 161, 38_641, 38_730])
def test_frames_are_as_many_as_steps(num_samples: int) -> None:
    found = speech_frames(np.ones(num_samples, np.float32))
    assert found.shape == (-(-num_samples // 160), 19) and np.isfinite(found).all()


def test_a_change_of_sound_is_seen_at_its_step() -> None:
    sound = np.concatenate([np.zeros(8000), RANDOM.normal(0, 0.1, 8000)]).astype(np.float32)
    moved = np.abs(np.diff(speech_frames(sound), axis=0)).sum(1)
    assert abs(int(moved.argmax()) - 49) <= 1


def test_speech_has_one_scale_and_all_else_is_nothing() -> None:
    speech = np.arange(120) % 3 > 0
    found = standardised(ROWS, speech)
    np.testing.assert_allclose(found[speech].mean(0), 0, atol=1e-9)
    np.testing.assert_allclose(found[speech].std(0), 1)
    assert not found[~speech].any() and not standardised(ROWS, np.zeros(120, bool)).any()


def test_windows_cover_all_speech_and_nothing_else() -> None:
    speech = np.repeat([0, 1, 0, 1, 0, 1], [5, 47, 3, 2, 9, 20]).astype(bool)
    covered = np.zeros(len(speech), bool)
    for start, stop in speech_windows(speech, 15, 5):
        assert speech[start:stop].all() and stop - start <= 15
        covered[start:stop] = True
    np.testing.assert_array_equal(covered, speech)
    assert speech_windows(np.zeros(9, bool), 15, 5).shape == (0, 2)
    with pytest.raises(ValueError, match="at least 1 step, found 0 and 5"):
        speech_windows(speech, 0, 5)


def test_groups_that_are_there_are_counted_and_told_apart() -> None:
    graph = neighbour_graph(ROWS, 0.25)
    np.testing.assert_array_equal(graph, graph.T)
    values, vectors = spectrum(graph, 6)
    answers = [group_windows(vectors, number) for number in range(1, 6)]
    likelihoods = np.array([likelihood(ROWS.repeat(20, axis=0), answer.repeat(20)) for answer in answers])
    assert count_groups(values, likelihoods, 2400, 0.5) == 3
    found = group_windows(vectors, 3)
    assert len({(a, b) for a, b in zip(found.tolist(), TRUE.tolist(), strict=True)}) == 3


def test_one_window_is_one_group() -> None:
    values, vectors = spectrum(neighbour_graph(ROWS[:1], 0.2), 6)
    assert group_windows(vectors, 3).tolist() == [0]


def test_equal_rows_are_grouped_without_a_word() -> None:
    _, vectors = spectrum(neighbour_graph(np.ones((30, 4)), 0.2), 6)
    assert group_windows(vectors, 4).shape == (30,)


def test_a_step_is_whose_windows_say_it_is() -> None:
    speech = np.array([1, 1, 1, 1, 1, 1, 0, 1, 1], bool)
    found = label_steps(np.array([[0, 4], [2, 6]]), np.array([0, 1]), speech)
    assert found.tolist() == [0, 0, 0, 1, 1, 1, -1, 1, 1]


def test_a_path_changes_only_when_it_pays() -> None:
    levels = np.array([[1.0, 0], [1, 0], [0, 0.5], [1, 0], [0, 9], [0, 9]])
    assert best_path(levels, 0.1).tolist() == [0, 0, 1, 0, 1, 1]
    assert best_path(levels, 0.4).tolist() == [0, 0, 0, 0, 1, 1]
    assert best_path(levels, 1000).tolist() == [1] * 6


def test_boundaries_move_to_where_the_sound_changes() -> None:
    frames = np.concatenate([RANDOM.normal(-1, 0.5, (300, 5)), RANDOM.normal(1, 0.5, (300, 5))])
    rough = np.where(np.arange(600) < 230, 0, 1)
    rough[100:120] = -1
    found = resegment(frames, rough, switch_cost=20)
    assert (found[100:120] == -1).all()
    assert abs(int((found == 0).sum()) - 280) <= 5 and (found[310:] == 1).all()


def test_equal_windows_have_equal_rows_and_others_do_not() -> None:
    frames = RANDOM.normal(0, 1, (300, 5)) + np.repeat([-1, 1, -1], 100)[:, None]
    frames[200:] = frames[:100]
    speech = np.ones(400, bool)
    speech[250:350] = False
    spread = np.zeros((400, 5))
    spread[speech] = frames
    rows = supervectors(spread, speech, np.array([[0, 50], [100, 150], [200, 250], [50, 100], [350, 400]]))
    np.testing.assert_allclose(rows[0], rows[2])
    np.testing.assert_allclose(rows[3], rows[4])
    assert np.abs(rows[0] - rows[1]).max() > 0.1


def test_a_group_of_its_own_is_worth_it_only_where_sounds_differ() -> None:
    near, far = RANDOM.normal(0, 1, (2, 400, 5)), RANDOM.normal(0, 1, (2, 400, 5)) + [[[0]], [[4]]]
    one, two = np.zeros(800, int), np.repeat([0, 1], 400)
    gains = [likelihood(frames.reshape(-1, 5), two) - likelihood(frames.reshape(-1, 5), one) for frames in (near, far)]
    assert 0 <= gains[0] < 0.2 < 0.5 < gains[1]
    assert likelihood(far.reshape(-1, 5), np.full(800, -1)) == 0
    unsure, gain = np.array([0.0, 0.2, 0.3, 0.4]), np.array([0, 0.6])
    assert count_groups(unsure, gain, 5000, 0.2) == 2 and count_groups(unsure, gain, 5000, 0.9) == 1
    assert count_groups(unsure, gain, 500, 0.5) == 1 and count_groups(unsure, gain, 50_000, 0.5) == 2


def test_the_greater_jump_of_eigenvalues_is_where_groups_end() -> None:
    equal = np.array([0, 0.6, 1.2])
    assert count_groups(np.array([0, 0.02, 0.5, 0.6]), equal, 5000, 0.6) == 2
    assert count_groups(np.array([0, 0.02, 0.03, 0.6]), equal, 5000, 0.6) == 3
