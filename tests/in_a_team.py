"""What one of several workers does in tests: what the others say, and how the settings are compared; prints JSON."""

import json
import os

from kerasuite import devices, workers
from kerasuite.errors import InputError


def main():
    devices.import_tensorflow()
    team = workers.Team(devices.strategy("auto"))
    long = bytes(range(256)) * 70_000  # more than one message
    said = {
        "rank": team.rank,
        "sum": team.sum([team.rank + 1, 0.5]).tolist(),
        "of_all": team.of_all({"name": f"wörker {team.rank}", "long": "x" * (1 + 9 * team.rank)}),
        "of_first": workers.of_first(lambda: os.environ["TF_CONFIG"][-30:] and f"said by {team.rank}"),
        "bytes": team.bytes_of_first(long if team.rank == 0 else None) == long,
    }
    workers.require_alike({"--epochs": 3, "data": "abc"})
    try:
        workers.require_alike({"--epochs": 3 + team.rank, "data": "abc"})
    except InputError as error:
        said["refused"] = str(error)
    said["goes_on"] = workers.go_on_alone()
    said["of_itself"] = workers.of_first(lambda: team.rank)
    print(json.dumps(said))


if __name__ == "__main__":
    main()
