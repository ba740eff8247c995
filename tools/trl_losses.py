"""TRL's losses and gradients on one small model and batch, which tests/alignment/test_trl.py holds ours to.

    python tools/trl_losses.py [FILE]     in an environment with trl==1.16.0

Writes tests/alignment/trl-1.16.0.safetensors: the model's weights, the batch, and for each case the loss and the
gradient of every weight that TRL's own trainers computed (their `compute_loss`, nothing here repeats a formula).
"""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import transformers
import trl
from datasets import Dataset
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor, nn

WORDS, WIDTH, PAD = 24, 8, 0
SHAPE = {
    "vocab_size": WORDS,
    "hidden_size": WIDTH,
    "intermediate_size": 12,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 16,
    "rope_theta": 10_000.0,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": False,
}
PROMPTS, ANSWERS = 3, 5  # widths
LENGTHS = (5, 3, 4, 2)  # of the answers; for pairs, rows 0 and 1 are chosen, 2 and 3 rejected
BETA, SMOOTHING, CENTERING, CLIP, CLIP_HIGH, KL = 0.3, 0.1, 0.01, 0.2, 0.28, 0.04


def make_model(seed: int) -> Any:
    """A llama whose every weight is random, norms too."""
    config = transformers.LlamaConfig(**SHAPE, pad_token_id=PAD, bos_token_id=1, eos_token_id=2)
    made = transformers.LlamaForCausalLM(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            around = 1.0 if "norm.weight" in name else 0.0
            parameter.copy_(around + 0.4 * torch.randn(parameter.shape, generator=generator))
    return made.double().train()


def make_batch() -> dict[str, Tensor]:
    """Prompts and answers as ids, and what was known of each answer token before the update."""
    generator = torch.Generator().manual_seed(2)
    mask = (torch.arange(ANSWERS) < torch.tensor(LENGTHS)[:, None]).long()
    answers = torch.randint(3, WORDS, (len(LENGTHS), ANSWERS), generator=generator) * mask
    return {
        "prompts": torch.randint(3, WORDS, (len(LENGTHS), PROMPTS), generator=generator),
        "answers": answers,
        "mask": mask,
        "advantages": torch.tensor([0.8660, -0.5, 1.3, -1.6], dtype=torch.float64),
        # of the old log-probabilities
        "shift": 0.3 * torch.randn(len(LENGTHS), ANSWERS, generator=generator, dtype=torch.float64),
        "head": torch.randn(1, WIDTH, generator=generator, dtype=torch.float64),  # of the reward model
    }


def tokenizer() -> Any:
    """Words `w0` to `w23`; the trainers ask for one, the losses do not."""
    made = Tokenizer(models.WordLevel({f"w{index}": index for index in range(WORDS)}, unk_token="w3"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="w0", bos_token="w1", eos_token="w2", unk_token="w3"
    )


class Oracle:
    """TRL's trainers around the model."""

    def __init__(self, folder: str) -> None:
        self.common = {"output_dir": folder, "use_cpu": True, "report_to": "none", "bf16": False}
        self.batch = make_batch()
        batch = self.batch
        self.ids = torch.cat([batch["prompts"], batch["answers"]], 1)
        real = torch.ones_like(batch["prompts"])
        self.attention = torch.cat([real, batch["mask"]], 1)
        self.completion = torch.cat([0 * real, batch["mask"]], 1)

    def supervised(self) -> tuple[Tensor, nn.Module]:
        """SFT's loss: the mean over answer tokens."""
        data = Dataset.from_list([{"prompt": "w4 w5", "completion": "w6 w7"}])
        trainer = trl.SFTTrainer(
            make_model(0), args=trl.SFTConfig(**self.common), train_dataset=data, processing_class=tokenizer()
        )
        labels = self.ids.masked_fill(self.completion == 0, -100)
        inputs = {"input_ids": self.ids, "attention_mask": self.attention, "labels": labels}
        return trainer.compute_loss(trainer.model.train(), inputs), trainer.model

    def preferences(self, loss: str) -> tuple[Tensor, nn.Module]:
        """DPO's, between rows 0 and 1, chosen, and 2 and 3, rejected."""
        data = Dataset.from_list([{"prompt": "w4 w5", "chosen": "w6 w7", "rejected": "w8"}])
        trainer = trl.DPOTrainer(
            make_model(0),
            make_model(1),
            args=trl.DPOConfig(**self.common, loss_type=[loss], beta=BETA, label_smoothing=SMOOTHING),
            train_dataset=data,
            processing_class=tokenizer(),
        )
        inputs = {"input_ids": self.ids, "attention_mask": self.attention, "completion_mask": self.completion}
        return trainer._compute_loss(trainer.model.train(), inputs, False), trainer.model

    def reward(self) -> tuple[Tensor, nn.Module]:
        """Bradley and Terry's, centred."""
        scorer = transformers.LlamaForSequenceClassification(
            make_model(0).config.__class__(**SHAPE, num_labels=1)
        ).double()
        scorer.config.pad_token_id = PAD
        scorer.model.load_state_dict(make_model(0).model.state_dict())
        with torch.no_grad():
            scorer.score.weight.copy_(self.batch["head"])
        trainer = trl.RewardTrainer(
            scorer,
            args=trl.RewardConfig(**self.common, center_rewards_coefficient=CENTERING),
            train_dataset=Dataset.from_list([{"prompt": "w4 w5", "chosen": "w6 w7", "rejected": "w8"}]),
            processing_class=tokenizer(),
        )
        inputs = {"input_ids": self.ids, "attention_mask": self.attention}
        return trainer.compute_loss(trainer.model.train(), inputs), trainer.model

    def policy(self, kind: str, beta: float = 0.0) -> tuple[Tensor, nn.Module]:
        """GRPO's and its relatives', or RLOO's: where the old policy differs and some ratios are clipped."""
        batch = self.batch
        settings = self.common | {
            "per_device_train_batch_size": 4,
            "num_generations": 4,
            "max_completion_length": ANSWERS + 2,
            "epsilon": CLIP,
            "epsilon_high": CLIP_HIGH,
            "beta": 0.0,  # a trainer with another one looks for the reference by the model's name
        }
        data = Dataset.from_list([{"prompt": "w4 w5"}] * 4)
        if kind == "rloo":
            arguments, trainer_class = trl.RLOOConfig(**settings), trl.RLOOTrainer
        else:
            arguments, trainer_class = (
                trl.GRPOConfig(**settings, loss_type=kind, use_bias_correction_kl=False),
                trl.GRPOTrainer,
            )
        model = make_model(0)
        trainer = trainer_class(
            model, lambda **given: [0.0], args=arguments, train_dataset=data, processing_class=tokenizer()
        )
        trainer.current_gradient_accumulation_steps, trainer.beta = 1, beta
        old = token_logps(make_model(0), self.ids, self.attention) + batch["shift"]
        inputs = {
            "prompt_ids": batch["prompts"],
            "prompt_mask": torch.ones_like(batch["prompts"]),
            "completion_ids": batch["answers"],
            "completion_mask": batch["mask"],
            "advantages": batch["advantages"],
            "old_per_token_logps": old,
            "old_logps": (old * batch["mask"]).sum(1),
            "ref_per_token_logps": token_logps(make_model(1), self.ids, self.attention),
            "num_items_in_batch": batch["mask"].sum(),
        }
        return trainer._compute_loss(trainer.model.train(), inputs), trainer.model

    def cases(self) -> Iterator[tuple[str, tuple[Tensor, nn.Module]]]:
        """(name, what TRL computes) of each."""
        yield "sft", self.supervised()
        for loss in ("sigmoid", "robust", "ipo", "hinge", "sigmoid_norm"):
            yield f"dpo.{loss}", self.preferences(loss)
        yield "reward", self.reward()
        for kind in ("grpo", "dr_grpo", "dapo", "bnpo", "rloo"):
            yield f"policy.{kind}", self.policy(kind)
        yield "policy.grpo_k3", self.policy("grpo", KL)


@torch.no_grad()
def token_logps(model: nn.Module, ids: Tensor, attention: Tensor) -> Tensor:
    """Of the answer tokens, [rows, ANSWERS]."""
    logits = model(input_ids=ids, attention_mask=attention).logits[:, PROMPTS - 1 : -1]
    return logits.log_softmax(-1).gather(2, ids[:, PROMPTS:, None])[:, :, 0]


def compute() -> dict[str, Tensor]:
    """Everything that the file holds."""
    found: dict[str, Tensor] = {}
    for seed, name in ((0, "policy"), (1, "reference")):
        found |= {f"{name}/{key}": value.clone() for key, value in make_model(seed).state_dict().items()}
    with tempfile.TemporaryDirectory() as folder:
        oracle = Oracle(folder)
        found |= {f"batch/{key}": value for key, value in oracle.batch.items()}
        for case, (loss, model) in oracle.cases():
            model.zero_grad()
            loss.backward()
            found[f"{case}/loss"] = loss.detach()
            for key, parameter in model.named_parameters():
                if parameter.grad is not None:
                    found[f"{case}/gradient/{key}"] = parameter.grad.clone()
            print(f"{case:16s} {float(loss):.8f}")
    return found


if __name__ == "__main__":
    here = Path(__file__).parents[1]
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else here / f"tests/alignment/trl-{trl.__version__}.safetensors"
    versions = {"trl": trl.__version__, "transformers": transformers.__version__, "torch": torch.__version__}
    save_file(compute(), target, metadata=versions | {"command": "python tools/trl_losses.py"})
