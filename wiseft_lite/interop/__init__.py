"""Other people's files: checkpoints of other libraries read, open_clip's format written."""
