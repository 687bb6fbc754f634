"""The published data sets that the paper uses, in the layouts that their authors distribute."""
