"""The linear model learns what PyTorch learns from the same features, and is the same bytes each time."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
import torch
from made_up import documents

from groundup.corpus.quality.configuration import QualityTraining
from groundup.corpus.quality.features import RING, hashed
from groundup.corpus.quality.linear import LinearModel, train_linear
from groundup.errors import GroundupError
from groundup.kernels.arrow import buffers


def config(**fields):
    return QualityTraining(good=("x",), **fields)


def features_by_row(texts, config):
    buffer, offsets = buffers(texts)
    rows = []
    for start, end in pairwise(offsets):
        found = np.zeros(max(1, config.word_ngrams * (end - start)), np.uint32)
        count = hashed(buffer, start, end, config.word_ngrams, np.zeros(RING, np.uint64), config.buckets, found)
        rows.append(found[:count].astype(np.int64))
    return rows


def test_one_step_is_adagrad_of_pytorch():
    """A few texts, one epoch, against torch.optim.Adagrad on the same loss, where no feature is twice in a text."""
    texts = pa.array(["alpha beta gamma", "delta beta", "gamma epsilon zeta eta", "theta", "beta alpha"])
    good = np.array([True, False, True, False, False])
    wanted = config(epochs=3, learning_rate=0.1, buckets=1 << 12, seed=5)
    model = train_linear(texts, good, wanted)

    weights = torch.zeros(wanted.buckets, requires_grad=True)
    bias = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adagrad([weights, bias], lr=0.1, eps=1e-9)
    rows = features_by_row(texts, wanted)
    draw = np.random.Generator(np.random.PCG64(5))
    for _ in range(3):
        for row in draw.permutation(len(texts)):
            features = torch.from_numpy(rows[row])
            assert len(set(features.tolist())) == len(features)
            margin = bias + weights[features].sum() / len(features) ** 0.5
            loss = torch.nn.functional.binary_cross_entropy_with_logits(
                margin, torch.tensor([float(good[row])], dtype=torch.float64)
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    np.testing.assert_allclose(model.weights, weights.detach().numpy(), rtol=1e-4, atol=1e-6)
    assert model.bias == pytest.approx(float(bias.detach()), rel=1e-5)
    expected = [model.bias + model.weights[row].sum() / len(row) ** 0.5 for row in rows]
    np.testing.assert_allclose(model.margins(texts), expected, rtol=1e-5)


def test_it_learns_and_repeats():
    """Texts it has not seen are distinguished; the same examples and seed give the same bits, another seed others."""
    texts, good = documents(1, 600)
    first, again = (train_linear(texts, good, config(buckets=1 << 16)) for _ in range(2))
    assert first.weights.tobytes() == again.weights.tobytes()
    assert first.bias == again.bias
    assert train_linear(texts, good, config(buckets=1 << 16, seed=2)).weights.tobytes() != first.weights.tobytes()
    unseen, truth = documents(2, 600)
    assert np.mean((first.margins(unseen) > 0) == truth) > 0.85


def test_scores_do_not_depend_on_the_batch():
    """Slices, large strings and batches of one give the same margins; a text without words gets the bias."""
    texts, good = documents(3, 60)
    model = train_linear(texts, good, config(buckets=1 << 14, word_ngrams=3))
    whole = model.margins(texts)
    assert np.array_equal(model.margins(texts.slice(7, 20)), whole[7:27])
    assert np.array_equal(model.margins(texts.cast(pa.large_string())), whole)
    assert np.array_equal(np.concatenate([model.margins(texts.slice(at, 1)) for at in range(60)]), whole)
    assert model.margins(pa.array(["", " \n "])).tolist() == [model.bias] * 2
    assert len(model.margins(pa.array([], pa.string()))) == 0


def test_saved_and_read(tmp_path):
    """What is read is what was saved; a damaged file is named."""
    model = LinearModel(np.arange(8, dtype=np.float32), 0.25, 2)
    model.save(tmp_path / "m.safetensors")
    read = LinearModel.load(tmp_path / "m.safetensors", model.facts())
    assert np.array_equal(read.weights, model.weights)
    assert (read.bias, read.word_ngrams) == (0.25, 2)
    (tmp_path / "m.safetensors").write_bytes(b"no")
    with pytest.raises(GroundupError, match=r"m\.safetensors: is no linear quality model"):
        LinearModel.load(tmp_path / "m.safetensors", model.facts())
    LinearModel(np.zeros(3, np.float32), 0.0, 2).save(tmp_path / "odd.safetensors")
    with pytest.raises(GroundupError, match="power of two"):
        LinearModel.load(tmp_path / "odd.safetensors", model.facts())
