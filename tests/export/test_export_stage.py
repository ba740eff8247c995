"""The exported folder in transformers' hands: same logits, same ids, same prompts; and back as a ChatModel."""

import json
from pathlib import Path

import pytest
import torch

import tiny
from groundup.alignment.data.questions import Item, write_items
from groundup.artifacts import Work
from groundup.errors import GroundupError
from groundup.export.configuration import ExportConfig
from groundup.export.stage import stage
from groundup.inference.chat_model import ChatModel
from groundup.inference.continuation import continue_prompts
from groundup.inference.loading import CARD
from groundup.model.decoder import CustomLanguageModel
from groundup.model.weights import named_weights, save_model
from groundup.tokenizer.chat import render

ITEMS = [
    Item("os.path.join", "summary", "Join two or more pathname components.", "d1"),
    Item("os.path.join", "parameters", "a, *p", "d1"),
    Item("Join two or more pathname components.", "which", "os.path.join", "d1"),
    Item("json.dumps", "summary", "Serialise an object.", "d2"),
]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, CustomLanguageModel]:
    root = tmp_path_factory.mktemp("run")
    made = tiny.model(vocab_size=tiny.tokenizer().vocabulary_size, max_position_embeddings=256)
    for name in ("tokenizer", "sft", "ppo", "export"):
        (root / name).mkdir()
    tiny.tokenizer().save(root / "tokenizer" / "tokenizer.json")
    write_items(root / "sft" / "items.jsonl", ITEMS)
    save_model(root / "ppo" / "model", made)
    inputs = {
        "tokenizer": tiny.artifact(root / "tokenizer", "tokenizer", {}),
        "sft": tiny.artifact(root / "sft", "sft", {"questions": 4, "turns": 1}),
        "ppo": tiny.artifact(root / "ppo", "ppo", {}),
    }
    figures = stage(ExportConfig(dtype="float32"), inputs, Work(root / "export", root, seed=0))
    assert figures["subjects"] == 2
    return root / "export", made


def test_logits(exported: tuple[Path, CustomLanguageModel]) -> None:
    from transformers import AutoModelForCausalLM

    folder, made = exported
    idx = tiny.ids(2, 50, vocabulary=made.config.vocab_size)
    with torch.no_grad():
        theirs = AutoModelForCausalLM.from_pretrained(folder)(idx).logits
        assert torch.allclose(made(idx)[0], theirs, rtol=0, atol=1e-4)
    back = ChatModel.load(folder).model
    assert all(torch.equal(tensor, named_weights(back)[name]) for name, tensor in named_weights(made).items())


TEXTS = ["What does os.path.join do?", " the thing\n\n  über 漢字 🙂\t12345", "", "don't WE'LL"]


def test_token_ids(exported: tuple[Path, CustomLanguageModel]) -> None:
    from transformers import AutoTokenizer

    theirs, ours = AutoTokenizer.from_pretrained(exported[0]), tiny.tokenizer()
    for text in TEXTS:
        assert theirs(text, add_special_tokens=True)["input_ids"] == ours.encode(text)
        assert theirs.decode(ours.encode(text)) == text
    assert (theirs.bos_token_id, theirs.eos_token_id, theirs.pad_token_id) == (ours.end_of_text, ours.end, ours.pad)
    assert theirs.model_max_length == 256


CONVERSATIONS = [
    [{"role": "user", "content": "What does os.path.join do?"}],
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": " Hi \n"}],
    [
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": "The one."},
        {"role": "user", "content": "And {% two %}?"},
    ],
]


@pytest.mark.parametrize("messages", CONVERSATIONS)
def test_chat_prompts(messages: list[dict[str, str]], exported: tuple[Path, CustomLanguageModel]) -> None:
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(exported[0])
    prompt = theirs.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)["input_ids"]
    assert prompt == render(messages, tiny.tokenizer(), answer_prompt=True)[0]
    whole = [*messages, {"role": "assistant", "content": "So it is."}]
    marked = theirs.apply_chat_template(whole, return_dict=True, return_assistant_tokens_mask=True)
    ids, trained = render(whole, tiny.tokenizer())
    assert marked["input_ids"] == ids
    assert [bool(mark) for mark in marked["assistant_masks"]] == trained


def test_answers_are_those_of_transformers(exported: tuple[Path, CustomLanguageModel]) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder, made = exported
    tokenizer = AutoTokenizer.from_pretrained(folder)
    asked = tokenizer.apply_chat_template(
        CONVERSATIONS[0], add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    given = AutoModelForCausalLM.from_pretrained(folder).generate(**asked, max_new_tokens=20)
    prompt = asked["input_ids"][0].tolist()
    (ours,) = continue_prompts(made, [prompt], stop={tiny.tokenizer().end}, max_tokens=20)
    assert given[0, len(prompt) :].tolist() == ours.tokens
    answer = ChatModel.load(folder).stream(CONVERSATIONS[0], max_tokens=20)
    assert "".join(answer) == tiny.tokenizer().decode(ours.tokens, skip_special=True)


def test_the_card_lists_what_was_taught(exported: tuple[Path, CustomLanguageModel]) -> None:
    chat = ChatModel.load(exported[0])
    assert chat.taught.subjects == ["json.dumps", "os.path.join"]
    assert chat.examples == ["What does os.path.join do?", "What does json.dumps do?"]
    assert "what the Python documentation says of 2 symbols" in chat.introduction
    assert json.loads((exported[0] / CARD).read_text())["made_from"].keys() == {"tokenizer", "sft", "ppo"}


def test_the_same_inputs_give_the_same_files(exported: tuple[Path, CustomLanguageModel], tmp_path: Path) -> None:
    folder, _ = exported
    names = ("tokenizer", "sft", "ppo")
    inputs = {name: tiny.artifact(folder.parent / name, name, {"questions": 4, "turns": 1}) for name in names}
    out = tmp_path / "again"
    out.mkdir()
    stage(ExportConfig(dtype="float32"), inputs, Work(out, tmp_path, seed=0))
    for path in out.iterdir():
        assert path.read_bytes() == (folder / path.name).read_bytes(), path.name


def copied(folder: Path, to: Path) -> Path:
    to.mkdir()
    for path in folder.iterdir():
        (to / path.name).write_bytes(path.read_bytes())
    return to


def test_a_folder_without_its_parts_is_refused(exported: tuple[Path, CustomLanguageModel], tmp_path: Path) -> None:
    for name in ("tokenizer.json", "config.json", "model.safetensors"):
        folder = copied(exported[0], tmp_path / f"without-{name}")
        (folder / name).unlink()
        with pytest.raises(GroundupError, match=name.replace(".", r"\.")):
            ChatModel.load(folder)


@pytest.mark.parametrize("content", [[], {}, {"name": "x"}, {"name": "x", "subjects": 3}])
def test_a_damaged_card_is_refused(content: object, exported: tuple[Path, CustomLanguageModel], tmp_path: Path) -> None:
    folder = copied(exported[0], tmp_path / "damaged")
    (folder / CARD).write_text(json.dumps(content))
    with pytest.raises(GroundupError, match=CARD):
        ChatModel.load(folder)


def test_a_tokenizer_of_another_size_is_refused(exported: tuple[Path, CustomLanguageModel], tmp_path: Path) -> None:
    from groundup.tokenizer.tokenizer import Tokenizer

    folder = copied(exported[0], tmp_path / "mixed")
    Tokenizer([*tiny.MERGES, (116, 111)]).save(folder / "tokenizer.json")
    with pytest.raises(GroundupError, match="the tokenizer has"):
        ChatModel.load(folder)
