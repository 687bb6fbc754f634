"""Coursework: build what students and graders get, and grade a folder of submissions.

A submission runs in a process of its own that never sees a test or a mark. The grader outside asks
that process for the values and the functions of a notebook, sends it pictures and numbers that no
student has seen, and judges the answers itself. So a submission can only earn points by answering
right.
"""
