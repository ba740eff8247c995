"""Manifests for Kubernetes: a JobSet, or a PyTorchJob of Kubeflow's training operator.

In both, a pod is a node, and torchrun in it starts a process for each of its GPUs.
"""

from groundup.pipeline.launch.cluster import PORT, Cluster


def jobset(cluster: Cluster) -> str:
    """A JobSet (jobset.sigs.k8s.io) with one indexed job, whose pods know each other by name."""
    label = cluster.label
    torchrun = (
        f"torchrun --nnodes={cluster.nodes} --nproc-per-node={cluster.per_node} --node-rank=$JOB_COMPLETION_INDEX\n"
        f"--master-addr={label}-node-0-0.{label} --master-port={PORT}\n"
        f"--no-python -- {cluster.line}"
    )
    return f"""{_head("a JobSet", cluster)}apiVersion: jobset.x-k8s.io/v1alpha2
kind: JobSet
metadata:
  name: {label}
spec:
  failurePolicy:
    maxRestarts: 3              # a lost pod starts all again, and training resumes from the last checkpoint
  replicatedJobs:
    - name: node
      replicas: 1
      template:
        spec:
          completionMode: Indexed
          parallelism: {cluster.nodes}
          completions: {cluster.nodes}
          backoffLimit: 0
          template:
            spec:
{_indented(_pod(cluster, "Never", ["bash", "-c"], torchrun), 14)}"""


def pytorchjob(cluster: Cluster) -> str:
    """A PyTorchJob (kubeflow.org/v1), whose operator gives torchrun the number of nodes and their ranks."""
    pod = _indented(_pod(cluster, "OnFailure", ["bash", "-c"], f"torchrun --no-python -- {cluster.line}"), 10)
    workers = ""
    if cluster.nodes > 1:
        workers = f"""    Worker:
      replicas: {cluster.nodes - 1}
      restartPolicy: OnFailure
      template:
        spec:
{pod}"""
    return f"""{_head("a PyTorchJob", cluster)}apiVersion: kubeflow.org/v1
kind: PyTorchJob
metadata:
  name: {cluster.label}
spec:
  nprocPerNode: "{cluster.per_node}"
  runPolicy:
    backoffLimit: 3             # a lost pod starts all again, and training resumes from the last checkpoint
  pytorchReplicaSpecs:
    Master:
      replicas: 1
      restartPolicy: OnFailure
      template:
        spec:
{pod}{workers}"""


def _head(kind: str, cluster: Cluster) -> str:
    return f"""# groundup as {kind}: {cluster.summary}
# Look at the lines marked EDIT, then: kubectl apply -f THIS-FILE
"""


def _pod(cluster: Cluster, restart: str, command: list[str], line: str) -> str:
    """The pod of a node."""
    words = ", ".join(command)
    folded = "\n".join(f"        {part}" for part in line.splitlines())
    return f"""restartPolicy: {restart}
containers:
  - name: pytorch               # a PyTorchJob wants this name
    image: {cluster.image}      # EDIT: a container with groundup in it
    workingDir: /data
    command: [{words}]
    args:
      - >-
{folded}
    ports:
      - containerPort: {PORT}
    resources:
      limits:
        nvidia.com/gpu: {cluster.per_node}       # EDIT: without GPUs take this away and set GROUNDUP_DEVICE=cpu
    # env:                      # EDIT where a pod has several networks
    #   - {{name: GLOO_SOCKET_IFNAME, value: eth0}}
    #   - {{name: NCCL_SOCKET_IFNAME, value: eth0}}
    volumeMounts:
      - {{name: data, mountPath: /data}}
      - {{name: memory, mountPath: /dev/shm}}
volumes:
  - name: data                  # the blueprint, its documents and the run folder
    persistentVolumeClaim:
      claimName: groundup-data  # EDIT: one that all pods can write to (ReadWriteMany)
  - name: memory                # what processes of a pod exchange
    emptyDir: {{medium: Memory}}
"""


def _indented(text: str, by: int) -> str:
    return "".join(f"{' ' * by}{line}\n" for line in text.splitlines())
