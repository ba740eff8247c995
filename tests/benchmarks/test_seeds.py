"""Several runs' figures become one table: each with mean and range, and nothing that a run did not measure."""

from benchmarks.seeds import figures_of, summary, table


def report(exact: float, seconds: float) -> dict[str, object]:
    return {
        "method": None,
        "pretrain": {"bits_per_byte": {"model": 1.5}},
        "sft": {"tune": {"exact_match": 0.5}, "answers": {"unseen": {"exact_match": exact}}},
        "seconds": {"sft": seconds, "pretrain": 60.0},
        "peak_rss_bytes": {"sft": 2**30, "pretrain": 2**20},
    }


def test_mean_and_range_over_seeds() -> None:
    by_seed = {seed: figures_of(report(exact, 60.0 * seed)) for seed, exact in ((1, 0.9), (2, 0.8), (3, 1.0))}
    rows = summary(by_seed)
    assert rows["exact, sft, unseen phrasings"] == {"mean": 0.9, "min": 0.8, "max": 1.0}
    assert rows["minutes"] == {"mean": 3.0, "min": 2.0, "max": 4.0}
    assert rows["peak memory, MiB"]["max"] == 1024
    assert "gain of token F1" not in rows
    assert "0.900     0.800     1.000" in table(rows, [1, 2, 3])
