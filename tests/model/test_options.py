"""Options of the decoder: what each adds to logits, loss, first weights and learning rates."""

import math

import families
import pytest
import torch
import torch.nn.functional as F

import tiny
from groundup.model.cache import Appended
from groundup.model.decoder import CustomLanguageModel
from groundup.model.inputs import DecoderInputs

OWN = {"hidden_act": "relu2", "gated_mlp": False, "qk_norm": True, "zero_init_outputs": True}


def logits_of(model: CustomLanguageModel, length: int = 20) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(tiny.ids(2, length))[0]
    return found


def test_capped_logits() -> None:
    plain, capped = tiny.model(), tiny.model(final_logit_softcapping=2.0)
    assert logits_of(plain).abs().max() > 4
    assert torch.allclose(logits_of(capped), 2 * torch.tanh(logits_of(plain) / 2), atol=1e-6)


def test_z_loss() -> None:
    """The mean over counted targets of the squared log-normaliser, and its gradient."""
    plain, pulled = tiny.model(), tiny.model(z_loss_coef=0.1)
    idx, targets = tiny.ids(2, 20), tiny.ids(2, 20, seed=1)
    targets[0, :7] = -100
    loss = F.cross_entropy((logits := plain(idx)[0]).flatten(0, 1), targets.flatten())
    normaliser = logits[targets != -100].exp().sum(-1).log()
    expected = loss + 0.1 * (normaliser**2).mean()
    found = pulled(idx, targets)[1]
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)
    expected.backward()
    found.backward()
    assert tiny.same_gradients(plain, pulled)


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ("llama", {}),
        ("llama", {"final_logit_softcapping": 3.0, "z_loss_coef": 0.01, "mup_base_width": 8}),
        ("mixtral", {"z_loss_coef": 0.01, "router_aux_loss_coef": 0.05}),
        ("qwen3", {"tie_word_embeddings": False}),
    ],
)
def test_the_sum_of_losses_is_their_mean_times_their_number(shape: str, options: dict[str, float]) -> None:
    """`loss_sum`, which holds no logits, against `forward`, which does: values and gradients."""
    ours, other = families.make(shape, **options), families.make(shape, **options)
    idx, targets = tiny.ids(2, 20), tiny.ids(2, 20, seed=1)
    targets[1, 3:] = -100
    documents = (torch.arange(20) // 8)[None].expand(2, -1)
    counted = int((targets != -100).sum())
    _, mean = ours(idx, targets, documents)
    total = other.loss_sum(idx, targets, documents)
    assert total.item() == pytest.approx(mean.item() * counted, rel=1e-5)
    mean.backward()
    (total / counted).backward()
    assert tiny.same_gradients(ours, other)
    with torch.no_grad():
        nats = other.loss_sum(idx, targets, documents, auxiliary=False)
        logits = other(idx, documents_BT=documents)[0]
    assert nats.item() == pytest.approx(
        F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum").item()
    )


@pytest.mark.parametrize("name", ["attention_dropout", "resid_pdrop", "embd_pdrop"])
@pytest.mark.parametrize("length", [20, 300], ids=["short", "long"])
def test_dropout_drops_in_training_alone(name: str, length: int) -> None:
    """Its mean over many draws is the plain model, as far as the first layer's norm lets it be."""
    long = {"max_position_embeddings": 320}
    plain, dropping = tiny.model(**long).eval(), tiny.model(**{name: 0.3}, **long)
    assert torch.equal(logits_of(dropping.eval(), length), logits_of(plain, length))
    dropping.train()
    torch.manual_seed(1)
    first = logits_of(dropping, length)
    torch.manual_seed(1)
    assert torch.equal(logits_of(dropping, length), first)
    assert not torch.allclose(logits_of(dropping, length), first)


def test_attention_dropout_is_unbiased() -> None:
    from groundup.model.attention import attend_eager

    q, k, v = torch.randn(3, 1, 2, 12, 8, generator=torch.Generator().manual_seed(0)).unbind(0)
    torch.manual_seed(0)
    mean = torch.stack([attend_eager(q, k, v, dropout=0.4) for _ in range(4000)]).mean(0)
    assert torch.allclose(mean, attend_eager(q, k, v), atol=0.1)


def test_zero_outputs_start_at_guessing() -> None:
    """Untied, every logit is 0; tied, the layers pass the embedding on as it is. And it learns from there."""
    untied = CustomLanguageModel(tiny.shape(**OWN, tie_word_embeddings=False))
    loss = untied(tiny.ids(2, 20), tiny.ids(2, 20, seed=1))[1]
    assert loss.item() == pytest.approx(math.log(61), rel=1e-6)
    tied = CustomLanguageModel(tiny.shape(**OWN))
    ids = tiny.ids(1, 9)
    assert torch.equal(tied.features(DecoderInputs(ids)), tied.model.norm(tied.model.embed_tokens(ids)))
    for model in (untied, tied):
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
        for _ in range(60):
            loss = model(tiny.ids(2, 20), tiny.ids(2, 20, seed=1))[1]
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        assert loss.item() < 0.5


def test_squared_relu_without_a_gate() -> None:
    ours = tiny.model(hidden_act="relu2", gated_mlp=False)
    mlp, x = ours.model.layers[0].mlp, torch.randn(5, 32, generator=torch.Generator().manual_seed(0))
    up = x @ mlp.up_proj.weight.T
    assert torch.allclose(mlp(x), torch.where(up > 0, up * up, 0 * up) @ mlp.down_proj.weight.T, atol=1e-5)


WIDTHS = (32, 64, 128, 256)


def coordinates(scaled: bool, width: int) -> tuple[float, float]:
    """Mean size of the logits and of the last layer's output after a few steps of Adam on one batch."""
    base = {"mup_base_width": 32} if scaled else {}
    heads = width // 16
    sizes = {"hidden_size": width, "intermediate_size": 2 * width, "num_attention_heads": heads}
    ours = CustomLanguageModel(
        tiny.shape(**sizes, num_key_value_heads=heads, tie_word_embeddings=False, initializer_range=0.1, **base)
    )
    rates = ours.learning_rate_multipliers()
    groups = [{"params": [p], "lr": 0.02 * rates[name]} for name, p in ours.named_parameters()]
    optimizer = torch.optim.Adam(groups)
    for _ in range(4):
        ours(tiny.ids(4, 16), tiny.ids(4, 16, seed=1))[1].backward()
        optimizer.step()
        optimizer.zero_grad()
    with torch.no_grad():
        idx = tiny.ids(4, 16)
        x = ours.model.embed_tokens(idx)
        rotary = ours.model.rotary(torch.arange(16)[None])
        for block in ours.model.layers:
            x = block(x, rotary)[0]
        return ours(idx)[0].abs().mean().item(), x.abs().mean().item()


def test_coordinate_check_of_mup() -> None:
    """ArXiv 2203.03466, appendix D.1: with muP sizes don't grow with the width, without it they do."""
    scaled, plain = ([coordinates(one, width) for width in WIDTHS] for one in (True, False))
    logits, stream = zip(*scaled, strict=True)
    assert max(stream) < 1.6 * min(stream)
    assert logits[0] * 1.2 > logits[-1] > logits[0] / 2  # at first they fall, with the root of the width
    for first, last in zip(plain[0], plain[-1], strict=True):
        assert last > 2.5 * first


def test_learning_rates_of_mup() -> None:
    rates = families.make("qwen3 moe", mup_base_width=8).learning_rate_multipliers()
    assert rates["model.embed_tokens.weight"] == rates["model.norm.weight"] == 1
    assert rates["model.layers.0.self_attn.q_norm.weight"] == 1
    assert rates["model.layers.0.mlp.experts.down_proj"] == rates["model.layers.1.self_attn.q_proj.weight"] == 0.25
    assert set(families.make("qwen3 moe").learning_rate_multipliers().values()) == {1.0}


def test_an_own_mixture_of_options_decodes_with_its_cache() -> None:
    ours = tiny.model(
        seed=2, **OWN, sliding_window=4, final_logit_softcapping=5.0, position_embedding="learned", norm="layer_norm"
    )
    idx, cache = tiny.ids(1, 15), families.cache_for(ours, 1, 15)
    with torch.no_grad():
        full = ours(idx)[0]
        ours.features(DecoderInputs(idx[:, :3], cache=Appended(cache, [0], [3])))
        for position in range(3, 15):
            appended = Appended(cache, [position], [1])
            logits = ours.head(ours.features(DecoderInputs(idx[:, position : position + 1], cache=appended)))
            assert torch.allclose(logits[:, 0], full[:, position], atol=1e-5)
