"""Replica groups: runs that train one model together, any of which may fail while the others continue (torchft).

Each is a run of one process in a folder of its own, and none leads. Before a step those that are alive agree on who
takes part, by way of torchft's lighthouse, and split the step's batch among themselves:

    begin(step)    who is there? One that lags restores the state of another    -> this one's part of the batch
    train_step     weights, losses and gradients are added up over the groups; where all sums have arrived the optimizer
                   steps, else a group has failed, and the remaining ones start the step again

So a step's batch is always the whole one, whoever computes it, and the curve is that of a single process whichever
groups fail or come back. Gradients go over gloo, also from GPUs. A group that comes back gets the state over HTTP; it
accepts only tensors, but doesn't authenticate the sender: the network between the groups has to be private.
"""

import logging
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module
from typing import Any, Self
from urllib.request import urlopen

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._C._distributed_c10d import TCPStore
from torch.distributed._serialization import _streaming_load

from groundup.errors import GroundupError
from groundup.parallel.data_rank import DataRank
from groundup.parallel.device import Precision
from groundup.parallel.engine import Loss, RegroupedError
from groundup.parallel.single_device import SingleDevice
from groundup.parallel.torch_engine import Sums

LIGHTHOUSE = "TORCHFT_LIGHTHOUSE"  # in the environment: where it is, http://host:29510
TIMEOUT = timedelta(minutes=2)  # for a step of the slowest group; one that takes longer counts as failed
CONNECT = timedelta(seconds=20)  # until a lighthouse has answered
MAX_TRIES = 10  # of one step
_log = logging.getLogger(__name__)


