"""Checks across sections: values of a blueprint that are each valid and don't fit together."""

import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from groundup.blueprint.configuration import Blueprint
from groundup.blueprint.layouts import impossible_layouts
from groundup.blueprint.problems import Problem
from groundup.blueprint.tree import Node
from groundup.blueprint.validate import where_of
from groundup.corpus.sources import source_names
from groundup.errors import GroundupError
from groundup.planning.needed import missing_inputs
from groundup.planning.size import MAX_LAYERS, largest, parameters_of
from groundup.section import Section

_PATTERN = re.compile(r"[*?[]")


def together(blueprint: Blueprint, root: Node) -> list[Problem]:
    """All misfits of a blueprint whose derived values are filled in; each blames a key that the person wrote."""
    found = list(_misfits(blueprint)) or list(impossible_layouts(blueprint))
    return [
        Problem(where_of(root, *paths), next((path for path in paths if root.at(path)), paths[0]), what)
        for paths, what in found
    ]


def size_of(blueprint: Blueprint, root: Node) -> list[Problem]:
    """Whether a model of about that size can be shaped at all."""
    wanted = parameters_of(blueprint.size)
    if wanted == 0:
        return [Problem(where_of(root, "size"), "size", "expected more than no parameters")]
    if blueprint.pretrain.model.layers is None and wanted > 2 * _largest(blueprint):
        what = f"expected at most {_largest(blueprint):.2g} parameters, the most that {MAX_LAYERS} layers can hold"
        return [Problem(where_of(root, "size"), "size", what)]
    return []


def missing_files(blueprint: Blueprint, root: Node, base: Path) -> list[Problem]:
    """A problem for every file or folder that the blueprint names and that is not there.

    Args:
        base: the folder at which relative paths start.
    """
    problems = []
    for dotted, path in _paths(blueprint, ""):
        full = base / path.expanduser()
        try:
            there = full.exists() or bool(_PATTERN.search(str(path)))  # curate reports a pattern that finds nothing
        except OSError as error:  # a name too long, a loop of links, a folder that may not be entered
            problems.append(Problem(where_of(root, dotted), dotted, f"{full} can't be read ({error.strerror})"))
            continue
        if not there:
            problems.append(Problem(where_of(root, dotted), dotted, f"there is no file or folder {full}"))
    return problems


def unusable_data(blueprint: Blueprint, root: Node, base: Path) -> list[Problem]:
    """A problem for every data file of the later stages that can't be used, before hours of training reach it.

    Args:
        base: the folder at which relative paths start.
    """
    from groundup.alignment.data.data_reading import (  # loading needs none
        read_comparisons,
        read_conversations,
        read_labelled,
        read_tasks,
    )
    from groundup.evaluation.tasks.task import read_rows, read_task

    readers: dict[str, tuple[Path | None, Callable[[Path], object]]] = {
        "sft.data": (blueprint.sft.data, read_conversations),
        "reward.data": (blueprint.reward.data, read_comparisons),
        "dpo.data": (blueprint.dpo.data, read_labelled if blueprint.dpo.loss == "kto" else read_comparisons),
        "grpo.data": (blueprint.grpo.data, partial(read_tasks, verifier=blueprint.grpo.verifier)),
        "evaluate.data": (blueprint.evaluate.data, partial(read_tasks, answered=True)),
        **{
            f"pretrain.validation_tasks.{index}": (path, lambda path: read_rows(read_task(path).data))
            for index, path in enumerate(blueprint.pretrain.validation_tasks)
        },
    }
    problems = []
    for dotted, (path, read) in readers.items():
        if path is None or not (base / path.expanduser()).exists():
            continue  # `missing_files` reports that
        try:
            read(base / path.expanduser())
        except GroundupError as error:
            problems.append(Problem(where_of(root, dotted), dotted, str(error)))
    return problems


def unknown_sources(blueprint: Blueprint, root: Node, base: Path) -> list[Problem]:
    """A problem for every source in pretraining's mixture that `curate` does not read.

    Args:
        base: the folder at which relative paths start; a source without a name is called after its path.
    """
    names, pretrain = source_names(blueprint.curate.sources, base), blueprint.pretrain
    epochs = pretrain.epochs if isinstance(pretrain.epochs, dict) else {}
    return [
        Problem(
            where_of(root, f"pretrain.{key}.{name}", f"pretrain.{key}"),
            f"pretrain.{key}.{name}",
            f"there is no such source; curate.sources are {', '.join(names)}",
        )
        for key, given in (("mixture", pretrain.mixture or {}), ("epochs", epochs))
        for name in given
        if name not in names
    ]


