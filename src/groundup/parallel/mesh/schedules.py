"""In which order a pipeline works through the micro-batches of a step, and what each order asks for.

With two stages and four micro-batches (F forward, B backward, I and W a backward pass in two halves: the gradients of
the inputs, which the stage before waits for, and those of the weights, which nobody waits for):

    gpipe         F0 F1 F2 F3 B0 B1 B2 B3      all forwards first (arXiv 1811.06965): holds the activations of all
    1f1b          F0 F1 B0 F2 B1 F3 B2 B3      holds those of as many micro-batches as there are stages (2006.09503)
    interleaved   1f1b over two stages per process, of half the layers each: shorter waits, more messages (2104.04473)
    zero_bubble   F0 F1 I0 W0 F2 I1 W1 ...     1f1b whose W fill what waiting is left (ZB-H1, arXiv 2401.10241)

The rows are those of the first process. Knows no torch, so that a layout can be checked before anything starts.
"""

from groundup.parallel.configuration import ParallelConfig


def stages_per_process(parallel: ParallelConfig) -> int:
    """How many stages a process holds; the stages go round, 0 to pp - 1 and again."""
    return 2 if parallel.schedule == "interleaved" else 1


def too_few(parallel: ParallelConfig, count: int, key: str = "accumulate") -> str:
    """The message where a schedule can't work through `count` micro-batches a step, a number that `key` sets."""
    enough = next(n for n in range(count + 1, count + 2 * parallel.pp + 1) if suits(parallel, n))
    batches = f"{count} micro-batch{'es' * (count > 1)}"
    return f"the schedule {parallel.schedule} can't keep pp {parallel.pp} busy with {batches}; set {key} to {enough}"


def suits(parallel: ParallelConfig, count: int) -> bool:
    """Whether a schedule can work through so many micro-batches."""
    if parallel.pp == 1:
        return True
    if parallel.engine == "megatron" and parallel.schedule == "interleaved":
        return count % parallel.pp == 0
    match parallel.schedule:
        case "gpipe":
            return True
        case "1f1b":
            return count >= parallel.pp
        case "interleaved" | "zero_bubble":  # they go in equal rounds of at least `pp`
            return count % max(1, count // parallel.pp) == 0


def assign(costs: list[float], stages: int, head: float = 0.0) -> list[range]:
    """Neighbouring layers for each stage, such that the costliest stage is as cheap as possible; each has at least one.

    Args:
        costs: of each layer.
        head: what the last stage computes besides its layers.
    """
    ends = [0.0]
    for cost in costs:
        ends.append(ends[-1] + cost)
    count = len(costs)
    # best[i]: the costliest of the stages so far if they hold the first i layers; cuts[s][i]: where stage s then begins
    best, cuts = [0.0] + [float("inf")] * count, list[list[int]]()
    for stage in range(stages):
        extra = head if stage == stages - 1 else 0.0
        now, begins = [float("inf")] * (count + 1), [0] * (count + 1)
        for end in range(stage + 1, count + 1):
            for begin in range(stage, end):
                costliest = max(best[begin], ends[end] - ends[begin] + extra)
                if costliest < now[end]:
                    now[end], begins[end] = costliest, begin
        best = now
        cuts.append(begins)
    held, end = list[range](), count
    for begins in reversed(cuts):
        held.append(range(begins[end], end))
        end = begins[end]
    return held[::-1]