class ReplicaGroup(SingleDevice):
    """One of the groups of processes, of one process, that train a model."""

    def __init__(
        self,
        model: nn.Module,
        make_optimizer: Callable[[nn.Module], torch.optim.Optimizer],
        device: torch.device,
        precision: Precision,
        ema_decay: float | None = None,
        timeout: timedelta = TIMEOUT,
    ) -> None:
        """
        Args:
            model: the same in every group.
            ema_decay: keep an exponential moving average of the weights with this decay per step.

        Raises:
            GroundupError: torchft is not installed.
        """
        super().__init__(model, make_optimizer, device, precision, ema_decay)
        self._torchft, self._timeout = _Torchft.load(), timeout
        self.groups: Any = None  # torchft's manager; the others wait for whoever has one, so it is made when needed
        self._last: DataRank | None = None
        self._begun: int | None = None  # the step that the groups have agreed on and not yet taken

    def begin(self, step: int) -> DataRank:
        """Agree with the other groups on who takes part in `step`.

        Raises:
            GroundupError: the lighthouse doesn't answer, or the others train another model.
            RegroupedError: the others are further; their state has been restored.
        """
        if self._begun != step:
            try:
                self.groups = self.groups or self._join()
                if self.groups.current_step() != step:  # resumed from a checkpoint
                    self.groups.load_state_dict({"step": step, "batches_committed": 0})
                self.groups.start_quorum()
            except (RuntimeError, TimeoutError) as error:
                raise GroundupError(
                    f"no agreement with other replica groups: {error}",
                    where=f"{LIGHTHOUSE}={os.environ[LIGHTHOUSE]}",
                    do="start torchft_lighthouse there",
                ) from error
            self._begun = self.groups.current_step()
            if self._begun != step:
                raise RegroupedError(self._begun)
        data_rank = DataRank(self.groups.participating_rank(), self.groups.num_participants())
        if data_rank != self._last:
            self._last = data_rank
            _log.warning("step %d: replica group %d of %d", step + 1, data_rank.rank + 1, data_rank.size)
        return data_rank

    def _join(self) -> Any:
        self._store = TCPStore("0.0.0.0", 0, is_master=True, wait_for_workers=False)  # where gloo's processes meet
        return self._torchft.manager.Manager(
            pg=self._torchft.process_group.ProcessGroupGloo(timeout=self._timeout),
            load_state_dict=self._restore_checked,
            state_dict=self.state,
            min_replica_size=1,
            use_async_quorum=False,
            init_sync=False,  # every group has made the same model
            timeout=self._timeout,
            quorum_timeout=self._timeout,
            connect_timeout=min(CONNECT, self._timeout),
            max_retries=MAX_TRIES,
            rank=0,
            world_size=1,
            store_addr=socket.gethostname(),
            store_port=self._store.port,
            lighthouse_addr=os.environ[LIGHTHOUSE],
            replica_id="pretrain",
            checkpoint_transport=self._torchft.transport(self._timeout),
        )

    def _total(self, weight: float) -> float:
        (total,) = self._over_the_groups([weight])
        if self._begun is not None and self.groups.errored():
            self._commit()  # which it never is: the step is begun again
        return total

    def _forward_backward(self, batch: Sequence[Any], loss: Loss, divisor: float) -> tuple[float, Sums]:
        loss_sum, sums = super()._forward_backward(batch, loss, divisor)
        if self._begun is None:  # a step that was not begun is this group's own (a trial)
            return loss_sum, sums
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        whole = torch.cat([gradient.flatten() for gradient in gradients])
        self._add_up(whole)
        parts = torch.split(whole, [gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))
        loss_sum, *values = self._over_the_groups([loss_sum, *sums.values()])
        self._commit()
        return loss_sum, dict(zip(sums, values, strict=True))

    def _commit(self) -> None:
        """Let the step be taken, or have it begun again where a sum has not arrived."""
        assert self._begun is not None
        step, self._begun = self._begun, None
        try:
            taken = self.groups.should_commit()
        except RuntimeError as error:
            raise GroundupError(
                f"step {step + 1} failed {MAX_TRIES} times: {self.groups.errored() or error}",
                where=LIGHTHOUSE,
                do="look at the other groups' logs; started again, each resumes from its last checkpoint",
            ) from error
        if not taken:
            self.optimizer.zero_grad(set_to_none=True)
            raise RegroupedError(step)

    def _over_the_groups(self, values: Sequence[float]) -> list[float]:
        if self._begun is None:
            return list(values)
        sums = torch.tensor(values, dtype=torch.float64)
        self._add_up(sums)
        found: list[float] = sums.tolist()
        return found

    def _add_up(self, tensor: Tensor) -> None:
        """In place; what comes out counts only if the step is committed."""
        self.groups.allreduce(tensor, reduce_op=dist.ReduceOp.SUM).wait()

    def _restore_checked(self, state: Mapping[str, Tensor]) -> None:
        shapes = {name: p.shape for name, p in self.model.named_parameters() if p.requires_grad}
        theirs = {name[6:]: tensor.shape for name, tensor in state.items() if name.startswith("model.")}
        if shapes != theirs:
            raise GroundupError(
                "the other replica groups train another model",
                where=LIGHTHOUSE,
                do="give every group the same blueprint, and every job a lighthouse of its own",
            )
        self.restore(state)

    def close(self) -> None:
        """Leave the groups; the others continue."""
        if self.groups:
            self.groups.shutdown()


@dataclass(frozen=True)
class _Torchft:
    """torchft's modules."""

    manager: Any
    process_group: Any
    http: Any

    @classmethod
    def load(cls) -> Self:
        """Raises GroundupError where it is not installed."""
        os.environ.setdefault("RUST_LOG", "warn")  # it logs every step, else
        logging.getLogger("torchft.manager").setLevel(logging.ERROR)
        names = ("manager", "process_group", "checkpointing.http_transport")
        try:
            return cls(*(import_module(f"torchft.{name}") for name in names))
        except ModuleNotFoundError as error:
            raise GroundupError(
                f"replica groups need the package {error.name}", where=LIGHTHOUSE, do="pip install 'groundup[torchft]'"
            ) from error

    def transport(self, timeout: timedelta) -> Any:
        """How a state gets from group to group: torchft's way, which however would run any code that was sent."""

        class TensorsAlone(self.http.HTTPTransport):  # type: ignore[misc, name-defined]
            @classmethod
            def _load_from_address(cls, address: str, timeout: timedelta) -> object:
                with urlopen(address, timeout=timeout.total_seconds()) as sent:
                    return _streaming_load(sent, weights_only=True)

        return TensorsAlone(timeout, num_chunks=0)