def _misfits(blueprint: Blueprint) -> Iterator[tuple[tuple[str, ...], str]]:
    pretrain, model, rules = blueprint.pretrain, blueprint.pretrain.model, blueprint.curate.rules
    width, heads, kv_heads = model.width, model.heads, model.kv_heads
    assert width and heads and kv_heads and pretrain.batch_tokens
    for key, what in missing_inputs(blueprint):
        yield (key,), what
    width_keys = ("pretrain.model.heads", "pretrain.model.width")
    if blueprint.start is None and width % heads:
        yield width_keys, f"a width of {width} can't be split into {heads} heads; choose a divisor of {width}"
    elif blueprint.start is None and width // heads % 2 and model.architecture != "gpt2":
        yield (
            width_keys,
            f"a width of {width} over {heads} makes heads of {width // heads}; RoPE needs an even size",
        )
    if heads % kv_heads:
        what = (
            f"{heads} query heads can't be divided evenly among {kv_heads} key-value heads; choose a divisor of {heads}"
        )
        yield ("pretrain.model.kv_heads", "pretrain.model.heads"), what
    if model.architecture == "gpt2" and heads != kv_heads:
        what = f"gpt2 has as many key-value heads as heads, {heads}; remove kv_heads, or choose another architecture"
        yield ("pretrain.model.kv_heads", "pretrain.model.architecture"), what
    if model.window is not None and model.architecture != "mistral":
        what = f"{model.architecture} has no window; remove it, or choose the architecture mistral"
        yield ("pretrain.model.window", "pretrain.model.architecture"), what
    for dotted, path in _paths(blueprint, ""):
        try:
            path.expanduser()
        except RuntimeError:
            yield (dotted,), f"there is no user {path.parts[0][1:]}, whose folder {path.parts[0]} would be"
    if pretrain.sequence > model.context:
        what = f"sequences of {pretrain.sequence} tokens are longer than pretrain.model.context, {model.context}"
        yield ("pretrain.sequence", "pretrain.model.context"), what
    if pretrain.batch_tokens < pretrain.sequence * pretrain.accumulate:
        needed = f"pretrain.sequence {pretrain.sequence} x pretrain.accumulate {pretrain.accumulate}"
        what = f"a batch of {pretrain.batch_tokens:,} tokens holds no sequence for each micro-batch ({needed})"
        yield ("pretrain.batch_tokens", "pretrain.accumulate", "pretrain.sequence"), what
    for stage, length in (
        ("ppo", blueprint.ppo.max_answer_tokens),
        ("grpo", blueprint.grpo.max_answer_tokens),
        ("evaluate", blueprint.evaluate.max_answer_tokens),
    ):
        if length >= model.context:
            what = f"answers of {length} tokens leave no room for a question in pretrain.model.context, {model.context}"
            yield (f"{stage}.max_answer_tokens", "pretrain.model.context"), what
    for stage, policy in (("ppo", blueprint.ppo), ("grpo", blueprint.grpo)):
        if policy.minibatch > policy.rollouts:
            what = f"minibatches of {policy.minibatch} are larger than the {policy.rollouts} rollouts"
            yield (f"{stage}.minibatch", f"{stage}.rollouts"), what
    for min_key, max_key, low, high in (
        ("min_words", "max_words", rules.min_words, rules.max_words),
        (
            "min_mean_word_length",
            "max_mean_word_length",
            rules.min_mean_word_length,
            rules.max_mean_word_length,
        ),
    ):
        if low is not None and high is not None and low > high:
            yield (
                (f"curate.rules.{min_key}", f"curate.rules.{max_key}"),
                f"{min_key} {low:g} is above {max_key} {high:g}",
            )


def _largest(blueprint: Blueprint) -> int:
    return largest(blueprint.tokenizer.vocabulary, blueprint.pretrain.model)


def _paths(value: object, dotted: str) -> Iterator[tuple[str, Path]]:
    if isinstance(value, Path):
        yield dotted, value
    elif isinstance(value, Section):
        for name in type(value).model_fields:
            yield from _paths(getattr(value, name), f"{dotted}.{name}" if dotted else name)
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from _paths(item, f"{dotted}.{index}")
