"""A script for machines that are started by hand, or by a scheduler that knows nothing of all this."""

from groundup.pipeline.launch.cluster import PORT, Cluster


def script(cluster: Cluster) -> str:
    """The same on each machine; the machines find each other at the first one."""
    if cluster.nodes == 1:
        meeting = "--standalone"
        how = "bash THIS-FILE"
        head = ""
    else:
        meeting = f'--nnodes {cluster.nodes} --rdzv-backend c10d --rdzv-endpoint "$HEAD" --rdzv-id {cluster.label}'
        how = "HEAD=first-machine bash THIS-FILE    (on every machine, at about the same time)"
        head = f"""
HEAD="${{HEAD:?the name of the first machine}}:{PORT}"     # a port that the others can reach

# EDIT where a machine has several networks: the one over which they talk.
# export GLOO_SOCKET_IFNAME=eth0 NCCL_SOCKET_IFNAME=eth0
"""
    return f"""#!/bin/bash
# groundup under torchrun: {cluster.summary}
# {how}
set -euo pipefail
{head}
# The blueprint, its documents and the run folder lie on a disk that all machines see under the same path.
# A lost process makes torchrun start all again; training resumes from the last checkpoint.
exec torchrun {meeting} --nproc-per-node {cluster.per_node} --max-restarts 3 \\
    --no-python -- {cluster.line}
"""
