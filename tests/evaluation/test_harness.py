"""The adapter for lm-evaluation-harness: its three kinds of requests, and the scores of the harness's own model."""

import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

import tiny
from groundup.errors import GroundupError
from groundup.evaluation.harness import harness_model
from groundup.inference.loading import LoadedModel
from groundup.model.huggingface import save_huggingface
from groundup.tokenizer.tokenizer import Tokenizer

TOKENIZER = Tokenizer.train(["the cat sat on the mat"] * 10, vocabulary=280)


@dataclass
class Asked:
    """A request as the harness makes it."""

    args: tuple[Any, ...]


@pytest.fixture
def loaded() -> LoadedModel:
    made = tiny.model(3, vocab_size=TOKENIZER.vocabulary_size, max_position_embeddings=64).eval()
    return LoadedModel("m", made, TOKENIZER, frozenset({TOKENIZER.end_of_text}))


@pytest.fixture
def model(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Of a replacement for the harness, of which only the base class is used."""
    module = ModuleType("lm_eval.api.model")
    module.LM = object  # type: ignore[attr-defined]
    for name in ("lm_eval", "lm_eval.api"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, "lm_eval.api.model", module)
    return harness_model(loaded)


def logprobs(loaded: LoadedModel, ids: list[int]) -> torch.Tensor:
    with torch.no_grad():
        return torch.log_softmax(loaded.model(torch.tensor([ids]))[0][0], -1)


def test_log_likelihoods(model: Any, loaded: LoadedModel) -> None:
    context, continuation = "the cat", " sat on"
    before, ids = TOKENIZER.encode(context), TOKENIZER.encode(context + continuation)
    table = logprobs(loaded, ids)
    expected = sum(float(table[at - 1, ids[at]]) for at in range(len(before), len(ids)))
    ((found, greedy), (other, _)) = model.loglikelihood([Asked((context, continuation)), Asked(("", "the mat"))])
    assert found == pytest.approx(expected, abs=1e-4) and not greedy
    alone = [TOKENIZER.end_of_text, *TOKENIZER.encode("the mat")]
    table = logprobs(loaded, alone)
    assert other == pytest.approx(sum(float(table[at, alone[at + 1]]) for at in range(len(alone) - 1)), abs=1e-4)
    (whole,) = model.loglikelihood_rolling([Asked(("the mat",))])
    assert whole == pytest.approx(other, abs=1e-4)


def test_answers_end_at_their_strings(model: Any, loaded: LoadedModel) -> None:
    ids = TOKENIZER.encode("the cat")
    for _ in range(12):
        ids.append(int(logprobs(loaded, ids)[-1].argmax()))
    text = TOKENIZER.decode(ids[len(TOKENIZER.encode("the cat")) :], skip_special=True)
    stop = text[4:6]
    options = {"until": [stop], "max_gen_toks": 12, "do_sample": False}
    cut, short = model.generate_until([Asked(("the cat", options)), Asked(("the cat", {"max_gen_toks": 1}))])
    assert cut == text[: text.index(stop)] and text.startswith(short) and len(short) < len(text)


def test_without_the_harness_the_command_is_named(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lm_eval.api.model", None)
    with pytest.raises(GroundupError, match=r"groundup\[harness\]"):
        harness_model(loaded)


@pytest.mark.slow
def test_scores_are_those_of_the_harness_own_model(tmp_path: Path) -> None:
    """On a choice, a text to read and an answer to write, with the same folder read by transformers."""
    pytest.importorskip("lm_eval")
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    made = tiny.model(3, vocab_size=TOKENIZER.vocabulary_size, max_position_embeddings=64).eval()
    ends = {"end_of_text": TOKENIZER.end_of_text, "end": TOKENIZER.end, "pad": TOKENIZER.pad}
    folder = tmp_path / "model"
    save_huggingface(folder, made, "float32", **ends)
    TOKENIZER.save(folder / "tokenizer.json")
    special = {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "pad_token": "<|pad|>"}
    (folder / "tokenizer_config.json").write_text(
        str({"tokenizer_class": "PreTrainedTokenizerFast", **special}).replace("'", '"')
    )
    first = '{"q": "the cat", "c": ["sat on", "mat", "on the cat"], "a": 1}\n'
    rows = first + '{"q": "on", "c": ["the", "mat sat", "a"], "a": 0}\n'
    (tmp_path / "rows.jsonl").write_text(rows * 5)
    common = (
        f"dataset_path: json\ndataset_kwargs: {{data_files: {{test: {tmp_path / 'rows.jsonl'}}}}}\ntest_split: test\n"
    )
    tasks = {
        "choice": "output_type: multiple_choice\ndoc_to_text: '{{q}}'\ndoc_to_choice: '{{c}}'\ndoc_to_target: '{{a}}'\n"
        "metric_list: [{metric: acc}, {metric: acc_norm}]\n",
        "reading": "output_type: loglikelihood_rolling\ndoc_to_text: ''\ndoc_to_target: '{{q}} {{c[0]}}'\n"
        "metric_list: [{metric: bits_per_byte}]\n",
        "writing": "output_type: generate_until\ndoc_to_text: '{{q}}'\ndoc_to_target: '{{c[0]}}'\n"
        "generation_kwargs: {until: ['t'], max_gen_toks: 8, do_sample: false}\nmetric_list: [{metric: exact_match}]\n",
    }
    for name, text in tasks.items():
        (tmp_path / f"{name}.yaml").write_text(f"task: {name}\n{common}{text}")
    manager = TaskManager(include_path=str(tmp_path), include_defaults=False)
    options: dict[str, Any] = {"tasks": list(tasks), "task_manager": manager, "log_samples": True, "bootstrap_iters": 0}
    ours = simple_evaluate(model=harness_model(folder), **options)
    theirs = simple_evaluate(model=HFLM(pretrained=str(folder), device="cpu", dtype="float32"), **options)
    for name in tasks:
        for measure, value in theirs["results"][name].items():
            if isinstance(value, float):
                assert ours["results"][name][measure] == pytest.approx(value, abs=1e-5), (name, measure)
        for mine, other in zip(ours["samples"][name], theirs["samples"][name], strict=True):
            assert str(mine["filtered_resps"])[:8] == str(other["filtered_resps"])[:8]
