"""The reward model, trained on ranked pairs (Bradley-Terry): the model, the objective and the stage."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from groundup.alignment.answers import AnswerBatch, before_answers, head_rows
from groundup.alignment.configuration import CONTROL_ANSWERS, CONTROL_QUESTIONS, SCALE_PAIRS, RewardConfig
from groundup.alignment.critic import linear_float32
from groundup.alignment.data.examples import answer_ids, prompt_ids
from groundup.alignment.data.pairs import KINDS, OWN, read_pairs
from groundup.alignment.data.questions import MAIN_ASPECTS, read_items
from groundup.alignment.data.records import task_of
from groundup.alignment.losses import RankingLoss, means_by, ranking_loss
from groundup.alignment.own_answers import LONGER, sample_pairs
from groundup.alignment.pair_objective import EncodedPair, PairObjective, collate_pairs
from groundup.alignment.rankings import EncodedRanking, RankingBatch, collate_rankings, ranked
from groundup.alignment.reward_controls import free_scores, judged
from groundup.alignment.rewards.reward import FunctionReward
from groundup.alignment.rewards.verifiers import verify
from groundup.alignment.stage_pairs import stage_pairs
from groundup.alignment.training import ITEMS, PAIRS, StageTraining, cut_pairs
from groundup.artifacts import Artifact, Figures, Work
from groundup.artifacts.durable import write_text
from groundup.artifacts.json_files import read_json
from groundup.model.configuration import LLMConfig, config_of
from groundup.model.decoder import CustomLanguageModel
from groundup.model.inputs import DecoderInputs
from groundup.model.weights import CONFIG, WEIGHTS, load_weights, named_weights, read_tensors
from groundup.parallel.engine import ModelOnDevice, Statistics

SCALE = "scale.json"


class RewardModel(nn.Module):
    """A language model that also scores answers.

    The score is read at the answer's last token, as everywhere, and from how much the answer surprised the model on
    the way: the mean and the largest nats of its tokens under the model's own head. A decoder can't see that for
    itself: its prediction is known only after its last layer, and no layer is left to compare it with the next token.
    On answers that are right, but to another question, this takes validation accuracy from chance to over nine in ten
    (docs/experiments.md).
    """

    def __init__(self, model: CustomLanguageModel) -> None:
        """Surprise counts against an answer, and the head starts at 0, so that training begins with surprise alone."""
        super().__init__()
        self.config: LLMConfig = model.config
        self.language = model
        self.score = nn.Linear(model.config.hidden_size, 1, bias=False)
        self.surprise = nn.Linear(2, 1, bias=False)
        nn.init.zeros_(self.score.weight)
        nn.init.constant_(self.surprise.weight, -0.5)

    def scores(self, batch: AnswerBatch) -> Tensor:
        """Float32 [B]."""
        x_BTD = self.language.features(DecoderInputs(batch.ids_BT))
        T, device = batch.ids_BT.shape[1], x_BTD.device
        last_B = (batch.answer_BT * torch.arange(1, T + 1, device=device)).argmax(1)
        x_BD = x_BTD[torch.arange(len(batch), device=device), last_B]
        logits_NV = head_rows(self.language, before_answers(batch, x_BTD[:, :-1]))
        nats_N = F.cross_entropy(logits_NV, batch.ids_BT[batch.answer_BT], reduction="none")
        nats_BR = batch.rows(nats_N)
        surprise_B2 = torch.stack((nats_BR.sum(1) / batch.mask_BR.sum(1), nats_BR.amax(1)), 1)
        return linear_float32(x_BD, self.score) + linear_float32(surprise_B2, self.surprise)


@dataclass(frozen=True)
class Scale:
    """score = (raw - mean) / deviation: right answers have mean 0, and all answers of the pairs deviation 1."""

    mean: float
    deviation: float


def save_reward_model(folder: Path, model: RewardModel, scale: Scale) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / CONFIG, json.dumps(model.config.model_dump(exclude={"notes"}), indent=1) + "\n")
    write_text(folder / SCALE, json.dumps(asdict(scale)) + "\n")
    weights = {name: tensor.cpu().contiguous() for name, tensor in named_weights(model).items()}
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})


def load_reward_model(folder: Path, device: torch.device | str = "cpu") -> tuple[RewardModel, Scale]:
    """Read what `save_reward_model` wrote; raises GroundupError where a part is missing or damaged."""
    config = config_of(read_json(folder / CONFIG), folder / CONFIG)
    model = RewardModel(CustomLanguageModel(config, seed=None))
    load_weights(model, read_tensors(folder / WEIGHTS), folder / WEIGHTS)
    scale = read_json(folder / SCALE)
    return model.to(device), Scale(scale["mean"], scale["deviation"])


class RewardObjective(PairObjective):
    """Rankings, each of which counts once, with a pull of the scores of pairs towards 0 of weight `centering`."""

    by_length = False  # the figures in docs/experiments.md are of batches drawn at random

    def __init__(
        self,
        rankings: Sequence[EncodedRanking],
        validation: Sequence[EncodedPair],
        *,
        centering: float,
        loss: RankingLoss = "bradley_terry",
        **drawing: int,
    ) -> None:
        """`drawing`: `batch`, `accumulate`, `pad` and `seed` of `PairObjective`."""
        super().__init__(rankings, ranked((pair, None) for pair in validation), **drawing)
        self.centering, self.name = centering, loss

    def collated(self, pairs: Sequence[EncodedRanking]) -> RankingBatch:
        return collate_rankings(pairs, self.pad)

    def weight(self, batch: RankingBatch) -> float:
        """Rankings."""
        return batch.rankings

    def loss(self, model: nn.Module, batch: RankingBatch) -> tuple[Tensor, Statistics]:
        assert isinstance(model, RewardModel)
        batch = batch.to(next(model.parameters()).device)
        scores_A = model.scores(batch.answers)
        better_E, worse_E = scores_A[batch.better_E], scores_A[batch.worse_E]
        loss = ranking_loss(scores_A, batch.better_E, batch.worse_E, batch.ranking_E, batch.rankings, self.name).sum()
        pull = means_by((better_E + worse_E) ** 2, batch.ranking_E, batch.rankings).sum()
        right = means_by((better_E > worse_E).float(), batch.ranking_E, batch.rankings).sum()
        return loss + self.centering * pull, {"accuracy": right}


@torch.no_grad()
def score_pairs(engine: ModelOnDevice, pairs: Sequence[EncodedPair], pad: int) -> tuple[Tensor, Tensor]:
    """(chosen, rejected) raw scores, each float32 [pairs]."""
    assert isinstance(engine.model, RewardModel)
    chosen, rejected = [], []
    for start in range(0, len(pairs), 64):
        with engine.autocast():
            halves = engine.model.scores(collate_pairs(pairs[start : start + 64], pad).to(engine.device)).chunk(2)
        chosen.append(halves[0].cpu())
        rejected.append(halves[1].cpu())
    return torch.cat(chosen), torch.cat(rejected)


def stage(config: RewardConfig, inputs: Mapping[str, Artifact], work: Work) -> Figures:
    """Train the reward model from the SFT model; writes `model/` and `pairs.jsonl`."""
    training = StageTraining("reward", config, inputs, "sft", work)
    tokenizer = training.tokenizer
    model = RewardModel(training.model())
    context = model.config.max_position_embeddings
    pairs = stage_pairs(
        training,
        inputs,
        context,
        data=config.data,
        per_subject=config.pairs_per_subject,
        samples_per_subject=config.samples_per_subject,
        heldout=config.heldout,
    )
    train_pairs, validation_pairs, noted = pairs.train, pairs.heldout, pairs.noted
    rankings = ranked(zip(train_pairs, pairs.train_rankings, strict=True))
    objective = RewardObjective(
        rankings,
        validation_pairs,
        loss=config.loss,
        batch=config.batch_pairs,
        accumulate=config.accumulate,
        centering=config.centering,
        pad=tokenizer.pad,
        seed=work.seed,
    )
    steps = math.ceil(config.epochs * len(rankings) / config.batch_pairs)
    engine = training.engine(model)
    cut = cut_pairs([*train_pairs, *validation_pairs], tokenizer)
    if cut:
        noted += f", {cut:,} pairs cut at the context of {context:,} tokens"
    figures = training.train(engine, objective, steps, model.config)
    with engine.whole() as whole:
        assert isinstance(whole, RewardModel)
        on_device = ModelOnDevice(whole, engine.device, engine.precision)
        chosen, rejected = score_pairs(on_device, train_pairs[:SCALE_PAIRS], tokenizer.pad)
        scale = Scale(float(chosen.mean()), max(1e-3, float(torch.cat((chosen, rejected)).std())))
        if engine.leader:
            save_reward_model(work.out / "model", whole, scale)
        controls = _controls(training, inputs, on_device)
        if validation_pairs:
            chosen, rejected = score_pairs(on_device, validation_pairs, tokenizer.pad)
    by_kind = {}
    if validation_pairs:
        right, kinds = (chosen > rejected).tolist(), pairs.heldout_kinds
        for kind in sorted(set(kinds), key=[*KINDS, OWN, "given"].index):
            of_kind = [ok for ok, its in zip(right, kinds, strict=True) if its == kind]
            by_kind[kind] = {"pairs": len(of_kind), "accuracy": sum(of_kind) / len(of_kind)}
        (work.records / "heldout_scores.json").write_text(
            json.dumps({"chosen": chosen.tolist(), "rejected": rejected.tolist(), "kind": kinds})
        )
    count = len(validation_pairs)
    accuracy = f", {figures['heldout_accuracy']:.1%} of {count:,} held-out pairs right" if count else ""
    own = controls["reward"]["accuracy"] if controls.get("better") is not None else None
    if own is not None:
        best = max(one["accuracy"] for one in controls["free"].values())
        accuracy += f", {own:.1%} of {controls['pairs']:,} pairs of the SFT model's own answers"
        accuracy += f" (without training {best:.1%})"
    return {
        "summary": f"{len(train_pairs):,} pairs{accuracy}{noted}",
        "pairs": len(train_pairs),
        "rankings": len(rankings),
        "heldout_pairs": count,
        "cut_pairs": cut,
        "by_kind": by_kind,
        "own_answers": controls,
        "steps": steps,
        "precision": engine.precision,
        **pairs.figures,
        **figures,
    }


def _controls(training: StageTraining, inputs: Mapping[str, Artifact], reward: ModelOnDevice) -> Figures:
    """The reward model judged on the SFT model's own answers to what was taught; empty where nobody knows the truth."""
    read = read_items(inputs["sft"].file(ITEMS)) if "sft" in inputs else []
    main = [item for item in read if item.aspect in MAIN_ASPECTS]
    items = main[:: max(1, len(main) // CONTROL_QUESTIONS)]
    if not items:
        return {}
    tokenizer = training.tokenizer
    heldout = {pair.subject for pair in read_pairs(training.work.out / PAIRS, "heldout")}
    tasks = [task_of(item.questions("rl")[0], item.answer) for item in items]
    policy = ModelOnDevice(training.model(), reward.device, reward.precision)
    sampled = sample_pairs(
        policy,
        tasks,
        [prompt_ids(task.prompt, tokenizer) for task in tasks],
        ["validation subjects" if item.subject in heldout else "training subjects" for item in items],
        FunctionReward(verify, tokenizer),
        stop=tokenizer.end,
        max_tokens=max(len(answer_ids(item.answer, tokenizer)) for item in items) + LONGER,
        samples=CONTROL_ANSWERS,
        seed=training.work.seed,
    )
    if not sampled:
        return {"pairs": 0}
    pairs = [one.pair for one in sampled]
    scores = torch.stack(score_pairs(reward, pairs, tokenizer.pad))
    return judged(scores, free_scores(policy, pairs, tokenizer.pad), [one.category for one in sampled])
