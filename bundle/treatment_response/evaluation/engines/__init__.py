"""Where trials run: in this process, in single-thread processes of this machine, or on a Dask cluster.

The numbers are the same everywhere: a call has one thread, gets what it needs as arguments and writes its own files.
"""
