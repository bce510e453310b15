"""Fixtures that several rooms share."""

import pytest

from tests.graph_home import Home, make_home


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home in which `lifecycle run` has ended well once."""
    home = make_home(tmp_path_factory.mktemp("finished"))
    done = home.run("run")
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    return home
