"""Pixels of many windows at once: each block of each file is read and decoded once, and every window cut from it.

The result is what rslearn's `materialize` writes, pixel by pixel; `support` says where that is promised. Nothing is
stored here: the caller of `read.read_windows` takes each window's image as it becomes complete.
"""
