"""NotaGen: train, align and play a language model of sheet music in ABC notation."""

from importlib.metadata import version

__version__ = version("notagen")
