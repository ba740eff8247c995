"""Training on Megatron-core (extra `megatron`): its GPTModel, schedules, data-parallel wrapper and optimizers.

`engine.py` is what the training loop sees. `model.py` builds Megatron's model from our configuration, `converter.py`
translates weights both ways, `checkpoint.py` reads and writes Megatron's own checkpoints. `shim.py` is loaded only
where there is no CUDA.
"""
