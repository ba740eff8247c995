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
    from groundup.blueprint.load import LoadedBlueprint
    from groundup.evaluation.comparing.asked import AskedQuestions
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
        asked = _asked(folder, loaded).limited(questions)
        ingredients, measuring = _prepared(folder, sections, asked, looks)
        settings: dict[str, Any] = {
            "sft": folder.artifact("sft").manifest.content,
            "reward": folder.artifact("reward").manifest.content,
            "configurations": {
                name: config.model_dump(mode="json", exclude={"notes"}) for name, config in ingredients.configs.items()
            },
            "questions": len(measuring.questions),
            "truth": asked.truth,
            "temperature": measuring.temperature,
            "seeds": seeds,
            "looks": looks,
        }
        target = out or folder.path / "align-compare"
        found = compare(
            target, MethodTrainer(ingredients), measuring, betas, seeds, json.loads(json.dumps(settings)), print
        )
        write_text(target / "index.html", comparison_page(found, sections.name))
        print_comparison(found)
        print(f"{target / 'index.html'}, {target / COMPARISON}")


def print_comparison(found: dict[str, Any]) -> None:
    """The true scores, as lines of text."""
    print(f"token F1 of sampled answers; SFT has {found['start']['truth']:.3f}")
    print(f"{'':10}{'at the end':>11}{'wins over SFT':>22}")
    for name, end in found["ends"].items():
        rate = end["wins"]["rate"]
        wins = f"{100 * rate['mean']:.0f} % ({100 * rate['low']:.0f} to {100 * rate['high']:.0f})"
        print(f"{name:10}{sum(end['truth']) / len(end['truth']):11.3f}{wins:>22}")
    for axis, head, form in (("equal_kl", "at KL", ".2f"), ("equal_compute", "at CPU s", ",.0f")):
        print(f"{head:10}" + "".join(f"{at:>9{form}}" for at in found[axis]["at"]))
        for name, by_seed in found[axis]["scores"].items():
            means = [f"{sum(scores) / len(scores):.3f}" if scores else "" for scores in by_seed]
            print(f"{name:10}" + "".join(f"{mean:>9}" for mean in means))


def _asked(folder: RunFolder, loaded: LoadedBlueprint) -> AskedQuestions:
    """The questions of the newest run; raises GroundupError where it has no SFT model or no reward model."""
    from groundup.alignment.training import ITEMS, PAIRS
    from groundup.evaluation.comparing.asked import asked_questions

    exam = loaded.blueprint.evaluate.data
    return asked_questions(
        folder.artifact("sft").path / ITEMS,
        folder.artifact("reward").file(PAIRS),
        None if exam is None else loaded.path.parent / exam.expanduser(),
    )


def _prepared(
    folder: RunFolder, sections: Blueprint, asked: AskedQuestions, looks: int
) -> tuple[Ingredients, Measuring]:
    """What the methods start from, and what measures them."""
    from groundup.alignment.data.pairs import read_pairs
    from groundup.alignment.reward import load_reward_model
    from groundup.alignment.rewards.model import ModelReward
    from groundup.alignment.training import PAIRS, encode_pair
    from groundup.evaluation.comparing.measuring import Measuring
    from groundup.evaluation.comparing.methods import Ingredients, configurations
    from groundup.model.weights import load_model
    from groundup.parallel.device import best_device, settle
    from groundup.parallel.engine import ModelOnDevice
    from groundup.tokenizer.tokenizer import Tokenizer

    settle()
    tokenizer = Tokenizer.load(folder.artifact("tokenizer").file("tokenizer.json"))
    sft, reward_path = folder.artifact("sft"), folder.artifact("reward").path / "model"
    device = best_device()
    model, scale = load_reward_model(reward_path, device)
    reward = ModelReward(ModelOnDevice(model, device, "fp32"), scale, tokenizer.pad)
    context = model.config.max_position_embeddings
    ingredients = Ingredients(
        start=lambda: load_model(sft.path / "model"),
        critic=lambda: load_reward_model(reward_path)[0].language,
        tokenizer=tokenizer,
        reward=reward,
        tasks=asked.tasks,
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
        asked.questions,
        temperature=sections.ppo.temperature,
        max_tokens=sections.ppo.max_answer_tokens,
        seed=sections.seed,
    )
    return ingredients, measuring
