"""`edge-vos train prompts`: a tiny run, resumed, and what wrong usage gets."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from edge_vos.cli import app
from edge_vos.distill.prompts import train as training
from edge_vos.errors import SinkError, UsageError
from edge_vos.model.prompt_checkpoint import load_prompt_network


def _train(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["train", "prompts", *map(str, arguments)])


@pytest.fixture
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    def tiny(**values: int) -> training.PromptTrainConfig:
        shape = {"sizes": ((64, 96),), "pictures": 2, "rounds": 1}
        return original(**{**shape, **values})

    original = training.PromptTrainConfig
    monkeypatch.setattr(training, "PromptTrainConfig", tiny)


@pytest.mark.usefixtures("_tiny")
def test_trains_resumes_and_goes_on_from_a_head(square_davis: Path, tmp_path: Path) -> None:
    run, options = tmp_path / "run", ("--davis", square_davis, "--json")
    first = _train(*options, "--run", run, "--steps", 1)
    assert first.exit_code == 0, first.output
    weights = Path(json.loads(first.stdout)["weights"])
    load_prompt_network(weights)
    assert isinstance(_train(*options, "--run", run).exception, SinkError)
    assert json.loads(_train(*options, "--run", run, "--resume").stdout)["step"] == 1
    on = _train(*options, "--run", tmp_path / "on", "--from", weights, "--steps", 1)
    assert json.loads(on.stdout)["step"] == 1


def test_nothing_to_train_on_is_refused() -> None:
    refused = _train().exception
    assert isinstance(refused, UsageError)
    assert "edge-vos train prompts --davis DAVIS" in str(refused)
