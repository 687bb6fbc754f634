"""The published data sets of the paper, in the layouts of their authors.

``catalogue`` lists what can be downloaded; ``standins`` writes tiny data sets in these layouts.
"""
