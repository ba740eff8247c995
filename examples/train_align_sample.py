"""A language model of your own, from text to aligned answers, with the library's parts; about a minute on a laptop.

    python examples/train_align_sample.py            # the whole way
    python examples/train_align_sample.py --quick    # seconds, to see that everything works

The model learns the sums of two digits. It is trained on statements of them, fine-tuned to answer questions, and then
aligned in two ways that both start from the fine-tuned model: by preferences (pairs of a right and a wrong answer), and
by reinforcement learning (its own answers, scored by a function).
"""

import argparse
import copy
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from groundup.alignment import Task, fine_tune, fit_policy, fit_preferences
from groundup.inference import InferenceEngine, Sampling
from groundup.model import CustomLanguageModel, LLMConfig
from groundup.tokenizer import Tokenizer, render
from groundup.training import fit


@dataclass(frozen=True)
class Budget:
    """How much is trained."""

    pretrain_steps: int = 600
    epochs: float = 20.0
    preference_epochs: float = 1.0
    iterations: int = 40
    rollouts: int = 128  # answers per iteration
    asked: int = 100  # questions of the accuracy


QUICK = Budget(pretrain_steps=5, epochs=0.5, preference_epochs=0.2, iterations=1, rollouts=16, asked=4)


def statements() -> list[str]:
    """`3 plus 4 is 7.` for all digits."""
    return [f"{a} plus {b} is {a + b}." for a in range(10) for b in range(10)]


def questions() -> list[tuple[str, str]]:
    """(question, right answer) for all digits."""
    return [(f"What is {a} plus {b}?", str(a + b)) for a in range(10) for b in range(10)]


def pretrain(tokenizer: Tokenizer, texts: Sequence[str], steps: int) -> CustomLanguageModel:
    """A new decoder, trained to predict the next token of the texts, each of which ends with a stop token."""
    shape = LLMConfig(
        vocab_size=tokenizer.vocabulary_size,
        hidden_size=128,
        num_hidden_layers=3,
        max_position_embeddings=64,
    )
    model = CustomLanguageModel(shape, seed=0)
    documents = [np.array([*tokenizer.encode(text), tokenizer.end_of_text]) for text in texts]
    rows = fit(model, documents, steps=steps, sequence=32, batch=16, learning_rate=2e-3)
    first, last = rows[0]["loss"], rows[-1]["loss"]
    print(f"pretrained {shape.num_parameters / 1e6:.2f}M parameters: loss {first:.2f} -> {last:.2f}")
    return model


def wrong_answers(pairs: Sequence[tuple[str, str]], seed: int = 0) -> list[tuple[str, str, str]]:
    """(question, right answer, another number)."""
    drawn = random.Random(seed)
    return [
        (question, answer, str(drawn.choice([number for number in range(19) if str(number) != answer])))
        for question, answer in pairs
    ]


def correct(task: Task, answer: str) -> float:
    """The reward: 1 for the right number, and a little for any number, so that there is a way to it."""
    if answer.strip() == task.answer:
        return 1.0
    return 0.1 if answer.strip().isdigit() else 0.0


def answers(
    model: CustomLanguageModel, tokenizer: Tokenizer, asked: Sequence[str], sampling: Sampling | None = None
) -> list[str]:
    """What the model answers to each question, all at once; without `sampling` the likeliest tokens."""
    sampling = sampling or Sampling()
    engine = InferenceEngine(model, slots=len(asked))
    prompts = [render([{"role": "user", "content": text}], tokenizer, answer_prompt=True)[0] for text in asked]
    requests = [engine.add(prompt, max_tokens=8, stop={tokenizer.end}, sampling=sampling) for prompt in prompts]
    engine.run()
    return [tokenizer.decode([token for token in one.tokens if token != tokenizer.end]) for one in requests]


def accuracy(model: CustomLanguageModel, tokenizer: Tokenizer, asked: Sequence[tuple[str, str]]) -> float:
    """The fraction of questions that are answered right."""
    given = answers(model, tokenizer, [question for question, _ in asked])
    return sum(one.strip() == right for one, (_, right) in zip(given, asked, strict=True)) / len(asked)


def main(budget: Budget) -> dict[str, float]:
    """Train, align, sample; the accuracy of each model."""
    tokenizer = Tokenizer.train([*statements(), *(question for question, _ in questions())], vocabulary=300)
    base = pretrain(tokenizer, statements(), budget.pretrain_steps)

    tuned = copy.deepcopy(base)
    fine_tune(tuned, tokenizer, questions(), epochs=budget.epochs, batch=20, learning_rate=1e-3)

    preferring = copy.deepcopy(tuned)
    pairs = wrong_answers(questions())
    fit_preferences(preferring, tokenizer, pairs, epochs=budget.preference_epochs, learning_rate=1e-4)

    reinforced = copy.deepcopy(tuned)
    tasks = [Task(({"role": "user", "content": question},), answer) for question, answer in questions()]
    rows = fit_policy(
        reinforced,
        tokenizer,
        tasks,
        correct,
        preset="grpo",
        iterations=budget.iterations,
        rollouts=budget.rollouts,
        group=8,
        kl=0.01,
        temperature=1.0,
        max_answer_tokens=4,
        learning_rate=2e-4,
    )
    print(f"GRPO: mean reward {rows[0]['score']:.2f} -> {rows[-1]['score']:.2f}, KL {rows[-1]['kl']:.2f} nats")

    found = {"base": base, "fine-tuned": tuned, "DPO": preferring, "GRPO": reinforced}
    accuracies = {name: accuracy(model, tokenizer, questions()[: budget.asked]) for name, model in found.items()}
    for name, value in accuracies.items():
        print(f"{name:>10}: {value:.0%} right")
    question = "What is 4 plus 5?"
    print(question, *answers(reinforced, tokenizer, [question] * 3, Sampling(temperature=1.0)))
    return accuracies


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Train a tokenizer and a small model, align it, and ask it.")
    parser.add_argument("--quick", action="store_true", help="a few steps of everything")
    main(QUICK if parser.parse_args().quick else Budget())
