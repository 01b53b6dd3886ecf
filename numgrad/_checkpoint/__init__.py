"""The `.pth` format, behind `numgrad.serialization`: one module for each thing a file is made of.

`archive.py` the zip container, `unpickler.py` and `pickler.py` the pickle in it, `names.py` what
PyTorch's names in that pickle mean here, `storages.py` the memory of tensors, `files.py` replacing
a file as a whole. `archive.py`, `unpickler.py` and `names.py` stand between a hostile file and us.
"""
