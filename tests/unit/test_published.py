"""Published results that are read from the network, without a network."""

import hashlib
import io
import json

import pytest

from wiseft_lite import UserError
from wiseft_lite.book import paper

SPLITS = (
    "ImageNet2p",
    "ImageNet",
    "ImageNetV2",
    "ImageNetR",
    "ImageNetSketch",
    "ObjectNet",
    "ImageNetA",
)
RESULTS = "\n".join(
    json.dumps(
        {"model_name": f"model_{i}", **{s: 0.1 * k + 0.01 * i for k, s in enumerate(SPLITS)}}
    )
    for i in range(3)
)
SETTINGS = json.dumps(
    {"model_0": {"info": "start"}, "model_1": {"lr": 1e-5}, "model_2": {"lr": 1e-4}}
)
FILES = {"individual_model_results.jsonl": RESULTS, "hparam_info.json": SETTINGS}


@pytest.fixture
def network(monkeypatch):
    monkeypatch.setattr(
        paper, "urlopen", lambda url, timeout: io.BytesIO(FILES[url.rpartition("/")[2]].encode())
    )
    return monkeypatch


def test_published_runs_come_in_percent_without_their_common_start(network):
    network.setattr(
        paper, "SOUP_FILES", {n: hashlib.sha256(t.encode()).hexdigest() for n, t in FILES.items()}
    )
    table = paper.soup_runs()
    assert table.index.tolist() == ["model_1", "model_2"] and table["lr"].tolist() == [1e-5, 1e-4]
    assert table.loc["model_1"].tolist()[:3] == pytest.approx([1, 11, 41])


def test_other_files_than_the_known_are_refused(network):
    with pytest.raises(UserError, match="individual_model_results.jsonl"):
        paper.soup_runs()


def test_without_a_network_there_is_one_line(monkeypatch):
    def offline(url, timeout):
        raise OSError("no route")

    monkeypatch.setattr(paper, "urlopen", offline)
    with pytest.raises(UserError, match="individual_model_results.jsonl.*no route"):
        paper.soup_runs()
