# %% [markdown]
# A language model in a notebook, cell by cell: text, tokenizer, model, training, a reward, a loss.
# Open this file in an editor that knows `# %%` cells, or turn it into a notebook with `jupytext --to ipynb`.

# %% The text, and a tokenizer trained on it
import torch

from groundup.alignment import fit_reward, losses
from groundup.inference import Sampling, generate
from groundup.model import CustomLanguageModel, LLMConfig
from groundup.tokenizer import Tokenizer
from groundup.training import LoopConfig, fit, learning_rate

texts = [f"{name} likes {food}. " * 4 for name in ("Ada", "Ben", "Cleo") for food in ("tea", "figs", "rice")]
tokenizer = Tokenizer.train(texts, vocabulary=290)
ids = [token for text in texts for token in [*tokenizer.encode(text), tokenizer.end_of_text]]
print(tokenizer, len(ids), "tokens")

# %% A small decoder
config = LLMConfig(
    vocab_size=tokenizer.vocabulary_size, hidden_size=64, num_hidden_layers=2, max_position_embeddings=64
)
model = CustomLanguageModel(config, seed=0)
print(f"{config.num_parameters:,} parameters")

# %% The learning rate over the steps
loop = LoopConfig(schedule="wsd", warmup=0.1)
print([round(learning_rate(step, 30, 3e-3, loop), 4) for step in range(0, 30, 6)])

# %% Training, and the loss of each step
rows = fit(model, ids, steps=30, sequence=32, learning_rate=3e-3, config=loop)
print([round(row["loss"], 2) for row in rows[::6]])

# %% What it writes
print(generate(model, tokenizer, ["Ada", "Ben"], max_tokens=8, sampling=Sampling(0.8, seed=1)))

# %% A reward model from two comparisons, and its accuracy on them
pairs = [("What does Ada like?", "tea", "a nap"), ("What does Ben like?", "figs", "a nap")]
reward, rewarded = fit_reward(model, tokenizer, pairs, epochs=10, batch=2, learning_rate=1e-3)
print("right:", rewarded[-1]["accuracy"])

# %% Losses are functions of tensors
better, worse = torch.tensor([1.0, 0.2]), torch.tensor([0.0, 0.5])
print(losses.bradley_terry(better, worse, reduction="none"))
