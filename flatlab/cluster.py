"""A plan on a Ray cluster: the optional engine behind `flatlab reproduce ... --engine ray`."""

from flatlab.plan import carry_out_alone


def carry_out_on_ray(jobs, store, address=None):
    """The jobs as the cluster finishes them, each a task of one processor, or of a quarter of a GPU where the nodes have one.

    A task whose node dies is tried again elsewhere and goes on from the store, which every node must see under the same path.
    Raises ImportError without ray, and what a job raises.
    """
    try:
        import ray
    except ImportError as error:
        raise ImportError("engine='ray' needs Ray: pip install 'flatlab[cluster]'.") from error
    if not ray.is_initialized():
        ray.init(address=address, log_to_driver=False)
    share = {"num_gpus": 0.25} if ray.cluster_resources().get("GPU") else {"num_cpus": 1}
    task = ray.remote(max_retries=5, **share)(carry_out_alone)
    waiting = {task.remote(job, store): job for job in jobs}
    try:
        while waiting:
            done, _ = ray.wait(list(waiting))
            ray.get(done)
            for finished in done:
                yield waiting.pop(finished)
    finally:
        for unfinished in waiting:
            ray.cancel(unfinished)
