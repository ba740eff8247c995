"""`groundup align`: methods of alignment from one SFT model, compared."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from groundup.cli import where
from groundup.cli.options import Set
from groundup.errors import GroundupError

if TYPE_CHECKING:
    from groundup.blueprint.configuration import Blueprint
    from groundup.evaluation.comparing.measuring import Measuring
    from groundup.evaluation.comparing.methods import Ingredients
    from groundup.pipeline.folder import RunFolder

verbs = typer.Typer(help="Compare methods of alignment.", no_args_is_help=True)

KL_FACTORS = (1.0, 0.25, 4.0)  # of the blueprint's own weight of the KL


@verbs.command(name="compare")
def compare_methods(
    blueprint: Annotated[Path | None, typer.Argument(help="A blueprint file, or a run folder.")] = None,
    set_: Set = None,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each method and weight of the KL.")] = 3,
    questions: Annotated[int, typer.Option(min=2, help="The most questions that answers are measured on.")] = 300,
    looks: Annotated[int, typer.Option(min=1, help="Measurements on the way of each training.")] = 4,
    method: Annotated[
        list[str] | None, typer.Option("--method", help="sft, dpo, dpo_own, ppo or grpo; without it all.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Without it RUN/align-compare.")] = None,
) -> None:
    """Compare SFT, best-of-n, DPO, PPO and GRPO.

    All start from the run's SFT model and reward model, over weights of the KL and seeds: true score at equal KL and
    equal compute, win rates with intervals, and a page. Each training is kept when it is done: the command resumes.
    """
    from groundup.cli.stopping import stopping_in_one_line

    with stopping_in_one_line():
        import json

        from groundup.artifacts.durable import write_text
        from groundup.evaluation.comparing.compare import COMPARISON, compare
        from groundup.evaluation.comparing.methods import METHODS, MethodTrainer
        from groundup.report.comparison import comparison_page

        if unknown := set(method or ()) - set(METHODS):
            raise GroundupError(
                f"there is no method {', '.join(sorted(unknown))}", do=f"name some of {', '.join(METHODS)}"
            )
        folder, loaded = where.current(blueprint, set_)
        sections = loaded.blueprint
        chosen = [name for name in METHODS if method is None or name in method]
        own = {"dpo": sections.dpo.beta, "dpo_own": sections.dpo.beta, "ppo": sections.ppo.kl, "grpo": sections.grpo.kl}
        betas: dict[str, list[float | None]] = {
            name: [None] if name == "sft" else [own[name] * factor for factor in (KL_FACTORS if own[name] else (1.0,))]
            for name in chosen
        }
        ingredients, measuring = _prepared(folder, sections, questions, looks)
        settings: dict[str, Any] = {
            "sft": folder.artifact("sft").manifest.content,
            "reward": folder.artifact("reward").manifest.content,
            "configurations": {
                name: config.model_dump(mode="json", exclude={"notes"}) for name, config in ingredients.configs.items()
            },
            "questions": len(measuring.questions),
            "temperature": measuring.temperature,
            "seeds": seeds,
            "looks": looks,
        }
        target = out or folder.path / "align-compare"
        found = compare(
            target, MethodTrainer(ingredients), measuring, betas, seeds, json.loads(json.dumps(settings)), print
        )
        write_text(target / "index.html", comparison_page(found, sections.name))
        print(f"token F1 of sampled answers, SFT {found['start']['truth']:.3f}")
        kl, compute = found["equal_kl"], found["equal_compute"]
        print(f"{'':10} at KL {kl['kl']:.2f}   in {compute['seconds']:,.0f} CPU s")
        for name, scores in kl["scores"].items():
            spent = compute["scores"].get(name)
            print(f"{name:10} {_mean(scores):10}   {_mean(spent) if spent else '':>10}")
        print(f"{target / 'index.html'}, {target / COMPARISON}")


def _mean(scores: list[float]) -> str:
    return f"{sum(scores) / len(scores):.3f}"


def _prepared(folder: RunFolder, sections: Blueprint, questions: int, looks: int) -> tuple[Ingredients, Measuring]:
    """What the methods start from, and what measures them; raises GroundupError where the run has no such stages."""
    from groundup.alignment.data.pairs import read_pairs
    from groundup.alignment.data.questions import MAIN_ASPECTS, read_items
    from groundup.alignment.data.records import task_of
    from groundup.alignment.reward import load_reward_model
    from groundup.alignment.rewards.model import ModelReward
    from groundup.alignment.training import ITEMS, PAIRS, encode_pair
    from groundup.evaluation.answering import Question
    from groundup.evaluation.comparing.measuring import Measuring
    from groundup.evaluation.comparing.methods import Ingredients, configurations
    from groundup.model.weights import load_model
    from groundup.parallel.device import best_device, settle
    from groundup.parallel.engine import ModelOnDevice
    from groundup.tokenizer.tokenizer import Tokenizer

    settle()
    tokenizer = Tokenizer.load(folder.artifact("tokenizer").file("tokenizer.json"))
    sft, reward_path = folder.artifact("sft"), folder.artifact("reward").path / "model"
    items = [item for item in read_items(sft.file(ITEMS)) if item.aspect in MAIN_ASPECTS]
    if not items:
        raise GroundupError(
            "the run's questions are not made from its documents, so no true answers are known",
            where=str(folder.path),
            do="compare a blueprint without sft.data",
        )
    asked = [Question(text, item.answer, item.subject) for item in items for text in item.questions("evaluate")]
    asked = asked[:: -(-len(asked) // questions)]
    device = best_device()
    model, scale = load_reward_model(reward_path, device)
    reward = ModelReward(ModelOnDevice(model, device, "fp32"), scale, tokenizer.pad)
    context = model.config.max_position_embeddings
    ingredients = Ingredients(
        start=lambda: load_model(sft.path / "model"),
        critic=lambda: load_reward_model(reward_path)[0].language,
        tokenizer=tokenizer,
        reward=reward,
        tasks=[task_of(text, item.answer) for item in items for text in item.questions("rl")],
        pairs=[
            encode_pair(pair, tokenizer, context) for pair in read_pairs(folder.artifact("reward").file(PAIRS), "train")
        ],
        configs=configurations(sections.sft, sections.dpo, sections.ppo, sections.grpo),
        looks=looks,
    )
    measuring = Measuring(
        load_model(sft.path / "model").to(device),
        tokenizer,
        reward,
        asked,
        temperature=sections.ppo.temperature,
        max_tokens=sections.ppo.max_answer_tokens,
        seed=sections.seed,
    )
    return ingredients, measuring
