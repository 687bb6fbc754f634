"""Read the checkpoints of other libraries, write open_clip's format."""
