"""Which rows of two tracks are of one moment."""

from __future__ import annotations

import torch

from models import Context
from models._faces_in_view import FacesInView, meet


def test_rows_meet_those_of_the_other_track_at_the_same_time() -> None:
    none = torch.inf
    times = torch.tensor([[0.02, 0.06, 0.10, 0.14], [0.085, 0.13, 0.5, none], [9.0, none, none, none]])
    nearest, near = meet(times, times.isfinite())
    assert near[0, 1].tolist() == [False, True, True, True], "0.025 s away is near"
    assert nearest[0, 1, 1:].tolist() == [0, 0, 1]
    assert near[1, 0].tolist() == [True, True, False, False] and nearest[1, 0, :2].tolist() == [2, 3]
    assert not near[2].any() and not near[:, 2].any() and not near[range(3), range(3)].any()


def test_a_row_that_is_missing_is_met_by_nobody() -> None:
    times = torch.tensor([[0.0, 0.04], [0.0, 0.04]])
    _, near = meet(times, torch.tensor([[True, True], [False, True]]))
    assert near[0, 1].tolist() == [False, True] and near[1, 0].tolist() == [False, True]


def test_of_several_others_each_counts_by_how_it_fits_and_their_order_does_not_matter() -> None:
    torch.manual_seed(0)
    layer, rows = FacesInView(8, 0.0).eval(), torch.randn(4, 5, 8)
    real, times = torch.ones(4, 5, dtype=torch.bool), (torch.arange(5) / 25).expand(4, 5).contiguous()
    zeros = torch.zeros(4, dtype=torch.int64)

    def found(order: list[int]) -> torch.Tensor:
        place = torch.tensor(order)
        context = Context(zeros[place], zeros[place], zeros[place], zeros[place].float(), times[place])
        together: torch.Tensor = layer(rows[place], real[place], context)
        return together

    with torch.no_grad():
        whole = found([0, 1, 2, 3])
        torch.testing.assert_close(found([2, 0, 3, 1])[1], whole[0])
        assert not torch.allclose(found([0, 1, 2])[0], whole[0])
