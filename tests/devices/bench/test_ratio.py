import numpy as np
import pytest

from edge_vos.devices.bench.ratio import paired_ratio


def test_equal_pairs_give_one() -> None:
    found = paired_ratio([20.0, 30.0, 40.0], [2.0, 3.0, 4.0], seed=0)
    assert (found.ratio, found.low, found.high) == pytest.approx((10.0, 10.0, 10.0))


def test_what_slows_both_cancels_out() -> None:
    rng = np.random.default_rng(0)
    machine = rng.uniform(1, 5, 12)
    found = paired_ratio((12 * machine).tolist(), (2 * machine).tolist(), seed=0)
    assert found.high - found.low < 1e-9


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for seed in range(60):
        theirs, ours = np.exp(rng.normal(0, 0.2, (2, 20)))
        found = paired_ratio((8 * theirs).tolist(), ours.tolist(), seed=seed)
        held += found.low <= 8 <= found.high
    assert 50 <= held <= 60


def test_it_is_repeatable() -> None:
    theirs, ours = [5.0, 6.0, 7.5], [1.0, 1.1, 0.9]
    assert paired_ratio(theirs, ours, seed=1) == paired_ratio(theirs, ours, seed=1)


@pytest.mark.parametrize(
    ("numerators", "denominators"), [([], []), ([1.0, 2.0], [1.0]), ([1.0], [0.0])]
)
def test_what_is_no_pair_is_refused(numerators: list[float], denominators: list[float]) -> None:
    with pytest.raises(ValueError, match=r"pairs|shape"):
        paired_ratio(numerators, denominators, seed=0)
