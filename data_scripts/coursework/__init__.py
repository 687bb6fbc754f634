"""Coursework: build what students and graders get, and grade a folder of submissions.

A submission runs in its own process, which has no access to tests and marks. The grader outside
requests values and functions of the notebook from that process, sends it images and numbers that no
student has seen, and checks the answers itself. So only right answers earn points.
"""
