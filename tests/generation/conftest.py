import pytest

from notagen.model import NotaGen
from tests.helpers.scripted import scripted


@pytest.fixture(scope="session")
def model() -> NotaGen:
    """Writes bars of two voices, of which more than half do not agree."""
    return scripted()
