"""What runs underneath: cached files, digests, several processes, resuming, output files. Not
public."""
