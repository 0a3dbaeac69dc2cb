"""The engine that a command line asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from treatment_response.evaluation.engines.engine import Engine
from treatment_response.evaluation.engines.local import LocalProcesses, ThisProcess


@contextmanager
def open_engine(
    workers: int, cluster: str | None = None, writes: Sequence[Path] = (), reads: Sequence[Path] = ()
) -> Iterator[Engine]:
    """The engine that was asked for.

    Args:
        workers: processes of this machine; with 1 everything runs in this process. Not looked at with a cluster.
        cluster: address of a Dask scheduler, ``tcp://host:8786``.
        writes: folders, and reads: files, of the calls; each machine of a cluster must see them under these paths.

    Raises:
        DataProblem: the cluster cannot be used; the message says why.
    """
    if cluster is not None:
        # Only here, so that nobody else waits for the import.
        from treatment_response.evaluation.engines.dask_cluster import open_cluster

        with open_cluster(cluster, writes, reads) as engine:
            yield engine
    else:
        yield ThisProcess() if workers <= 1 else LocalProcesses(workers)
