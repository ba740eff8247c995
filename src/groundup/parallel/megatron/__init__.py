"""Training on Megatron-core (extra `megatron`): its GPTModel, schedules, data-parallel wrapper and optimizers.

`library.py` comes first: it says whether Megatron-core is there, and loads `shim.py` where there is no CUDA.
`engine.py` is what the training loop sees. `model.py` builds Megatron's model from our configuration, of its layers and
those in `layers.py`. `converter.py` translates weights both ways, `torch_dist.py` reads and writes Megatron's
checkpoints; these two need no Megatron.
"""
