"""NotaGen: train, align and play a language model of sheet music in ABC notation."""

import os
import signal
import sys
from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("notagen")
except PackageNotFoundError:  # a clone that is not installed
    __version__ = "unknown"


def _stop(number: int, _: object) -> None:
    os.write(2, b"notagen: stopped\n")
    os._exit(128 + number)


# While a command is only starting there is nothing to keep, and an exception in the middle of an
# import is not always seen. notagen.exits.listen takes over from here.
if sys.argv[:1] == ["-m"] and any(word.split(".")[0] == "notagen" for word in sys.orig_argv):
    signal.signal(signal.SIGTERM, _stop)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _stop)
