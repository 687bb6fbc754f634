"""Answers that students might give: right ones in different styles, and wrong ones that no
misconception explains.

Each chapter has ``RIGHT`` and ``WRONG``, by the name of the exercise. The wrong answers that a
misconception does explain are in the exercise itself.
"""
