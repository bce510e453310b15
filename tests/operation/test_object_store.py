"""A drop that is a prefix of an object store: a real S3 server on this machine, asked through s3fs as any other.

The server checks signatures. Once a key that was missing or wrong, whose error is no OSError, ended the whole tick with a
stack trace, so that no source beside it was looked at.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import dagster as dg
import pytest
import requests
import s3fs
from moto.server import ThreadedMotoServer

from assets import automation
from lifecycle.artifacts import Store
from tests.operation.small import curate_job, curate_source, small_recipe

OPERATION = "{drops: [{name: arriving, sources: [news, books]}]}"
POLICY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
KEY, SECRET = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"


@dataclass
class Bucket:
    """A bucket whose server knows one key, which is in the environment."""

    client: Any
    key: dict[str, str]
    patch: pytest.MonkeyPatch

    def put(self, name: str, text: str) -> None:
        self.client.put_object(Bucket="bucket", Key=name, Body=text.encode())

    def credentials(self, secret: str | None) -> None:
        """What a process that starts now finds in its environment."""
        s3fs.S3FileSystem.clear_instance_cache()
        for name, value in ((KEY, self.key["AccessKeyId"]), (SECRET, secret)):
            if secret is None:
                self.patch.delenv(name, raising=False)
            else:
                self.patch.setenv(name, value or "")


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Bucket]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        address = f"http://{host}:{port}"
        told = {"AWS_ENDPOINT_URL": address, "AWS_DEFAULT_REGION": "us-east-1", KEY: "first", SECRET: "first"}
        none = {"AWS_CONFIG_FILE": str(tmp_path / "none"), "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none")}
        for name, value in (told | none | {"AWS_EC2_METADATA_DISABLED": "true"}).items():
            monkeypatch.setenv(name, value)
        accounts = boto3.client("iam")
        accounts.create_user(UserName="reader")
        accounts.put_user_policy(UserName="reader", PolicyName="all", PolicyDocument=json.dumps(POLICY))
        key = accounts.create_access_key(UserName="reader")["AccessKey"]
        boto3.client("s3").create_bucket(Bucket="bucket")
        requests.post(f"{address}/moto-api/reset-auth", data=b"0", timeout=60).raise_for_status()  # from now on keys count
        client = boto3.client("s3", aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"])
        served = Bucket(client, key, monkeypatch)
        served.credentials(key["SecretAccessKey"])
        yield served
    finally:
        server.stop()
        s3fs.S3FileSystem.clear_instance_cache()


class Looks:
    """The drop's sensor over the bucket and a folder beside it; what it asks for is read and cleaned at once."""

    def __init__(self, directory: Path, instance: dg.DagsterInstance) -> None:
        at_bucket = "s3://bucket/drop"
        self.recipe = small_recipe(directory, OPERATION, lambda text: text.replace(f"{directory}/news", at_bucket))
        self.store = Store(directory / "store")
        self._instance = instance
        self._cursor: str | None = None
        sensor = automation.drop_sensor(self.recipe.operation.drops[0], self.recipe, self.store)
        self._defs = dg.Definitions(jobs=[curate_job(self.store, self.recipe, set())], sensors=[sensor])

    def tick(self) -> tuple[list[str | None], str]:
        """Sources that are to be read now, and why the others are not."""
        repository = self._defs.get_repository_def()
        context = dg.build_sensor_context(self._instance, cursor=self._cursor, repository_def=repository)
        tick = repository.get_sensor_def("arriving").evaluate_tick(context)
        self._cursor = tick.cursor
        asked = [request.partition_key for request in tick.run_requests or ()]
        for source in asked:
            curate_source(self.store, self.recipe, str(source))
        return asked, tick.skip_message or ""


def test_a_prefix_is_taken_when_it_is_still_and_a_wrong_key_is_a_reason(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("drop/first.txt", "The first object.")
    bucket.put("elsewhere/second.txt", "Not below the prefix.")
    with dg.DagsterInstance.ephemeral() as instance:
        looks = Looks(tmp_path, instance)
        assert "waiting until it is still" in looks.tick()[1]
        assert looks.tick()[0] == ["news", "books"]
        assert looks.tick() == ([], "news, books: nothing changed")

        bucket.put("drop/first.txt", "The first object.")  # another time, the same bytes
        looks.tick()
        assert looks.tick() == ([], "news, books: nothing changed")
        for name, text in (("drop/new.txt", "A new object."), ("drop/first.txt", "Other bytes.")):
            bucket.put(name, text)
            assert looks.tick()[0] == []
            assert looks.tick()[0] == ["news"]

        for secret, said in ((None, "Unable to locate credentials"), ("nonsense", "signature")):
            bucket.credentials(secret)
            (tmp_path / "books" / "first.txt").write_text(f"New while the key is {secret}.")
            asked = []
            for _ in range(3):
                new, reason = looks.tick()
                asked += new
            assert asked == ["books"], "the source beside it is read as ever, the bucket's not once"
            assert "news: source news, field path: 's3://bucket/drop' cannot be read" in reason
            assert said in reason
            assert "credentials in the environment" in reason
        bucket.credentials(bucket.key["SecretAccessKey"])
        looks.tick()
        assert looks.tick() == ([], "news, books: nothing changed")
