"""A batch script for SLURM."""

from groundup.pipeline.launch.cluster import Cluster


def script(cluster: Cluster) -> str:
    """What `sbatch` takes. groundup reads its rank from the variables that `srun` sets."""
    return f"""#!/bin/bash
# groundup on SLURM: {cluster.summary}
# Look at the lines marked EDIT, then: sbatch THIS-FILE
#SBATCH --job-name={cluster.label}
#SBATCH --nodes={cluster.nodes}
#SBATCH --ntasks-per-node={cluster.per_node}
#SBATCH --gpus-per-node={cluster.per_node}
#SBATCH --cpus-per-task=8              # EDIT: the cores of a node over its devices
#SBATCH --time=24:00:00                # EDIT
##SBATCH --partition=gpu               # EDIT, and take one # away
##SBATCH --account=mine                # EDIT, and take one # away
#SBATCH --output=%x-%j.out
#SBATCH --open-mode=append
#SBATCH --requeue
#SBATCH --signal=SIGTERM@180           # before the time is up: the step is finished and saved

set -uo pipefail
source .venv/bin/activate              # EDIT: where groundup is installed, on a disk that all nodes see

# EDIT where a node has several networks: the one over which nodes talk.
# export GLOO_SOCKET_IFNAME=ib0 NCCL_SOCKET_IFNAME=ib0
# Without GPUs: export GROUNDUP_DEVICE=cpu, and take --gpus-per-node away.

# The blueprint, its documents and the run folder lie on a disk that all nodes see under the same path.
# Where a process is lost all end, and the next try resumes from the last checkpoint.
status=0
for _ in 1 2 3; do
    srun --kill-on-bad-exit=1 --cpus-per-task="$SLURM_CPUS_PER_TASK" {cluster.line} && exit 0
    status=$?
    if [ "$status" -eq 143 ]; then     # the time is up: the same job once more
        scontrol requeue "$SLURM_JOB_ID"
        break
    fi
done
exit "$status"
"""
