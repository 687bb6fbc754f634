"""Private helpers: cache, digests, distributed processes, resuming, output files, the console."""
